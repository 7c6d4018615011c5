"""What the key broker gives out: field keys by policy, and pseudonyms. Nothing unaudited.

The community and the department asked about are those of the master's own row,
never what the caller says. The event type, path and grade that the caller says
are bound into the field key, so a false one gives a key that opens nothing.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal, NamedTuple, Protocol

from maplebridge.access_policy.acl import APP_PREFIX
from maplebridge.access_policy.broker.principals import is_principal
from maplebridge.access_policy.broker.pseudonyms import Pseudonyms
from maplebridge.access_policy.broker.store import Connections
from maplebridge.access_policy.broker.vault import Subject, Vault
from maplebridge.access_policy.keys import (
    ITEMS_MAX,
    FieldKey,
    IdRef,
    KeyRequest,
    Master,
    PseudonymRequest,
    SubjectRef,
    Withheld,
    derive_field_key,
)
from maplebridge.access_policy.plans import KEY_REFS, Form
from maplebridge.access_policy.suites import SUITES
from maplebridge.errors import AccessDenied, AuditUnavailable, InputError, Unavailable

PSEUDONYM_PRINCIPAL = "deliver"
ERASED = "erased"
"""The rule that withholds a key that an erasure has destroyed."""
DECIDED_S = 1.0
"""How long after it was decided by a grant a key may still leave."""
IDS = "ids"
"""Stands in an audit entry for the paths of ids: which field one is from the broker is not told."""
_log = logging.getLogger(__name__)


class Ruling(NamedTuple):
    """What the policy says of one field. grant: the id of the one it rests on, if on any."""

    allowed: bool
    rule: str
    policy_version: str
    grant: str = ""


class Asked(NamedTuple):
    """What the policy is asked about one field; community and department are the master's."""

    app: str
    purpose: str
    event_type: str
    path: str
    grade: int
    community: str
    department: str


class Decider(Protocol):
    """The policy, as the key broker asks it."""

    def decide(self, asked: Asked) -> Ruling:
        """Return the ruling; an error is a denial.

        Raises Unavailable where nothing can be decided now.
        """
        ...


@dataclass(frozen=True, slots=True)
class Unknown:
    """The broker has no such master, perhaps not yet: its wrap may be on the way."""


Answer = FieldKey | Withheld | Unknown


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision on one field key, or one pseudonym given, of a key reference or an id."""

    allowed: bool
    rule: str
    department: str
    community: str
    event_type: str
    path: str
    grade: int
    form: Form
    key_id: str = ""
    key_ref: str = ""
    id: str = ""
    grant: str = ""


@dataclass(frozen=True, slots=True)
class ReleaseRecord:
    """What is audited before an answer leaves: one record per request.

    at: microseconds since 1970, UTC. app: whom it is for; principal: who asked.
    """

    at: int
    decision_id: str
    kind: Literal["keys", "pseudonyms"]
    principal: str
    app: str
    purpose: str
    policy_version: str
    decided: tuple[Decided, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """The answers in the order of the items."""

    decision_id: str
    policy_version: str
    answers: tuple[Answer, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tokens:
    """A token per item, empty where the subject was erased, None where it is unknown."""

    decision_id: str
    tokens: tuple[str | None, ...]


Audit = Callable[[ReleaseRecord], object]


class Broker:
    """Releases field keys and pseudonyms. Safe to share between threads.

    audit: must return only when the record is durable; if it raises, nothing is released.
    """

    def __init__(
        self,
        vault: Vault,
        connections: Connections,
        *,
        decider: Decider,
        audit: Audit,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.vault = vault
        self._connections = connections
        self._decider = decider
        self._audit = audit
        self._clock = clock

    def authenticate(self, principal: str, secret: str) -> bool:
        """Raises StoreUnavailable."""
        with self._connections.use() as connection:
            return is_principal(connection, principal, secret)

    def release(self, principal: str, purpose: str, items: Sequence[KeyRequest]) -> Release:
        """Answer each item with a field key, why it is withheld, or that it is unknown.

        Raises AccessDenied if the principal is no app, InputError over 500 items,
        AuditUnavailable, StoreUnavailable, KafkaUnavailable if it is not known which grants
        hold, IntegrityError if a stored row was altered.
        """
        app = _app_of(principal)
        _check_count(len(items))
        masters = self.vault.masters(item.key_id for item in items)
        erased = self.vault.erased(i.key_id for i in items if i.key_id not in masters)
        judge = _Judge(self._decider, app, purpose, erased)
        decided_at = monotonic()
        judged = [judge(item, masters.get(item.key_id)) for item in items]
        decided = tuple(each for each in judged if each is not None)
        decision_id = self._record("keys", principal, app, purpose, judge.version, decided)
        if monotonic() - decided_at > DECIDED_S and any(each.grant for each in decided):
            raise AuditUnavailable("the audit log", "so slow that a grant may be over by now")
        answers = tuple(
            _answer(item, masters.get(item.key_id), each)
            for item, each in zip(items, judged, strict=True)
        )
        return Release(decision_id, judge.version, answers)

    def pseudonyms(
        self, principal: str, purpose: str, consumer: str, items: Sequence[PseudonymRequest]
    ) -> Tokens:
        """Answer each item with its token under K[purpose, consumer].

        A subject that is to be joined is unknown until its wrap has arrived. Raises
        AccessDenied unless the principal is `deliver`, else as `release`.
        """
        if principal != PSEUDONYM_PRINCIPAL:
            raise AccessDenied("only `deliver` may ask for pseudonyms.", rule="principal")
        _check_count(len(items))
        joined = [item for item in items if isinstance(item, SubjectRef) and item.joined]
        subjects = [(item.department, item.key_ref) for item in joined]
        known = self.vault.identifiers(subjects) if subjects else {}
        erased = self.vault.erased_subjects(each for each in subjects if each not in known)
        root = self.vault.epochs.pseudonym_root
        made = Pseudonyms(root, purpose=purpose, consumer=consumer)
        tokens = [_token(made, item, known, erased) for item in items]
        decided = tuple(_given(item) for item, token in zip(items, tokens, strict=True) if token)
        decision_id = self._record("pseudonyms", principal, consumer, purpose, "", decided)
        return Tokens(decision_id, tuple(tokens))

    def _record(
        self,
        kind: Literal["keys", "pseudonyms"],
        principal: str,
        app: str,
        purpose: str,
        version: str,
        decided: tuple[Decided, ...],
    ) -> str:
        decision_id = str(uuid.uuid4())
        if not decided:
            return decision_id  # only unknown keys: nothing was decided and nothing leaves
        at = round(self._clock() * 1_000_000)
        record = ReleaseRecord(at, decision_id, kind, principal, app, purpose, version, decided)
        try:
            self._audit(record)
        except AuditUnavailable:
            raise
        except Exception as exc:
            # whatever went wrong there: no audit, no release
            _log.exception("audit of decision %s failed", decision_id)
            raise AuditUnavailable("the audit log", type(exc).__name__) from exc
        return decision_id


class _Judge:
    """Decides each item of one request; the policy is asked once for equal questions."""

    def __init__(self, decider: Decider, app: str, purpose: str, erased: Collection[bytes]) -> None:
        self._decider = decider
        self._app = app
        self._purpose = purpose
        self._erased = erased
        self._known: dict[Asked, Ruling] = {}
        self.version = ""

    def __call__(self, item: KeyRequest, master: Master | None) -> Decided | None:
        if item.key_id in self._erased:
            asked = (item.event_type, item.path, item.grade)
            return Decided(False, ERASED, "", "", *asked, "absent", key_id=item.key_id.hex())
        if master is None or master.version != item.key_version:
            return None
        if item.grade != master.grade_domain or item.suite not in SUITES:
            said = Ruling(False, "grade-domain", self.version)
        else:
            said = self._ask(item, master)
        return Decided(
            said.allowed,
            said.rule,
            master.department,
            master.community,
            item.event_type,
            item.path,
            item.grade,
            "clear" if said.allowed else "absent",
            key_id=item.key_id.hex(),
            key_ref=master.key_ref,
            grant=said.grant,
        )

    def _ask(self, item: KeyRequest, master: Master) -> Ruling:
        asked = Asked(
            self._app,
            self._purpose,
            item.event_type,
            item.path,
            item.grade,
            master.community,
            master.department,
        )
        if asked not in self._known:
            try:
                said = self._decider.decide(asked)
                self.version = said.policy_version
            except Unavailable:
                raise
            except Exception:
                # an error is a denial, whatever it is
                _log.exception("the policy failed on %s of %s", item.path, item.event_type)
                said = Ruling(False, "policy-error", self.version)
            self._known[asked] = said._replace(allowed=said.allowed is True)
        return self._known[asked]


def _token(
    made: Pseudonyms,
    item: PseudonymRequest,
    known: Mapping[Subject, tuple[str, str]],
    erased: Collection[Subject],
) -> str | None:
    if isinstance(item, IdRef):
        return made.id(item.id)
    if not item.joined:
        return made.in_department(item.department, item.key_ref)
    whose = (item.department, item.key_ref)
    if whose in erased:
        return ""
    return made.joined(*known[whose]) if whose in known else None


def _given(item: PseudonymRequest) -> Decided:
    """Return the entry of a pseudonym: that policies permit it `deliver` has asked itself."""
    if isinstance(item, IdRef):
        return Decided(True, "principal", "", "", "", IDS, 2, "pseudonym", id=item.id)
    form: Form = "joined" if item.joined else "pseudonym"
    return Decided(
        True, "principal", item.department, "", "", KEY_REFS, 2, form, key_ref=item.key_ref
    )


def _answer(item: KeyRequest, master: Master | None, decided: Decided | None) -> Answer:
    if decided is None:
        return Unknown()
    if master is None or not decided.allowed:
        return Withheld(decided.rule, _reason(item, decided))
    return derive_field_key(
        master, suite=item.suite, event_type=item.event_type, path=item.path, grade=item.grade
    )


def _reason(item: KeyRequest, decided: Decided) -> str:
    if decided.rule == ERASED:
        return "the key was destroyed by an erasure"
    if decided.rule == "grade-domain":
        return f"the key is not one of grade L{item.grade} and suite {item.suite}"
    if decided.rule == "default-deny":
        return f"no rule permits {item.path} of {item.event_type} for this app and purpose"
    return f"rule {decided.rule} decides over {item.path} of {item.event_type}"


def _app_of(principal: str) -> str:
    if not principal.startswith(APP_PREFIX):
        raise AccessDenied(f"{principal} is no app and gets no field keys.", rule="principal")
    return principal.removeprefix(APP_PREFIX)


def _check_count(count: int) -> None:
    if count > ITEMS_MAX:
        raise InputError(f"a request has at most {ITEMS_MAX} items.", todo="Ask in parts.")
