"""Which topics each stage reads and writes, and that no event can come round again."""

from __future__ import annotations

from graphlib import TopologicalSorter

from maplebridge.access_policy.acl import (
    ACCESS_TOPIC,
    ANSWERS_TOPIC,
    ERASED_TOPIC,
    GRANTS_TOPIC,
    KEYS_TOPIC,
    SIGNING_TOPIC,
    Rule,
    orders_topic,
    out_topic,
    wanted_rules,
)
from maplebridge.access_policy.consumers import load_consumers
from maplebridge.processors.react import event_types
from maplebridge.processors.rule_files import load_rules
from maplebridge.provision import wanted_topics
from maplebridge.schemas import Catalogue, load_catalogue

APPS = list(load_consumers().consumers)


def edges(catalogue: Catalogue) -> set[tuple[str, str]]:
    """Return (topic read, topic written) over all stages."""
    reactions = [each for each in catalogue if each.department == "react"]
    combine = {
        (topic, written)
        for each in catalogue
        for topic in each.topics
        for written in (each.core_topic, f"mb.dlq.{topic}")
        # a reaction's own topic is its core topic: combine sends nothing onward
        if written != topic
    }
    combine |= {(topic, ANSWERS_TOPIC) for each in catalogue for topic in each.topics}
    react = {
        (catalogue.get(name).core_topic, each.topic)
        for name in event_types(load_rules(catalogue=catalogue))
        for each in reactions
    }
    deliver = {(each.core_topic, out_topic(app)) for each in catalogue for app in APPS}
    return combine | react | deliver


def rights(rules: frozenset[Rule], principal: str, operation: str, topic: str) -> bool:
    return any(
        who == principal
        and kind == "TOPIC"
        and allowed == operation
        and (topic == name if pattern == "LITERAL" else topic.startswith(name))
        for who, kind, name, pattern, allowed in rules
    )


def test_the_graph_of_topics_has_no_cycle() -> None:
    below: dict[str, set[str]] = {}
    for read, written in edges(load_catalogue()):
        below.setdefault(written, set()).add(read)
    order = list(TopologicalSorter(below).static_order())
    assert order[-1].startswith(("mb.out.", "mb.dlq.", ANSWERS_TOPIC))


def test_every_topic_of_the_graph_is_made_and_no_other() -> None:
    catalogue = load_catalogue()
    made = {topic.name for topic in wanted_topics(catalogue, APPS, record_max_bytes=1_000_000)}
    assert made == {topic for edge in edges(catalogue) for topic in edge} | {
        ACCESS_TOPIC,
        KEYS_TOPIC,
        SIGNING_TOPIC,
        ERASED_TOPIC,
        *map(orders_topic, catalogue.departments),
        *(contract.topic for contract in catalogue.control),
    }


ACTS = {
    (GRANTS_TOPIC, "WRITE"): {"acl-sync", "officer-bureau-1"},
    (GRANTS_TOPIC, "READ"): {"acl-sync", "key-broker", "deliver", "officer-bureau-1"},
}
"""Who has a part in control events, besides the administrator."""


def test_control_events_stay_off_the_way_of_departments() -> None:
    catalogue = load_catalogue()
    rules = wanted_rules(catalogue, APPS, parties=["officer-bureau-1"])
    principals = {rule[0] for rule in rules}
    consumed = {topic for contract in catalogue for topic in contract.topics}
    for contract in catalogue.control:
        assert contract.topic == f"mb.control.{contract.event_type}" not in consumed
        for operation in ("READ", "WRITE"):
            # the administrator needs no rule
            allowed = {who for who in principals if rights(rules, who, operation, contract.topic)}
            assert allowed == ACTS.get((contract.topic, operation), set())


def test_kafka_lets_each_stage_do_its_part() -> None:
    catalogue = load_catalogue()
    rules = wanted_rules(catalogue, APPS)
    for contract in catalogue:
        assert rights(rules, "combine", "READ", contract.topic)
        assert rights(rules, "deliver", "READ", contract.core_topic)
        assert rights(rules, "relay", "WRITE", contract.core_topic)
        assert rights(rules, "relay", "WRITE", f"mb.dlq.{contract.topic}")
    for name in event_types(load_rules(catalogue=catalogue)):
        assert rights(rules, "react", "READ", catalogue.get(name).core_topic)
    assert rights(rules, "relay", "WRITE", ANSWERS_TOPIC)
    for department in catalogue.departments:
        assert rights(rules, f"dept-{department}", "READ", ANSWERS_TOPIC)
        assert not rights(rules, f"dept-{department}", "WRITE", ANSWERS_TOPIC)


def test_a_department_alone_reads_what_it_is_to_erase_and_each_may_answer() -> None:
    catalogue = load_catalogue()
    rules = wanted_rules(catalogue, APPS)
    principals = {rule[0] for rule in rules}
    departments = {f"dept-{each}" for each in catalogue.departments}
    for department in catalogue.departments:
        topic = orders_topic(department)
        readers = {who for who in principals if rights(rules, who, "READ", topic)}
        assert readers == {f"dept-{department}"}
        assert not [who for who in principals if rights(rules, who, "WRITE", topic)]
    assert {who for who in principals if rights(rules, who, "WRITE", ERASED_TOPIC)} == departments
    assert not [who for who in principals if rights(rules, who, "READ", ERASED_TOPIC)]


def test_only_departments_write_the_record_and_only_combine_reads_it() -> None:
    catalogue = load_catalogue()
    rules = wanted_rules(catalogue, APPS)
    principals = {rule[0] for rule in rules}
    for contract in catalogue.published:
        for publisher in contract.publishers:
            topic = contract.topic_of(publisher)
            writers = {who for who in principals if rights(rules, who, "WRITE", topic)}
            assert {who for who in principals if rights(rules, who, "READ", topic)} == {"combine"}
            sharing = [each for each in contract.publishers if contract.topic_of(each) == topic]
            assert writers == {f"dept-{each}" for each in sharing}


def test_an_app_reads_its_own_topic_alone() -> None:
    catalogue = load_catalogue()
    rules = wanted_rules(catalogue, APPS)
    topics = [topic.name for topic in wanted_topics(catalogue, APPS, record_max_bytes=1_000_000)]
    for app in APPS:
        readable = {name for name in topics if rights(rules, f"app-{app}", "READ", name)}
        assert readable == {out_topic(app)}
        assert not any(rights(rules, f"app-{app}", "WRITE", name) for name in topics)
