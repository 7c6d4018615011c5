"""A person's own copy: every event that names the person, with the person's own fields opened.

The fields of other parties stay sealed, and a case's free text where others have a part in
the case. Keys are released as any are: the policy is asked, and an entry is durable first.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from maplebridge.access_policy.acl import APP_PREFIX
from maplebridge.access_policy.audit.leaf import ROWS_MAX, Leaf, cover
from maplebridge.access_policy.audit.log import AuditLog
from maplebridge.access_policy.broker.audited import audit_into
from maplebridge.access_policy.broker.release import Asked, Broker, Ruling
from maplebridge.access_policy.broker.roots import epoch_files, open_root
from maplebridge.access_policy.broker.store import Connections
from maplebridge.access_policy.broker.vault import Subject, Vault
from maplebridge.access_policy.erasure.parties import CASE, Mention, cases_of, mentions_of
from maplebridge.access_policy.keyclient import request_for
from maplebridge.access_policy.keys import ITEMS_MAX, FieldKey, KeyRequest
from maplebridge.access_policy.officers import load_officers
from maplebridge.access_policy.policy import Policies
from maplebridge.errors import AccessDenied, TokenInvalid
from maplebridge.processors.opening import Openers
from maplebridge.schemas import Codec, FieldSpec, RegistryClient, load_catalogue, load_regions
from maplebridge.settings import Profile

PURPOSE = "rights"
_PRINCIPAL = "app-subject-access"
_STAFF = "STAFF"
OTHERS = "of another person"
SHARED = "of a case that others have a part in"


@dataclass
class OwnEvent:
    """An event as its person may have it; fields and withheld: by path with array indexes."""

    event_id: str
    event_type: str
    department: str
    occurred_at: int
    community: str
    case_ref: str | None
    transition: str
    fields: dict[str, Any] = field(default_factory=dict)
    withheld: dict[str, str] = field(default_factory=dict)


class _Decider:
    """Asks the policy whether officers may hand a person what is the person's own."""

    def __init__(self, policies: Policies, office: str, officers: Collection[str]) -> None:
        self._policies = policies
        self._office = office
        self._officers = officers
        self._known = load_officers()

    def decide(self, asked: Asked) -> Ruling:
        verdict = self._policies.about_person(
            "hand_over",
            self._office,
            asked.purpose,
            department=asked.department,
            grade=asked.grade,
            officers=self._known.answering(self._officers, asked.department),
        )
        return Ruling(verdict.allowed, verdict.rule, self._policies.version)


@dataclass(frozen=True)
class _Sealed:
    event: OwnEvent
    path: str
    token: bytes
    request: KeyRequest


def own_copy(
    profile: Profile, subjects: Collection[Subject], *, office: str, officers: Collection[str]
) -> list[OwnEvent]:
    """Return the events of a person, who is these subjects, in the order of their times.

    Raises AccessDenied with the rule if the policy denies what is asked first, before any
    key is released; Unavailable of what does not answer.
    """
    admin, settings = profile.settings("admin"), profile.settings("key-broker")
    catalogue = load_catalogue()
    policies = Policies(catalogue, load_regions(admin.regions))
    registry = RegistryClient(admin.registry_url, tls_ca=admin.tls_ca)
    try:
        codec = Codec(catalogue, registry)
        mentions = list(mentions_of(admin, codec, subjects))
        person = frozenset(subjects)
        cases = cases_of(admin, codec, subjects)
        alone = {each.case_ref for each in cases if each.subjects <= person}
    finally:
        registry.close()
    events: list[OwnEvent] = []
    sealed: list[_Sealed] = []
    for mention in mentions:
        event = _plain(mention)
        events.append(event)
        sealed += _own_fields(mention, event, is_alone=_case(mention) in alone)
    decider = _Decider(policies, office, officers)
    # what is plain is of a department, too
    asked = {(each.department, 3) for each in events}
    asked |= {(each.event.department, each.request.grade) for each in sealed}
    rules = [_check(policies, decider, office, *each) for each in sorted(asked)]
    connections, log = Connections(settings), AuditLog(settings)
    try:
        vault = Vault(connections, epoch_files(settings, open_root(settings)))
        broker = Broker(vault, connections, decider=decider, audit=audit_into(log))
        if events:
            log.append(_leaves(events, rules[0], policies.version))
        _open(broker, Openers(catalogue), sealed)
    finally:
        connections.close()
        log.close()
    return sorted(events, key=lambda each: (each.occurred_at, each.event_id))


def _leaves(events: list[OwnEvent], rule: str, version: str) -> list[Leaf]:
    """Return the entries that cover the events handed over, besides those of released keys."""
    parts = [events[at : at + ROWS_MAX] for at in range(0, len(events), ROWS_MAX)]
    return [
        Leaf(
            at=time.time_ns() // 1000,
            action="access.delivered",
            who="key-broker",
            on_behalf_of=_PRINCIPAL.removeprefix(APP_PREFIX),
            purpose=PURPOSE,
            decision="permit",
            rule=rule,
            policy_version=version,
            resource="own_copy",
            rows=len(part),
            communities=len({each.community for each in part}),
            cover=cover(each.event_id for each in part),
        )
        for part in parts
    ]


def _check(policies: Policies, decider: _Decider, office: str, department: str, grade: int) -> str:
    """Return the rule that permits it; raises AccessDenied."""
    said = decider.decide(Asked("", PURPOSE, "", "", grade, "", department))
    if not said.allowed:
        raise AccessDenied(
            f"{office} may not hand over L{grade} of {department}: {policies.rules.doc(said.rule)}",
            rule=said.rule,
            todo=f"Give --by twice, with two officers who answer for {department}.",
        )
    return said.rule


def _plain(mention: Mention) -> OwnEvent:
    """Return an event with its plain fields, but for those about staff."""
    meta = mention.event["meta"]
    made = OwnEvent(
        meta["event_id"],
        meta["event_type"],
        meta["department"],
        meta["occurred_at"],
        meta["community"],
        meta["case_ref"],
        meta["transition"],
    )
    for spec in mention.contract.fields:
        if spec.seal is None and spec.category != _STAFF and not spec.path.startswith("meta."):
            for path, scope, value in _values(mention, spec):
                if scope is None or scope in mention.scopes:
                    made.fields[path] = value
    return made


def _own_fields(mention: Mention, event: OwnEvent, *, is_alone: bool) -> Iterator[_Sealed]:
    """Yield what may be opened; says of the rest why it stays sealed."""
    for spec in mention.contract.fields:
        if spec.seal is None:
            continue
        for path, scope, token in _values(mention, spec):
            if token is None:
                continue
            if scope == CASE and not is_alone:
                event.withheld[path] = SHARED
            elif scope != CASE and scope not in mention.scopes:
                event.withheld[path] = OTHERS
            else:
                wanted = request_for(
                    token,
                    event_type=event.event_type,
                    path=path,
                    grade=spec.grade,
                )
                yield _Sealed(event, path, token, wanted)


def _values(mention: Mention, spec: FieldSpec) -> Iterator[tuple[str, str | None, Any]]:
    """Yield path, scope in meta.key_refs, and value of a field, for each item of an array.

    A plain field of an item is in the scope of whom the item is about.
    """
    array, inside, name = spec.path.partition("[].")
    key = spec.seal.key if spec.seal else None
    if not inside:
        yield spec.path, key, mention.event[spec.path]
        return
    for at, item in enumerate(mention.event[array]):
        of_item = key if key == CASE else f"subject:{_role(mention, array)}[{at}]"
        yield f"{array}[{at}].{name}", of_item, item[name]


def _role(mention: Mention, array: str) -> str:
    """Return the role whose fields stand in the items of an array."""
    keys = {
        spec.seal.key.removeprefix("subject:")
        for spec in mention.contract.fields
        if spec.seal and spec.seal.key != CASE and spec.path.startswith(f"{array}[].")
    }
    return next(iter(keys), array)


def _case(mention: Mention) -> str:
    meta = mention.event["meta"]
    return str(meta["case_ref"] or meta["event_id"])


def _open(broker: Broker, openers: Openers, sealed: list[_Sealed]) -> None:
    for at in range(0, len(sealed), ITEMS_MAX):
        part = sealed[at : at + ITEMS_MAX]
        released = broker.release(_PRINCIPAL, PURPOSE, [each.request for each in part])
        for each, answer in zip(part, released.answers, strict=True):
            if not isinstance(answer, FieldKey):
                each.event.withheld[each.path] = getattr(answer, "rule", "unknown-key")
                continue
            try:
                each.event.fields[each.path] = openers.open(
                    each.token,
                    department=each.event.department,
                    event_type=each.event.event_type,
                    event_id=each.event.event_id,
                    path=each.path,
                    key=answer,
                )
            except TokenInvalid:
                each.event.withheld[each.path] = "sealed-field-altered"
