"""Releasing statistical tables: made once, frozen, told on Kafka."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from maplebridge.access_policy.audit.leaf import AuditedField, Leaf
from maplebridge.access_policy.audit.log import AuditLog
from maplebridge.access_policy.policy import Policies
from maplebridge.cell_secret import secret_of
from maplebridge.control_events import publish
from maplebridge.errors import InputError
from maplebridge.projections.entries import month_span
from maplebridge.projections.indicators import load_indicators
from maplebridge.projections.matters import Span
from maplebridge.projections.releases.ledger import add, released
from maplebridge.projections.releases.listed import Listed, load_listed
from maplebridge.projections.releases.noise import CellKeys
from maplebridge.projections.releases.tables import Content, Makes, persons_of
from maplebridge.projections.statistics import SQL, Place, places_in, read_matters
from maplebridge.projections.store import connect, translated
from maplebridge.schemas import Regions, load_catalogue, load_regions
from maplebridge.settings import Profile, Settings

EVENT_TYPE = "aggregate.released"


@dataclass(frozen=True)
class Release:
    """A frozen table; `fresh` if it was made now and not before."""

    content: Content
    fresh: bool


def release(
    profile: Profile, table: str, period: str, *, region: str = "", now: datetime | None = None
) -> Release:
    """Make one table of the list for a month, or return what was frozen before.

    region: whose places the table is of; the county, if there is one, if not given. Reading for
    it is in the audit log before anything is read; the table is frozen once Kafka has its event.
    Raises InputError if there is no such table or the month is not over and settled,
    StoreUnavailable, AuditUnavailable, KafkaUnavailable.
    """
    listed, admin = load_listed(), profile.settings("admin")
    listed.get(table)
    span = month_span(period)
    regions = load_regions(admin.regions)
    place = regions.get(region or _county(regions)).code
    with translated(admin), connect(admin) as connection:
        before = released(connection, table, period, place)
        if before is not None:
            return Release(before, False)
        if (now or datetime.now(UTC)) < span[1] + listed.settles:
            raise InputError(
                f"{period} is not settled: late entries may still come.",
                todo=f"Release it from {span[1] + listed.settles:%Y-%m-%d} on.",
            )
        _audit(profile, table)
        content = _make(connection, profile.home, listed, regions, table, period, span, place)
        with connection.transaction():
            if add(connection, content):
                publish(admin, EVENT_TYPE, "released", _told(content), key=content.release_id)
                return Release(content, True)
        # another process was first: what it froze holds
        first = released(connection, table, period, place)
    return Release(first or content, False)


def _make(
    connection: psycopg.Connection[Any],
    home: Path,
    listed: Listed,
    regions: Regions,
    table: str,
    period: str,
    span: Span,
    region: str,
) -> Content:
    indicators, catalogue, former = load_indicators(), load_catalogue(), regions.former(region)
    prefix = regions.get(region).prefix
    matters = read_matters(connection, indicators, prefix=prefix, former=former, span=span)
    with connection.cursor(row_factory=dict_row) as cursor:
        cases = sorted({matter.case for matter in matters})
        whose = persons_of(cursor.execute(SQL["subjects"], {"cases": cases}), catalogue)
    places: dict[str, Sequence[Place]] = {
        level: places_in(regions, region, level=level, former=former, at=span[1])
        for level in listed.get(table).levels
    }
    makes = Makes(listed, indicators, catalogue, CellKeys(secret_of(home), listed.noise.table))
    return makes.content(table, matters, whose, places, period=period, span=span, region=region)


def _county(regions: Regions) -> str:
    found = [each.code for each in regions if each.level == "county"]
    if len(found) != 1:
        raise InputError("there are several counties.", todo="Name one with --region.")
    return found[0]


def _told(content: Content) -> dict[str, object]:
    return {
        "release_id": content.release_id,
        "table": content.table,
        "period": content.period,
        "region": content.region,
        "threshold": content.threshold,
        "noise": content.noise,
        "noise_variance": content.noise_variance,
        "cells": content.cells,
        "cells_withheld": content.cells_withheld,
        "content": content.sha256,
    }


def _audit(profile: Profile, table: str) -> None:
    settings: Settings = profile.settings("query")
    policies = Policies(load_catalogue(), load_regions(settings.regions))
    columns: Sequence[str] = ("case_ref", "category", "occurred_at", "subjects")
    log = AuditLog(settings)
    try:
        log.append(
            [
                Leaf(
                    at=time.time_ns() // 1000,
                    action="access.queried",
                    who="admin",
                    on_behalf_of=table,
                    purpose="statistics",
                    legal_basis="statutory_duty",
                    decision="permit",
                    rule="fixed-list-of-tables",
                    policy_version=policies.version,
                    resource="released_tables",
                    fields=tuple(AuditedField(each, 2, "clear") for each in columns),
                )
            ]
        )
    finally:
        log.close()
