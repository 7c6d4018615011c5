"""What access departments and apps have, and the end of what was renewed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from maplebridge.access_policy.acl import app_principal
from maplebridge.access_policy.acl_sync import apps_with_topics
from maplebridge.access_policy.broker.bundles import BundleState, states
from maplebridge.access_policy.broker.principals import end_overlap, overlap_ends
from maplebridge.access_policy.broker.store import administer
from maplebridge.access_policy.consumers import load_consumers
from maplebridge.access_policy.logins import other_mechanism, remove_logins
from maplebridge.access_policy.signatures import Enrolment
from maplebridge.access_policy.signing_keys import REVOCATION_DELAY_S, SigningKeyDirectory, enrol
from maplebridge.schemas import load_catalogue
from maplebridge.settings import Profile, Settings


@dataclass(frozen=True)
class Access:
    """What `list` tells of one department or app; times are None where there is nothing to tell."""

    name: str
    state: str
    bundle_expires_at: datetime | None = None
    opened_at: datetime | None = None
    older_login_until: datetime | None = None
    signing_keys: int = 0
    last_key_at: datetime | None = None


def access(profile: Profile) -> list[Access]:
    """Return what is known of every department of the contracts and every app with a topic."""
    admin = profile.settings("admin")
    with administer(admin) as connection:
        bundles: Mapping[str, BundleState] = {each.principal: each for each in states(connection)}
    directory = SigningKeyDirectory(admin)
    keys = directory.all()
    directory.close()
    listed = []
    departments = [f"dept-{each}" for each in sorted(load_catalogue().departments)]
    apps = [app_principal(each) for each in apps_with_topics(load_consumers())]
    for principal in (*departments, *apps):
        held = profile.handovers.get(principal)
        bundle = bundles.get(principal)
        entry = Access(
            principal.partition("-")[2],
            "on this stack" if held is None else held.state,
            signing_keys=sum(
                k.department == signer_of(principal) and k.valid_to is None for k in keys
            ),
        )
        if bundle is not None:
            if entry.state == "onboarded" and bundle.opened_at is None:
                entry = replace(entry, state="withdrawn" if bundle.withdrawn else "bundle sent")
            entry = replace(
                entry,
                bundle_expires_at=bundle.expires_at,
                opened_at=bundle.opened_at,
                older_login_until=bundle.older_until,
                last_key_at=bundle.last_key_at,
            )
        listed.append(entry)
    return listed


def signer_of(principal: str) -> str:
    """Return the name that a principal signs under: a department's is without its prefix."""
    return principal.removeprefix("dept-")


def end_overlaps(profile: Profile, *, now: datetime) -> list[str]:
    """Remove the Kafka logins whose overlap is over; return their principals.

    The key broker ends theirs by itself; Kafka's logins have no end of their own, and a
    signing key's comes sooner if the new bundle was opened before the overlap was over.
    """
    admin = profile.settings("admin")
    ended = []
    with administer(admin) as connection:
        newest = {each.principal: each for each in states(connection)}
        for principal, until in overlap_ends(connection).items():
            if principal not in newest or until > now:
                continue
            before = other_mechanism(newest[principal].kafka_mechanism)
            remove_logins(admin, principal, [before])
            end_signing_keys(admin, signer_of(principal), at=now, newest=False)
            end_overlap(connection, principal)
            ended.append(principal)
    return ended


def end_signing_keys(settings: Settings, signer: str, *, at: datetime, newest: bool = True) -> None:
    """Let a signer's keys hold until `at` and ten seconds, if not less long.

    settings: the super user's. newest: also the one that has no end yet.
    """
    end = _end_at(at)
    ending = [
        replace(each, valid_to=end)
        for each in _keys_of(settings, signer)
        if (newest if each.valid_to is None else each.valid_to > end)
    ]
    if ending:
        enrol(settings, ending)


def overlap_signing_keys(
    settings: Settings,
    signer: str,
    kept: Mapping[bytes, datetime | None],
    *,
    now: datetime,
) -> None:
    """Give a signer's keys the ends of an overlap, and ten seconds.

    kept: the ends of those that hold on, by key id. Any other that has no end yet ends at
    once: its bundle was not opened, or never came to be.
    """
    turned = []
    for each in _keys_of(settings, signer):
        end = each.valid_to
        if each.key_id in kept and each.holds_at(micros(now)):
            until = kept[each.key_id]
            end = None if until is None else _end_at(until)
        elif end is None:
            end = _end_at(now)
        if end != each.valid_to:
            turned.append(replace(each, valid_to=end))
    if turned:
        enrol(settings, turned)


def _keys_of(settings: Settings, signer: str) -> list[Enrolment]:
    directory = SigningKeyDirectory(settings)
    keys = [each for each in directory.all() if each.department == signer]
    directory.close()
    return keys


def _end_at(at: datetime) -> int:
    return micros(at + timedelta(seconds=REVOCATION_DELAY_S))


def micros(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000)
