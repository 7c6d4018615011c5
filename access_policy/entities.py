"""What policies judge, as Cedar entities: apps and places, streams, fields, read models."""

from __future__ import annotations

from typing import Any

from maplebridge.access_policy.consumers import Consumer
from maplebridge.access_policy.engine import Uid, entity, reference
from maplebridge.access_policy.plans import effective_grade
from maplebridge.access_policy.view_forms import kind_of
from maplebridge.schemas import Contract, FieldSpec, Regions

Entity = dict[str, Any]


def app_uid(app: str) -> Uid:
    return "App", app


def officer_uid(app: str) -> Uid:
    return "Officer", app


def officer_entity(app: str, consumer: Consumer) -> Entity:
    """Return an officer who acts in the office that `app` names."""
    return entity(
        officer_uid(app),
        parents=[("Role", consumer.role)],
        region=reference(("Region", consumer.region)),
        purposes=list(consumer.purposes),
    )


def subject_uid(department: str, grade: int) -> Uid:
    return "Subject", f"{department}/L{grade}"


def subject_entity(department: str, grade: int) -> Entity:
    return entity(subject_uid(department, grade), department=department, grade=grade)


def app_entity(app: str, consumer: Consumer) -> Entity:
    return entity(
        app_uid(app),
        parents=[("Role", consumer.role)],
        region=reference(("Region", consumer.region)),
        purposes=list(consumer.purposes),
    )


def places(regions: Regions, *codes: str) -> list[Entity]:
    """Return these regions and all above them, each once.

    Raises ContractRefused if a code is unknown.
    """
    wanted = dict.fromkeys(each for code in codes for each in (code, *regions.ancestors(code)))
    parents = {code: regions.get(code).parent for code in wanted}
    return [
        entity(("Region", code), parents=[("Region", parent)] if parent else [])
        for code, parent in parents.items()
    ]


def stream_uid(contract: Contract) -> Uid:
    return "Stream", contract.event_type


def stream_entity(contract: Contract, community: str) -> Entity:
    return entity(
        stream_uid(contract),
        department=contract.department,
        event_type=contract.event_type,
        community=reference(("Region", community)),
    )


def read_model_uid(name: str) -> Uid:
    return "ReadModel", name


def read_model_entity(name: str, *, grade: int, community: str) -> Entity:
    place = reference(("Region", community))
    return entity(read_model_uid(name), name=name, grade=grade, community=place)


def field_uid(
    contract: Contract, spec: FieldSpec, *, restricted: bool, named_paths: frozenset[str]
) -> Uid:
    """Return the same id for fields that no policy can tell apart (see `Rules.named_paths`)."""
    grade = effective_grade(spec, restricted=restricted)
    path = _seen_path(spec, named_paths)
    label = f"L{grade}/{spec.category}/{kind_of(spec)}"
    return "Field", f"{contract.event_type}/{_part(spec)}/{path}/{label}"


def field_entity(
    contract: Contract,
    spec: FieldSpec,
    *,
    community: str,
    restricted: bool,
    named_paths: frozenset[str],
) -> Entity:
    return entity(
        field_uid(contract, spec, restricted=restricted, named_paths=named_paths),
        department=contract.department,
        event_type=contract.event_type,
        community=reference(("Region", community)),
        part=_part(spec),
        path=_seen_path(spec, named_paths),
        grade=effective_grade(spec, restricted=restricted),
        category=spec.category,
        kind=kind_of(spec),
    )


def _seen_path(spec: FieldSpec, named_paths: frozenset[str]) -> str:
    return spec.path if spec.path in named_paths else "*"


def _part(spec: FieldSpec) -> str:
    return "meta" if spec.path.startswith("meta.") else "content"
