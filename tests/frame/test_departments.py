"""The embedded stack has a login for every department that publishes something."""

from __future__ import annotations

from maplebridge.localstack.principals import DEPARTMENTS
from maplebridge.schemas import load_catalogue


def test_every_department_of_the_catalogue_has_a_login_and_nobody_else() -> None:
    assert list(DEPARTMENTS) == [f"dept-{each}" for each in load_catalogue().departments]
