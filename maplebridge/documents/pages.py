"""The browsable catalogue: static pages in two languages, one for each contract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from maplebridge.documents.city import City, strictest_grade
from maplebridge.documents.life_cycle import BOX_HEIGHT, BOX_WIDTH, WIDTH, life_cycle
from maplebridge.documents.plain_fields import plain_type
from maplebridge.documents.words import LANGUAGES, WORDS
from maplebridge.schemas import Contract
from maplebridge.schemas.contracts import SERVICES
from maplebridge.schemas.read_models import ReadModels, load_read_models

STYLE = "style.css"


def pages(city: City) -> Mapping[str, str]:
    """Return the text of every page and of the style sheet, by its path."""
    environment = Environment(
        loader=PackageLoader("maplebridge.documents"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found = {
        STYLE: files("maplebridge.documents").joinpath("templates/style.css").read_text("utf-8")
    }
    for language in LANGUAGES:
        for name, values in _pages(city):
            template = environment.get_template(values["template"])
            depth = name.count("/") + (language != "en")
            path = name if language == "en" else f"{language}/{name}"
            found[path] = template.render(
                **values,
                words=WORDS[language],
                language="en" if language == "en" else "zh-CN",
                root="../" * depth,
                home="../" * name.count("/"),
                other=("../" * depth) + (f"zh/{name}" if language == "en" else name),
            )
    return found


def _pages(city: City) -> Iterator[tuple[str, dict[str, Any]]]:
    rows: list[dict[str, Any]] = [
        {
            "contract": each,
            "grade": strictest_grade(each),
            "sealed": sum(1 for spec in each.fields if spec.seal),
            "found_by": " ".join([each.event_type, *each.publishers, *each.by_path]).lower(),
        }
        for each in city.contracts
    ]
    owners = sorted({each.department for each in city.contracts}, key=_place)
    groups = {
        owner: [row for row in rows if row["contract"].department == owner] for owner in owners
    }
    yield "index.html", {"template": "index.html", "groups": groups, "count": len(rows)}
    models = load_read_models()
    for contract in city.contracts:
        yield f"contracts/{contract.event_type}.html", _page(contract, city, models)


def _place(owner: str) -> tuple[int, str]:
    """Departments come first, then what the bus itself does, its control last."""
    return SERVICES.index(owner) + 1 if owner in SERVICES else 0, owner


def _page(contract: Contract, city: City, models: ReadModels) -> dict[str, Any]:
    used: dict[str, list[str]] = {}
    for uses in (models.paths(contract), models.looked_at(contract)):
        for name, paths in uses.items():
            used[name] = sorted(paths)
    return {
        "template": "contract.html",
        "contract": contract,
        "grade": strictest_grade(contract),
        "contact": city.consumers.whom_to_ask(contract.department),
        "content": [_row(city, each) for each in contract.fields if "meta." not in each.path],
        "envelope": [_row(city, each) for each in contract.fields if "meta." in each.path],
        "life": life_cycle(contract),
        "box": {"width": BOX_WIDTH, "height": BOX_HEIGHT, "drawing": WIDTH},
        "followers": city.followers.get(contract.event_type, ()),
        "used": used,
        "titles": {name: each.title for name, each in city.consumers.consumers.items()},
    }


def _row(city: City, spec: Any) -> dict[str, Any]:
    kind = plain_type(spec.seal.type if spec.seal else spec.type)
    return {
        "spec": spec,
        "type": ("time" if spec.is_time else kind) + ("?" if spec.nullable else ""),
        "codes": city.codes.get(spec.code_list) if spec.code_list else None,
    }
