"""Notices to the persons whose fields were opened in an emergency (PIPL 18), by department.

Nobody here knows who they are: a notice names events, and their department, which knows,
fills in whom they are about.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from maplebridge import granting
from maplebridge.access_policy.acl import out_topic
from maplebridge.access_policy.consumers import load_consumers
from maplebridge.access_policy.grants import Grant
from maplebridge.errors import InputError
from maplebridge.kafka_topics import read_to_end
from maplebridge.schemas import AvroCodec, load_code_lists, load_schema, without_indexes
from maplebridge.settings import Profile, Settings

LATE_US = 5_000_000
_TEXT = """\
# 告知书 / Notice {opening}

在紧急情况（{reason_zh}）下，{title}查看了{department}所持有的您的个人信息。
开放时间：{begin} 至 {end}（UTC）；区域：{region}；依据：《个人信息保护法》第十三条；
经两人同意：{by}。

In an emergency ({reason}) {title} was shown personal information that {department}
holds about you: from {begin} to {end} (UTC), in the region {region}, on the basis of
PIPL 13(4), by two persons: {by}.

## 查看的内容 / What was shown

{fields}

您可以向下列联系人查询处理情况并提出异议：{ask}。
Ask {ask} what became of it, and object if you wish (PIPL 44, 45, 50).

## 所涉事件 / Events this concerns

由部门填写告知对象。The department fills in to whom the notice goes.

{events}
"""


@dataclass(frozen=True)
class Notice:
    """A file that was written. events: how many events of the department it names."""

    department: str
    path: Path
    events: int


def write(profile: Profile, opening_id: str, folder: Path, *, now: datetime) -> list[Notice]:
    """Write a notice for each department of whose events something was delivered.

    Raises InputError if it was no opening in an emergency or is open still, KafkaUnavailable.
    """
    admin = profile.settings("admin")
    found = [e for e in granting.all_grants(admin) if e.terms.grant_id == opening_id]
    if not found or not found[0].terms.emergency:
        raise InputError(
            f"{opening_id} is no opening.", todo="`maplebridge breakglass list` names them."
        )
    (grant,) = found
    if grant.status(round(now.timestamp() * 1_000_000)) == "active":
        raise InputError(
            f"{opening_id} is open still.", todo="Prepare the notices when it has ended."
        )
    events: dict[str, set[str]] = defaultdict(set)
    for view in _views(admin, grant):
        if _shows(grant, view):
            events[view["department"]].add(f"{view['event_type']} {view['event_id']}")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for department, named in sorted(events.items()):
        path = folder / f"{opening_id}-{department}.md"
        path.write_text(_text(grant, department, sorted(named)), "utf-8")
        written.append(Notice(department, path, len(named)))
    return written


def _text(grant: Grant, department: str, events: list[str]) -> str:
    terms, consumers = grant.terms, load_consumers()
    zh = load_code_lists().get("breakglass_reason").codes
    begun, ended = _span(grant)
    return _TEXT.format(
        opening=terms.grant_id,
        reason=terms.emergency,
        reason_zh=zh[terms.emergency or ""],
        title=consumers.known(terms.consumer).title,
        department=department,
        begin=_clock(begun),
        end=_clock(ended),
        region=terms.region,
        by=", ".join((grant.requested_by, *grant.approved_by)),
        fields="\n".join(f"- {each.event_type} {each.path}" for each in terms.fields),
        ask=consumers.whom_to_ask(department),
        events="\n".join(f"- {each}" for each in events),
    )


def _span(grant: Grant) -> tuple[int, int]:
    """Return when it was open, in microseconds since 1970."""
    begun = next((e.at for e in grant.steps if e.transition == "approved"), grant.terms.valid_to)
    revoked = [each.at for each in grant.steps if each.transition == "revoked"]
    return begun, min([grant.terms.valid_to, *revoked])


def _shows(grant: Grant, view: dict[str, Any]) -> bool:
    shown = {without_indexes(path) for path in view["fields"]}
    granted = {e.path for e in grant.terms.fields if e.event_type == view["event_type"]}
    return view["purpose"] == grant.terms.purpose and not shown.isdisjoint(granted)


def _views(settings: Settings, grant: Grant) -> Iterator[dict[str, Any]]:
    """Yield what was delivered to the app while it was open, and in the five seconds after."""
    begun, ended = _span(grant)
    codec = AvroCodec(load_schema("out/view.v1"), 0)
    topic, group = out_topic(grant.terms.consumer), f"{settings.principal}.notices"
    for record in read_to_end(settings, [topic], group=group, since=begun):
        if record.at <= ended + LATE_US:
            yield codec.decode(record.value)


def _clock(at: int) -> str:
    return f"{datetime.fromtimestamp(at / 1_000_000, UTC):%Y-%m-%d %H:%M}"
