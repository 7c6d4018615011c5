"""How a department's producer speaks to Kafka."""

from __future__ import annotations

from typing import Any

from maplebridge.settings import Settings


def producer_config(settings: Settings) -> dict[str, Any]:
    """Return librdkafka's settings of an idempotent producer that never gives up by itself."""
    return settings.kafka_config(
        **{
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
            "linger.ms": 5,
            "batch.size": 500_000,
            "message.max.bytes": settings.event_max_bytes + 50_000,
            "queue.buffering.max.messages": 50_000,
            "queue.buffering.max.kbytes": 65_536,
            # what waits lies in the spool; a record that timed out would break the order
            "message.timeout.ms": 0,
            "request.timeout.ms": 5_000,
            "socket.timeout.ms": 10_000,
            "socket.connection.setup.timeout.ms": 5_000,
            "reconnect.backoff.max.ms": 1_000,
            "topic.metadata.propagation.max.ms": 5_000,
            "allow.auto.create.topics": False,
            # errors come through the callbacks; librdkafka's own lines are for nobody
            "log_level": 0,
        }
    )
