"""Tables from before, with rows in them, become those of today."""

from __future__ import annotations

import secrets
from importlib.resources import files
from typing import cast

from psycopg.abc import Query
from psycopg.sql import SQL, Identifier

from maplebridge.projections.migrate import drop, migrate
from maplebridge.projections.store import connect
from maplebridge.settings import Profile
from tests.processors.made_events import event_id

BEFORE = ("0001_projections.sql", "0002_amendments.sql")
EVENTS = (
    (1, "hotline.order", "hotline", None),
    (2, "hotline.order", "grid", event_id(1)),
    (3, "event.retraction", "hotline", None),
)


def test_rows_from_before_learn_whose_the_ids_are_that_they_name(provisioned: Profile) -> None:
    schema = f"t_{secrets.token_hex(4)}"
    folder = files("maplebridge.projections").joinpath("migrations")
    with connect(provisioned.settings("admin"), schema=schema) as admin:
        admin.execute(SQL("CREATE SCHEMA {}").format(Identifier(schema)))
        try:
            admin.execute("CREATE TABLE migrations (name text PRIMARY KEY, applied_at timestamptz)")
            for name in BEFORE:
                admin.execute(cast(Query, folder.joinpath(name).read_text("utf-8")))
                admin.execute("INSERT INTO migrations VALUES (%s, now())", (name,))
            for number, event_type, department, repeats in EVENTS:
                admin.execute(
                    "INSERT INTO events (event_id, event_type, department, community, transition,"
                    " category, occurred_at, repeats) VALUES (%s, %s, %s, '', '', '', now(), %s)",
                    (event_id(number), event_type, department, repeats),
                )
            admin.execute(
                "INSERT INTO amendments VALUES (%s, %s, 'hotline', 'hotline.order')",
                (event_id(1), event_id(3)),
            )
            assert migrate(admin, schema=schema)[0] == "0003_identity.sql"
            assert admin.execute(
                "SELECT repeats_department FROM events ORDER BY event_id"
            ).fetchall() == [(None,), ("hotline",), (None,)]
            assert admin.execute("SELECT amending_type FROM amendments").fetchall() == [
                ("event.retraction",)
            ]
        finally:
            drop(admin, schema=schema)
