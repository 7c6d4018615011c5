"""Which Kafka it is, how far its topics go, how far a group has come; and setting a group back."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from maplebridge.errors import InputError, KafkaUnavailable
from maplebridge.projections.backup import Offsets, by_topic
from maplebridge.settings import Settings
from maplebridge.tls import explained

_ASK_S = 10.0
_RUNS = {KafkaError.UNKNOWN_MEMBER_ID, KafkaError.NON_EMPTY_GROUP}
_log = logging.getLogger(__name__)


class KafkaPositions:
    """Asks as the administrator; every call raises KafkaUnavailable."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin = AdminClient(settings.kafka_config(), logger=_log)

    def cluster_id(self) -> str:
        with self._translated():
            return str(self._admin.list_topics(timeout=_ASK_S).cluster_id)

    def ends(self, wanted: Mapping[str, Mapping[int, int]]) -> Offsets:
        """Return where these partitions end, those that are not there at 0."""
        with self._translated():
            known = self._admin.list_topics(timeout=_ASK_S).topics
            places = {
                TopicPartition(topic, partition): OffsetSpec.latest()  # type: ignore[no-untyped-call]
                for topic, partitions in wanted.items()
                for partition in partitions
                if topic in known and partition in known[topic].partitions
            }
            ends = {(topic, each): 0 for topic, one in wanted.items() for each in one}
            if places:
                for place, told in self._admin.list_offsets(places).items():
                    ends[place.topic, place.partition] = told.result(_ASK_S).offset
            return by_topic(ends)

    def committed(self, group: str) -> Offsets:
        """Return what a group has committed, of the partitions of which it has."""
        with self._translated():
            asked = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
            found = asked[group].result(_ASK_S).topic_partitions or ()
            return by_topic({(e.topic, e.partition): e.offset for e in found if e.offset >= 0})

    def set_back(self, group: str, offsets: Mapping[str, Mapping[int, int]]) -> None:
        """Let a group go on from these offsets, and from the beginning elsewhere.

        Raises InputError if a member of it runs; nothing is changed then.
        """
        known = self.committed(group)
        wanted = {(topic, each): 0 for topic, one in known.items() for each in one}
        wanted |= {(topic, each): at for topic, one in offsets.items() for each, at in one.items()}
        if not wanted:
            return
        places = [TopicPartition(*place, offset) for place, offset in sorted(wanted.items())]
        with self._translated():
            request = ConsumerGroupTopicPartitions(group, places)
            (done,) = self._admin.alter_consumer_group_offsets([request]).values()
            for each in done.result(_ASK_S).topic_partitions:
                if each.error:
                    raise KafkaException(each.error)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as exc:
            error = exc.args[0]
            if error.code() in _RUNS:
                raise InputError(
                    "a service that reads Kafka runs.",
                    todo="Stop Maple Bridge's services and try again; nothing was changed.",
                ) from None
            failure = KafkaUnavailable(self._settings.kafka_bootstrap, error.name())
            raise explained(failure, tls_ca=self._settings.tls_ca) from exc
