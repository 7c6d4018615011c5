"""Files of agreements in YAML, read into models."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from maplebridge.errors import InputError

T = TypeVar("T")


def read_yaml(path: Path, model: type[T], *, todo: str = "") -> T:
    """Return what a file holds; raises InputError naming what is wrong, and what to do."""
    try:
        return TypeAdapter(model).validate_python(yaml.safe_load(path.read_text("utf-8")))
    except ValidationError as exc:
        faults = (
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in exc.errors(include_url=False, include_input=False)
        )
        raise InputError(
            f"{path.name} cannot be used ({'; '.join(faults)}).", todo=todo or "Correct it there."
        ) from exc
    except (OSError, yaml.YAMLError) as exc:
        raise InputError(
            f"{path.name} cannot be read ({type(exc).__name__}).", todo=todo or "Correct the file."
        ) from exc
