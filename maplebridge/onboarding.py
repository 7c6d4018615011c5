"""An officer's side of onboarding: access made, renewed and revoked.

A department's or an app's secrets are made here, go into its bundle and are kept nowhere else:
Kafka has a SCRAM verifier, the key broker a hash and half of the bundle's key, the
topic of signing keys the public one. The profile remembers that they are not here.
"""

from __future__ import annotations

import os
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from maplebridge.access import (
    end_overlaps,
    end_signing_keys,
    micros,
    overlap_signing_keys,
    signer_of,
)
from maplebridge.access_policy.acl import app_principal, sync_rules
from maplebridge.access_policy.acl_sync import apps_with_topics, city_rules
from maplebridge.access_policy.broker.bundles import InUse, deposit, end_bundles, in_use, withdraw
from maplebridge.access_policy.broker.principals import (
    ensure_principals,
    remove_principal,
    renew_principal,
)
from maplebridge.access_policy.broker.store import administer
from maplebridge.access_policy.bundle import SHARE_BYTES, Code, Header, seal_bundle
from maplebridge.access_policy.consumers import load_consumers
from maplebridge.access_policy.logins import (
    MECHANISMS,
    other_mechanism,
    remove_logins,
    set_login,
)
from maplebridge.access_policy.signatures import Enrolment, SigningKey
from maplebridge.access_policy.signing_keys import enrol
from maplebridge.errors import InputError
from maplebridge.schemas import load_catalogue
from maplebridge.settings import Handover, Mechanism, Profile, Settings
from maplebridge.wiring import grants_now, make_policies

EXPIRY = timedelta(days=7)
OVERLAP = timedelta(days=14)
GRACE = timedelta(hours=1)


@dataclass(frozen=True)
class Addresses:
    """How it reaches the servers, where that is not as here; empty: as here."""

    kafka_bootstrap: str = ""
    registry_url: str = ""
    key_broker_url: str = ""

    def given(self) -> dict[str, str]:
        return {name: value for name, value in vars(self).items() if value}


@dataclass(frozen=True)
class Onboarded:
    """A new bundle, and the code that is shown once."""

    name: str
    bundle: bytes = field(repr=False)
    code: Code = field(repr=False)
    expires_at: datetime


Deliver = Callable[[Onboarded], object]
State = Literal["onboarding", "onboarded", "revoked"]


def kept_by_caller(made: Onboarded) -> None:
    """Write the bundle nowhere: the caller has it from what is returned."""


def onboard(
    profile: Profile,
    name: str,
    *,
    now: datetime,
    addresses: Addresses | None = None,
    expiry: timedelta = EXPIRY,
    deliver: Deliver = kept_by_caller,
) -> Onboarded:
    """Give a department or an app access of its own, in a bundle; what acted for it before ends.

    deliver: writes the bundle where it is sent from. Whatever fails before that is done,
    here or on a server, all of it can be repeated: nothing that was made before is of any
    use then. Raises InputError if there is none of this name or it is onboarded
    already, Unavailable if a server does not answer.
    """
    principal = principal_of(name)
    held = profile.handovers.get(principal)
    if held is not None and held.state != "revoked":
        with administer(profile.settings("admin")) as connection:
            is_onboarded = held.state == "onboarded" or in_use(connection, principal) is not None
        if is_onboarded:
            raise InputError(
                f"{name} is onboarded already.", todo="Use `maplebridge onboard renew`."
            )
    _check(profile, principal, addresses)
    begun = _remembered(profile, principal, "onboarding")
    with administer(profile.settings("admin")) as connection:
        withdraw(connection, principal)
        end_bundles(connection, principal)
    made = _hand_over(begun, principal, None, now=now, until=now, to=addresses, expiry=expiry)
    deliver(made)
    _remembered(begun, principal, "onboarded")
    return made


def renew(
    profile: Profile,
    name: str,
    *,
    now: datetime,
    addresses: Addresses | None = None,
    expiry: timedelta = EXPIRY,
    overlap: timedelta = OVERLAP,
    deliver: Deliver = kept_by_caller,
) -> Onboarded:
    """Give an onboarded department or app new secrets in a new bundle.

    The ones in use hold until the overlap ends, or until an hour after the new bundle is
    opened. A bundle that is not opened yet is withdrawn, and what is in it ends at once.
    Raises as `onboard`, and may be repeated likewise.
    """
    principal = principal_of(name)
    held = profile.handovers.get(principal)
    if held is None or held.state == "revoked":
        raise InputError(
            f"{name} is not onboarded.",
            todo="Run `maplebridge onboard department` or `app`.",
        )
    _check(profile, principal, addresses)
    end_overlaps(profile, now=now)
    with administer(profile.settings("admin")) as connection:
        # first: a bundle that is opened now would hold a password that is replaced below
        withdraw(connection, principal)
        used = in_use(connection, principal)
    until = now + overlap
    made = _hand_over(profile, principal, used, now=now, until=until, to=addresses, expiry=expiry)
    deliver(made)
    _remembered(profile, principal, "onboarded")
    return made


def revoke(profile: Profile, name: str, *, now: datetime) -> Profile:
    """End all access of a department or app at once; its signing keys ten seconds later.

    Raises InputError if there is none of this name, Unavailable; harmless to repeat.
    """
    principal = principal_of(name)
    admin = profile.settings("admin")
    # first what is remembered: whatever fails later, `up` gives nothing back
    revoked = _remembered(profile, principal, "revoked")
    remove_logins(admin, principal, MECHANISMS)
    _sync_rules(revoked)
    end_signing_keys(admin, signer_of(principal), at=now)
    with administer(admin) as connection:
        withdraw(connection, principal)
        end_bundles(connection, principal)
        remove_principal(connection, principal)
    return revoked


def principal_of(name: str) -> str:
    """Return the principal of a department or an app; raises InputError if it is neither."""
    departments, apps = sorted(load_catalogue().departments), apps_with_topics(load_consumers())
    if name in departments:
        return f"dept-{name}"
    if name in apps:
        return app_principal(name)
    raise InputError(
        f"no contract is of a department {name!r}, and no app of that name has a topic.",
        todo=f"Add its contracts to schemas/{name}/ and run `maplebridge schema lint` and"
        f" `register` first, or add the app to consumers.yaml. Departments:"
        f" {', '.join(departments)}. Apps: {', '.join(apps)}.",
    )


def _check(profile: Profile, principal: str, addresses: Addresses | None) -> None:
    """Raises InputError, before anything is made, if its settings refuse these."""
    Settings(**_shared(profile, addresses), principal=principal, tls_ca=profile.tls_ca)


def _hand_over(
    profile: Profile,
    principal: str,
    used: InUse | None,
    *,
    now: datetime,
    until: datetime,
    to: Addresses | None,
    expiry: timedelta,
) -> Onboarded:
    """Make new secrets beside those in use, which hold until `until`, and a bundle of them.

    Nothing here touches what is in use but to give it an end, so it may be cut short and
    repeated: what nobody can have opened is replaced or ends.
    """
    admin, signer = profile.settings("admin"), signer_of(principal)
    secret, signing_key = secrets.token_urlsafe(32), SigningKey.generate()
    mechanism = MECHANISMS[0] if used is None else other_mechanism(used.kafka_mechanism)
    set_login(admin, principal, secret, mechanism)
    _sync_rules(profile)
    if used is None:
        remove_logins(admin, principal, [other_mechanism(mechanism)])
        end_signing_keys(admin, signer, at=now)
    enrol(admin, [_enrolment(signer, signing_key, now)])
    code, share = Code.make(), os.urandom(SHARE_BYTES)
    told = _own_profile(profile, principal, secret, signing_key, mechanism, to)
    header = Header(
        bundle_id=uuid.uuid4(),
        principal=principal,
        made_at=now,
        expires_at=now + expiry,
        key_broker_url=str(told["profile"]["key_broker_url"]),
        tls_ca=str(told["files"].get("authority.pem", "")),
    )
    with administer(admin) as connection, connection.transaction():
        if used is None:
            ensure_principals(connection, {principal: secret})
        else:
            renew_principal(
                connection,
                principal,
                secret,
                newest_in_use=used.is_newest,
                older_until=until,
            )
        deposit(
            connection,
            bundle_id=header.bundle_id,
            principal=principal,
            share=share,
            proof=code.proof(header.bundle_id),
            expires_at=header.expires_at,
            grace_s=GRACE.total_seconds(),
            kafka_mechanism=mechanism,
            signing_key_id=signing_key.key_id,
        )
    if used is not None:
        # last: a renewal that was cut short before gives no end to what is in use
        kept = {used.signing_key_id: until, signing_key.key_id: None}
        overlap_signing_keys(admin, signer, kept, now=now)
    bundle = seal_bundle(header, told, code=code, share=share)
    return Onboarded(principal.partition("-")[2], bundle, code, header.expires_at)


def _remembered(profile: Profile, principal: str, state: State) -> Profile:
    handovers = {**profile.handovers, principal: Handover(state=state)}
    changed = profile.model_copy(update={"handovers": handovers}).without_handed_over()
    changed.save()
    return changed


def _sync_rules(profile: Profile) -> None:
    admin = profile.settings("admin")
    policies = make_policies(admin, grants=grants_now(admin))
    sync_rules(admin, city_rules(policies, revoked=profile.revoked))


def _enrolment(signer: str, key: SigningKey, now: datetime) -> Enrolment:
    return Enrolment(signer, key.key_id, key.public_key, valid_from=micros(now))


def _shared(profile: Profile, addresses: Addresses | None) -> dict[str, Any]:
    """Return what a department or an app is told of the city; nothing of it is secret."""
    names = {
        "kafka_bootstrap",
        "registry_url",
        "key_broker_url",
        "key_broker_public_key",
        "audit_public_key",
    }
    known = profile.model_dump(mode="json", include=names)
    return known | (addresses.given() if addresses else {})


def _own_profile(
    profile: Profile,
    principal: str,
    secret: str,
    signing_key: SigningKey,
    mechanism: Mechanism,
    addresses: Addresses | None,
) -> dict[str, Any]:
    """Return what the bundle holds: a profile of this principal alone, and files beside it."""
    files = {f"regions/{path.name}": path.read_text("utf-8") for path in profile.regions}
    if profile.tls_ca is not None:
        files["authority.pem"] = profile.tls_ca.read_text("ascii")
    return {
        "profile": {
            **_shared(profile, addresses),
            "kafka_mechanism": mechanism,
            "secrets": {principal: secret},
            "signing_keys": {principal: signing_key.encode()},
        },
        "files": files,
    }
