"""CloudEvents headers (binary mode): a copy of the envelope for other tools, unread by ours."""

from __future__ import annotations

from datetime import datetime

CONTENT_TYPE = "application/vnd.confluent.avro"

Headers = list[tuple[str, str | bytes | None]]


class CloudEventsHeaders:
    """Makes the headers of one contract's events; ce_type: such as `hotline.order.v1`."""

    def __init__(self, ce_type: str, department: str) -> None:
        self._fixed: Headers = [
            ("ce_specversion", b"1.0"),
            ("ce_source", f"/departments/{department}".encode()),
            ("ce_type", ce_type.encode()),
            ("content-type", CONTENT_TYPE.encode()),
        ]

    def of(self, event_id: str, occurred_at: datetime) -> Headers:
        """occurred_at: aware."""
        return [*self._fixed, ("ce_id", event_id), ("ce_time", occurred_at.isoformat())]
