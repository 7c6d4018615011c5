"""An officer's side of onboarding: a department's access made, renewed, revoked and listed.

A department's secrets are made here, go into its bundle and are kept nowhere else:
Kafka has a SCRAM verifier, the key broker a hash and half of the bundle's key, the
topic of signing keys the public one. The profile remembers that they are not here.
"""

from __future__ import annotations

import os
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from maplebridge.access_policy.acl import sync_rules, wanted_rules
from maplebridge.access_policy.broker.bundles import BundleState, deposit, states, withdraw
from maplebridge.access_policy.broker.principals import (
    end_overlap,
    ensure_principals,
    overlap_ends,
    remove_principal,
    renew_principal,
)
from maplebridge.access_policy.broker.store import Connection, administer
from maplebridge.access_policy.bundle import SHARE_BYTES, Code, Header, seal_bundle
from maplebridge.access_policy.logins import (
    MECHANISMS,
    other_mechanism,
    remove_logins,
    set_login,
)
from maplebridge.access_policy.policy import Policies
from maplebridge.access_policy.signatures import Enrolment, SigningKey
from maplebridge.access_policy.signing_keys import (
    REVOCATION_DELAY_S,
    SigningKeyDirectory,
    enrol,
)
from maplebridge.errors import InputError
from maplebridge.provision import served_apps
from maplebridge.schemas import load_catalogue, load_regions
from maplebridge.settings import Handover, Mechanism, Profile

EXPIRY = timedelta(days=7)
OVERLAP = timedelta(days=14)
GRACE = timedelta(hours=1)


@dataclass(frozen=True)
class Addresses:
    """How the department reaches the servers, where that is not as here; empty: as here."""

    kafka_bootstrap: str = ""
    registry_url: str = ""
    key_broker_url: str = ""

    def given(self) -> dict[str, str]:
        return {name: value for name, value in vars(self).items() if value}


@dataclass(frozen=True)
class Onboarded:
    """A new bundle, and the code that is shown once."""

    department: str
    bundle: bytes = field(repr=False)
    code: Code = field(repr=False)
    expires_at: datetime
    profile: Profile = field(repr=False)


@dataclass(frozen=True)
class Access:
    """What `list` tells of one department; times are None where there is nothing to tell."""

    department: str
    state: str
    bundle_expires_at: datetime | None = None
    opened_at: datetime | None = None
    older_login_until: datetime | None = None
    signing_keys: int = 0
    last_key_at: datetime | None = None


def onboard(
    profile: Profile,
    department: str,
    *,
    now: datetime,
    addresses: Addresses | None = None,
    expiry: timedelta = EXPIRY,
) -> Onboarded:
    """Give a department access of its own, in a bundle; what acted for it before ends.

    Raises InputError if no contract is the department's or it is onboarded already,
    Unavailable if a server does not answer: then repeat it.
    """
    principal = _principal(department)
    held = profile.handovers.get(principal)
    if held is not None and held.state == "onboarded":
        raise InputError(
            f"{department} is onboarded already.", todo="Use `maplebridge onboard renew`."
        )
    return _hand_over(profile, department, now=now, until=now, addresses=addresses, expiry=expiry)


def renew(
    profile: Profile,
    department: str,
    *,
    now: datetime,
    addresses: Addresses | None = None,
    expiry: timedelta = EXPIRY,
    overlap: timedelta = OVERLAP,
) -> Onboarded:
    """Give an onboarded department new secrets in a new bundle.

    The ones before hold until the overlap ends, or until an hour after the new bundle is
    opened. A bundle that is not opened yet is withdrawn. Raises as `onboard`.
    """
    held = profile.handovers.get(_principal(department))
    if held is None or held.state != "onboarded":
        raise InputError(
            f"{department} is not onboarded.",
            todo=f"Run `maplebridge onboard department {department}`.",
        )
    return _hand_over(
        profile, department, now=now, until=now + overlap, addresses=addresses, expiry=expiry
    )


def revoke(profile: Profile, department: str, *, now: datetime) -> Profile:
    """End all access of a department at once; its signing keys ten seconds later.

    Raises InputError if no contract is the department's, Unavailable; harmless to repeat.
    """
    principal = _principal(department)
    admin = profile.settings("admin")
    # first what is remembered: whatever fails later, `up` gives nothing back
    revoked = _remembered(profile, principal, Handover(
        state="revoked", kafka_mechanism=MECHANISMS[0]
    ))  # fmt: skip
    remove_logins(admin, principal, MECHANISMS)
    _sync_rules(revoked)
    with administer(admin) as connection:
        withdraw(connection, department)
        remove_principal(connection, principal)
    _end_signing_keys(revoked, department, at=now)
    return revoked


def access(profile: Profile) -> list[Access]:
    """Return what is known of every department of the contracts."""
    admin = profile.settings("admin")
    with administer(admin) as connection:
        bundles: Mapping[str, BundleState] = {each.department: each for each in states(connection)}
    directory = SigningKeyDirectory(admin)
    keys = directory.all()
    directory.close()
    listed = []
    for department in sorted(load_catalogue().departments):
        held = profile.handovers.get(f"dept-{department}")
        bundle = bundles.get(department)
        entry = Access(
            department,
            "on this stack" if held is None else held.state,
            signing_keys=sum(k.department == department and k.valid_to is None for k in keys),
        )
        if bundle is not None:
            if held is not None and held.state == "onboarded" and bundle.opened_at is None:
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


def end_overlaps(profile: Profile, *, now: datetime) -> list[str]:
    """Remove the Kafka logins whose overlap is over; return their principals.

    The key broker and the signatures end theirs by themselves, Kafka's have no end.
    """
    admin = profile.settings("admin")
    ended = []
    with administer(admin) as connection:
        for principal, until in overlap_ends(connection).items():
            held = profile.handovers.get(principal)
            if held is None or until > now:
                continue
            remove_logins(admin, principal, [other_mechanism(held.kafka_mechanism)])
            end_overlap(connection, principal)
            ended.append(principal)
    return ended


def _principal(department: str) -> str:
    known = sorted(load_catalogue().departments)
    if department not in known:
        raise InputError(
            f"no contract is of a department {department!r}.",
            todo=f"Add its contracts to schemas/{department}/ and run `maplebridge schema lint`"
            f" and `register` first. Departments: {', '.join(known)}.",
        )
    return f"dept-{department}"


def _hand_over(
    profile: Profile,
    department: str,
    *,
    now: datetime,
    until: datetime,
    addresses: Addresses | None,
    expiry: timedelta,
) -> Onboarded:
    """until: when the access before ends; `now` if it ends at once."""
    principal = f"dept-{department}"
    admin = profile.settings("admin")
    overlaps = until > now
    held = profile.handovers.get(principal)
    mechanism: Mechanism = MECHANISMS[0]
    if held is not None and overlaps:
        mechanism = other_mechanism(held.kafka_mechanism)
    secret, signing_key = secrets.token_urlsafe(32), SigningKey.generate()
    remembered = _remembered(
        profile, principal, Handover(state="onboarded", kafka_mechanism=mechanism)
    )
    _sync_rules(remembered)
    set_login(admin, principal, secret, mechanism)
    if not overlaps:
        remove_logins(admin, principal, [other_mechanism(mechanism)])
    _end_signing_keys(remembered, department, at=until)
    enrol(admin, [_enrolment(department, signing_key, now)])
    code, share = Code.make(), os.urandom(SHARE_BYTES)
    told = _department_profile(remembered, principal, secret, signing_key, mechanism, addresses)
    header = Header(
        bundle_id=uuid.uuid4(),
        department=department,
        made_at=now,
        expires_at=now + expiry,
        key_broker_url=str(told["profile"]["key_broker_url"]),
        tls_ca=str(told["files"].get("authority.pem", "")),
    )
    with administer(admin) as connection:
        _admit(connection, principal, secret, until if overlaps else None)
        deposit(
            connection,
            bundle_id=header.bundle_id,
            department=department,
            share=share,
            proof=code.proof(header.bundle_id),
            expires_at=header.expires_at,
            grace_s=GRACE.total_seconds(),
        )
    bundle = seal_bundle(header, told, code=code, share=share)
    return Onboarded(department, bundle, code, header.expires_at, remembered)


def _admit(
    connection: Connection, principal: str, secret: str, older_until: datetime | None
) -> None:
    if older_until is None:
        ensure_principals(connection, {principal: secret})
    else:
        renew_principal(connection, principal, secret, older_until=older_until)


def _remembered(profile: Profile, principal: str, handover: Handover) -> Profile:
    handovers = {**profile.handovers, principal: handover}
    changed = profile.model_copy(update={"handovers": handovers}).without_handed_over()
    changed.save()
    return changed


def _sync_rules(profile: Profile) -> None:
    policies = Policies(load_catalogue(), load_regions(profile.regions))
    apps = served_apps(policies)
    rules = wanted_rules(policies.catalogue, apps, revoked=profile.revoked)
    sync_rules(profile.settings("admin"), rules)


def _end_signing_keys(profile: Profile, department: str, *, at: datetime) -> None:
    """Let every key of the department that has no earlier end hold until then at most."""
    admin = profile.settings("admin")
    directory = SigningKeyDirectory(admin)
    keys = directory.all()
    directory.close()
    end = _micros(at + timedelta(seconds=REVOCATION_DELAY_S))
    enrol(
        admin,
        [
            replace(each, valid_to=end)
            for each in keys
            if each.department == department and (each.valid_to is None or each.valid_to > end)
        ],
    )


def _enrolment(department: str, key: SigningKey, now: datetime) -> Enrolment:
    return Enrolment(department, key.key_id, key.public_key, valid_from=_micros(now))


def _department_profile(
    profile: Profile,
    principal: str,
    secret: str,
    signing_key: SigningKey,
    mechanism: Mechanism,
    addresses: Addresses | None,
) -> dict[str, Any]:
    """Return what the bundle holds: a profile of this department alone, and files beside it."""
    shared = {
        "kafka_bootstrap",
        "registry_url",
        "key_broker_url",
        "key_broker_public_key",
        "audit_public_key",
        "private_network",
    }
    files = {f"regions/{path.name}": path.read_text("utf-8") for path in profile.regions}
    if profile.tls_ca is not None:
        files["authority.pem"] = profile.tls_ca.read_text("ascii")
    return {
        "profile": {
            **profile.model_dump(mode="json", include=shared),
            **(addresses.given() if addresses else {}),
            "kafka_mechanism": mechanism,
            "secrets": {principal: secret},
            "signing_keys": {principal: signing_key.encode()},
        },
        "files": files,
    }


def _micros(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000)
