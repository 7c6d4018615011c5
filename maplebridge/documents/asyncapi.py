"""AsyncAPI 3.0.0 with the Kafka bindings 0.5.0: topics, who sends and who receives what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from maplebridge.access_policy.acl import out_topic
from maplebridge.documents.city import City
from maplebridge.producers.headers import CONTENT_TYPE
from maplebridge.schemas import Contract, load_schema

VERSION = "3.0.0"
BINDINGS = "0.5.0"
AVRO = "application/vnd.apache.avro;version=1.9.0"
"""The format's name in AsyncAPI's own list; Avro 1.12 reads the same schemas."""
VIEW = "out.view.v1"


def asyncapi(city: City, *, version: str) -> dict[str, Any]:
    """Return the document; version: that of Maple Bridge."""
    contracts = city.contracts
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "Maple Bridge",
            "version": version,
            "description": "Events of a city's departments. Fields of L3 and L4 travel sealed;"
            " an app reads its own topic, `mb.out.<app>`, alone.",
            "license": {
                "name": "Apache-2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {"kafka": _server()},
        "channels": _channels(city),
        "operations": _operations(city),
        "components": {
            "messages": {
                **{each.ce_type: _message(each) for each in contracts},
                VIEW: _view_message(),
            },
            "securitySchemes": {
                "scram": {
                    "type": "scramSha256",
                    "description": "Name and secret of the department or app",
                }
            },
        },
    }


def _server() -> dict[str, Any]:
    return {
        "host": "{bootstrap}",
        "protocol": "kafka-secure",
        "description": "Kafka of the city; every principal logs in",
        "variables": {"bootstrap": {"default": "127.0.0.1:9092"}},
        "security": [{"$ref": "#/components/securitySchemes/scram"}],
        "bindings": {
            "kafka": {
                "schemaRegistryUrl": "http://127.0.0.1:8081/apis/ccompat/v7",
                "schemaRegistryVendor": "apicurio",
                "bindingVersion": BINDINGS,
            }
        },
    }


def _channels(city: City) -> dict[str, Any]:
    channels = {}
    for contract in city.contracts:
        topics = dict.fromkeys((*contract.topics, contract.core_topic))
        for topic in topics:
            told = "Accepted events" if topic.startswith("mb.core.") else "The record"
            channels[topic] = _channel(
                topic, f"{told} of {contract.event_type}", [contract.ce_type]
            )
    for app in city.apps:
        topic = out_topic(app)
        title = city.consumers.consumers[app].title
        channels[topic] = _channel(topic, f"What {app} may see: {title}", [VIEW])
    return channels


def _channel(topic: str, description: str, messages: Iterable[str]) -> dict[str, Any]:
    return {
        "address": topic,
        "description": description,
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": {each: {"$ref": f"#/components/messages/{each}"} for each in messages},
        "bindings": {
            "kafka": {
                "topic": topic,
                "topicConfiguration": {"cleanup.policy": ["delete"], "retention.ms": -1},
                "bindingVersion": BINDINGS,
            }
        },
    }


def _operations(city: City) -> dict[str, Any]:
    operations = {}
    for contract in city.contracts:
        for publisher in contract.publishers:
            operations[f"{publisher}.send.{contract.event_type}"] = _operation(
                "send",
                contract.topic_of(publisher),
                contract.ce_type,
                f"{publisher} publishes {contract.event_type}",
            )
    for app in city.apps:
        purposes = sorted(
            {each.purpose for held in city.followers.values() for each in held if each.app == app}
        )
        operations[f"{app}.receive"] = _operation(
            "receive", out_topic(app), VIEW, f"{app} reads its views for {', '.join(purposes)}"
        )
    return operations


def _operation(action: str, topic: str, message: str, summary: str) -> dict[str, Any]:
    channel = f"#/channels/{topic}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "summary": summary,
        "messages": [{"$ref": f"{channel}/messages/{message}"}],
        "bindings": {"kafka": {"bindingVersion": BINDINGS}},
    }


def _message(contract: Contract) -> dict[str, Any]:
    return {
        "name": contract.ce_type,
        "title": contract.event_type,
        "summary": contract.schema["doc"],
        "contentType": CONTENT_TYPE,
        "headers": _headers(contract),
        "payload": {"schemaFormat": AVRO, "schema": contract.schema},
        "bindings": {"kafka": _binding("The case reference, else the event id")},
    }


def _view_message() -> dict[str, Any]:
    schema = load_schema("out/view.v1")
    return {
        "name": VIEW,
        "title": "view",
        "summary": schema["doc"],
        "contentType": CONTENT_TYPE,
        "payload": {"schemaFormat": AVRO, "schema": schema},
        "bindings": {
            "kafka": _binding("The case reference where the app may see it, else the event id")
        },
    }


def _binding(key: str) -> dict[str, Any]:
    return {
        "key": {"type": "string", "description": key},
        "schemaIdLocation": "payload",
        "schemaIdPayloadEncoding": "confluent",
        "bindingVersion": BINDINGS,
    }


def _headers(contract: Contract) -> dict[str, Any]:
    """CloudEvents 1.0 in Kafka's binary mode: a copy for other tools, the envelope holds."""
    source = [f"/departments/{each}" for each in contract.publishers]
    return {
        "type": "object",
        "properties": {
            "ce_specversion": {"type": "string", "const": "1.0"},
            "ce_id": {"type": "string", "description": "meta.event_id"},
            "ce_source": {"type": "string", "enum": source},
            "ce_type": {"type": "string", "const": contract.ce_type},
            "ce_time": {"type": "string", "format": "date-time"},
            "content-type": {"type": "string", "const": CONTENT_TYPE},
        },
    }
