"""A release as audit leaves: who was given, or refused, the keys of which fields."""

from __future__ import annotations

from collections.abc import Callable

from maplebridge.access_policy.audit.leaf import AuditedField, Leaf, cover
from maplebridge.access_policy.audit.log import AuditLog
from maplebridge.access_policy.broker.release import Decided, ReleaseRecord

_Group = tuple[str, bool, str, str]
"""(event type, allowed, rule, grant)"""


def audit_into(log: AuditLog) -> Callable[[ReleaseRecord], None]:
    """Return what writes a release to the log; it raises AuditUnavailable if it is not durable."""

    def audit(record: ReleaseRecord) -> None:
        log.append(leaves_of(record))

    return audit


def leaves_of(record: ReleaseRecord) -> list[Leaf]:
    """Return a leaf for each event type, decision, rule and grant of one request.

    Keys and subjects stand in a leaf as salted commitments only.
    """
    groups: dict[_Group, list[Decided]] = {}
    for each in record.decided:
        group = (each.event_type, each.allowed, each.rule, each.grant)
        groups.setdefault(group, []).append(each)
    return [_leaf(record, group, decided) for group, decided in groups.items()]


def _leaf(record: ReleaseRecord, group: _Group, decided: list[Decided]) -> Leaf:
    event_type, allowed, rule, grant = group
    seen = dict.fromkeys((each.path, each.grade, each.form) for each in decided)
    return Leaf(
        at=record.at,
        action="access.decrypted" if allowed else "access.denied",
        who=record.principal,
        on_behalf_of=record.app,
        purpose=record.purpose,
        decision="permit" if allowed else "deny",
        rule=rule,
        policy_version=record.policy_version,
        resource=event_type or "pseudonyms",
        fields=tuple(AuditedField(*each) for each in seen),
        rows=len(decided),
        communities=len({each.community for each in decided if each.community}),
        grant=grant,
        decision_id=record.decision_id,
        cover=cover(dict.fromkeys(each.key_id or each.key_ref or each.id for each in decided)),
    )
