"""Steps of grants, taken by people: judged first, then written, signed, to the topic."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from maplebridge.access_policy.acl import app_principal
from maplebridge.access_policy.consumers import load_consumers
from maplebridge.access_policy.grant_log import GrantLog
from maplebridge.access_policy.grants import EVENT_TYPE, Grant, Step, Terms, Transition
from maplebridge.access_policy.officers import load_officers, officer_principal
from maplebridge.control_events import publish
from maplebridge.errors import InputError
from maplebridge.settings import Settings
from maplebridge.wiring import make_grant_log

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ID_SYMBOLS = 8


def new_grant_id(*, emergency: bool = False) -> str:
    """Return an id that people can read to each other: 40 random bits, and a digit."""
    symbols = "".join(secrets.choice(_ALPHABET) for _ in range(_ID_SYMBOLS))
    return f"{'B' if emergency else 'G'}-{symbols}0"


def principal_of(name: str) -> str:
    """Return the principal of an app or an officer; raises InputError if it is neither."""
    apps, officers = load_consumers().consumers, load_officers().officers
    if name in officers:
        return officer_principal(name)
    if name in apps:
        return app_principal(name)
    raise InputError(
        f"there is no app or officer {name}.",
        todo=f"Apps: {', '.join(apps)}. Officers: {', '.join(officers)}.",
    )


def all_grants(settings: Settings) -> list[Grant]:
    """Return every grant, in the order they were asked for. Raises Unavailable."""
    with _read(settings) as grants:
        return grants.book.all()


def request(settings: Settings, terms: Terms) -> Grant:
    """Ask for a grant as `settings.principal`.

    Raises InputError or ContractRefused if nobody could be granted these terms, Unavailable.
    """
    with _read(settings) as grants:
        return _requested(settings, grants, terms)


def decide(
    settings: Settings,
    grant_id: str,
    transition: Transition,
    *,
    terms_ref: str | None = None,
    reason: str | None = None,
    outcome: str | None = None,
    notified: bool | None = None,
    emergency: bool = False,
) -> Grant:
    """Approve, accept, revoke or review a grant as `settings.principal`; return it then.

    emergency: whether it is one that was opened in an emergency. Raises InputError if it is
    not, or if that principal may not, or not now; Unavailable.
    """
    with _read(settings) as grants:
        terms = grants.book.get(grant_id).terms
        if bool(terms.emergency) is not emergency:
            kind, group = ("an opening", "breakglass") if terms.emergency else ("a grant", "grant")
            raise InputError(f"{grant_id} is {kind}.", todo=f"Use `maplebridge {group}`.")
        step = Step(
            "",
            _now(grants),
            transition,
            settings.principal,
            terms,
            terms_ref,
            reason,
            outcome,
            notified,
        )
        return _take(settings, grants, step)


def renew(
    settings: Settings, grant_id: str, *, days: int, assessment_ref: str | None = None
) -> Grant:
    """Ask for the same again, from where the grant ends, or from now if it has ended.

    Raises as `request`.
    """
    with _read(settings) as grants:
        old = grants.book.get(grant_id).terms
        if old.emergency:
            raise InputError(
                f"{grant_id} was opened in an emergency.", todo="Open it again: `breakglass open`."
            )
        begin = max(old.valid_to, time.time_ns() // 1000)
        terms = replace(
            old,
            grant_id=new_grant_id(),
            valid_from=begin,
            valid_to=begin + days * 86_400_000_000,
            assessment_ref=assessment_ref or old.assessment_ref,
            renews=grant_id,
        )
        return _requested(settings, grants, terms)


def _requested(settings: Settings, grants: GrantLog, terms: Terms) -> Grant:
    step = Step("", _now(grants), "requested", settings.principal, terms)
    return _take(settings, grants, step)


def _take(settings: Settings, grants: GrantLog, step: Step) -> Grant:
    grant_id = step.terms.grant_id
    # a step that would be passed by everybody is not written
    grants.book.judge(step)
    if not settings.signing_key.get_secret_value():
        raise InputError(
            f"{settings.principal} has no signing key here, and an unsigned step counts nothing.",
            todo="Use the home folder that its bundle was opened into.",
        )
    event_id = publish(settings, EVENT_TYPE, step.transition, step.to_event(), key=grant_id)
    grants.read()
    grant = grants.book.get(grant_id)
    if event_id not in {each.event_id for each in grant.steps}:
        raise InputError(
            f"the step was written and does not count: {grant_id} is {grant.status(_now(grants))}.",
            todo="Look at the grant again; if nothing changed it, the signing key may have ended.",
        )
    return grant


def _now(grants: GrantLog) -> int:
    return grants.book.now(time.time_ns() // 1000)


@contextmanager
def _read(settings: Settings) -> Iterator[GrantLog]:
    grants = make_grant_log(settings)
    try:
        grants.read()
        yield grants
    finally:
        grants.close()
