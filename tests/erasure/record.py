"""What of the record opens: every sealed field of every event, with the keys there are now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from maplebridge.access_policy.broker.release import Broker, Ruling
from maplebridge.access_policy.broker.roots import epoch_files, open_root
from maplebridge.access_policy.broker.store import Connections
from maplebridge.access_policy.broker.vault import Vault
from maplebridge.access_policy.keyclient import request_for
from maplebridge.access_policy.keys import FieldKey
from maplebridge.kafka_topics import read_to_end
from maplebridge.processors.opening import Openers
from maplebridge.schemas import Codec, Contract, Event, RegistryClient, load_catalogue
from maplebridge.settings import Profile, Settings

CATALOGUE = load_catalogue()
Place = tuple[str, str]
"""event id, path with its array indexes"""


class Permits:
    """A policy that lets the key broker give every key it has."""

    def decide(self, *_: object) -> Ruling:
        return Ruling(True, "test", "v")


@dataclass
class Opened:
    """Every sealed field of the record: its value, or why it stays closed."""

    values: dict[Place, Any] = field(default_factory=dict)
    closed: dict[Place, str] = field(default_factory=dict)

    def of(self, event_id: str) -> dict[str, Any]:
        return {path: value for (each, path), value in self.values.items() if each == event_id}

    def closed_of(self, event_id: str) -> dict[str, str]:
        return {path: why for (each, path), why in self.closed.items() if each == event_id}


def events(settings: Settings) -> list[Event]:
    """Return every event that departments have published."""
    topics = [topic for contract in CATALOGUE.published for topic in contract.topics]
    registry = RegistryClient(settings.registry_url)
    codec = Codec(CATALOGUE, registry)
    records = list(read_to_end(settings, topics, group="test-record"))
    found = [codec.decode(record.value).event for record in records]
    registry.close()
    return found


def opened(profile: Profile) -> Opened:
    """Open what opens, with a key broker of its own over the city's database: no cache."""
    settings = profile.settings("key-broker")
    connections = Connections(settings)
    vault = Vault(connections, epoch_files(settings, open_root(settings)))
    broker = Broker(vault, connections, decider=Permits(), audit=lambda _: None)
    openers, found = Openers(CATALOGUE), Opened()
    for event in events(profile.settings("admin")):
        meta = event["meta"]
        contract = CATALOGUE.get(meta["event_type"])
        for path, token in sealed(contract, event):
            place = (meta["event_id"], path)
            grade = contract.field(path).grade
            wanted = request_for(token, event_type=contract.event_type, path=path, grade=grade)
            (answer,) = broker.release("app-test", "rights", [wanted]).answers
            if isinstance(answer, FieldKey):
                found.values[place] = openers.open(
                    token,
                    department=meta["department"],
                    event_type=contract.event_type,
                    event_id=meta["event_id"],
                    path=path,
                    key=answer,
                )
            else:
                found.closed[place] = getattr(answer, "rule", "unknown")
    connections.close()
    return found


def sealed(contract: Contract, event: Event) -> Iterator[tuple[str, bytes]]:
    """Yield path and token of each sealed field that the event has."""
    for spec in contract.fields:
        if spec.seal is None:
            continue
        array, inside, name = spec.path.partition("[].")
        places = (
            [(f"{array}[{at}].{name}", each[name]) for at, each in enumerate(event[array])]
            if inside
            else [(spec.path, event[spec.path])]
        )
        yield from ((path, token) for path, token in places if token is not None)
