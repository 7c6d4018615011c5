"""Whom a command is about: by a reference, or by identifiers that no command line shows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from maplebridge.access_policy.broker.vault import Subject
from maplebridge.errors import InputError
from maplebridge.producers.sealing import subject_identifier
from maplebridge.schemas import load_catalogue

Source = Annotated[
    Path | None,
    typer.Option(
        "--identifiers", help="A file of identifiers, a line each: `phone 10000000001`; - is stdin."
    ),
]
DepartmentOf = Annotated[
    str, typer.Option("--department", help="With --key-ref: the department whose reference it is.")
]
KeyRef = Annotated[
    str, typer.Option("--key-ref", help="A person's reference in a department's events.")
]


@dataclass(frozen=True)
class Whom:
    """What a person is named by."""

    identifiers: tuple[str, ...] = ()
    references: tuple[Subject, ...] = ()


def whom(department: str, key_ref: str, identifiers: Path | None) -> Whom:
    """Return what was given; asks for an identifier if nothing was. Raises InputError."""
    if bool(department) != bool(key_ref) or (key_ref and identifiers):
        raise InputError(
            "a person is named by --department and --key-ref, or by identifiers.",
            todo="Give the one or the other.",
        )
    if key_ref:
        return Whom(references=((department, key_ref),))
    return Whom(identifiers=tuple(_identifiers(identifiers)))


def text_of_file(path: Path) -> str:
    """Raises InputError if the file is no text."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text.", todo="Give a text file.") from None


def _identifiers(source: Path | None) -> Iterator[str]:
    """Yield a person's identifiers: a file's, those of stdin, or what is typed unseen."""
    if source is not None and source != Path("-"):
        lines = text_of_file(source).splitlines()
    elif source is not None or not sys.stdin.isatty():
        lines = sys.stdin.read().splitlines()
    else:
        lines = [typer.prompt("Kind and value, such as: phone 10000000001", hide_input=True)]
    kinds = _kinds()
    for line in filter(None, map(str.strip, lines)):
        kind, _, value = line.partition(" ")
        if kind not in kinds or not value.strip():
            raise InputError(
                "a line of identifiers is no kind and value.", todo=f"Kinds: {', '.join(kinds)}."
            )
        yield subject_identifier(kind, value)


def _kinds() -> list[str]:
    """Return what a person may be identified by in some contract: name, phone and so on."""
    return sorted(
        {
            name.rpartition(".")[2].removeprefix(f"{role}_")
            for contract in load_catalogue().published
            for role, names in contract.subjects.items()
            for name in names
        }
    )
