"""docker-compose.yml: valid, without a default secret, and set like the embedded stack."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from maplebridge.deployment import NEEDED, Deployment
from maplebridge.localstack import Stack, kafka, postgresql, principals, registry
from maplebridge.localstack.java import java_program
from maplebridge.settings import Profile, Settings
from maplebridge.wiring import SERVICES
from tests.frame.repository import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(:[?-])?[^}]*\}")

# names that the embedded stack writes with its own addresses and secrets
ADDRESSES = {
    "listeners",
    "advertised.listeners",
    "controller.quorum.voters",
    "log.dirs",
    "listener.name.client.scram-sha-256.sasl.jaas.config",
    "listener.name.controller.plain.sasl.jaas.config",
}
# the listener for programs outside the containers
FOR_THE_HOST = {
    "listener.name.host.sasl.enabled.mechanisms",
    "listener.name.host.scram-sha-256.sasl.jaas.config",
    "listener.name.host.scram-sha-512.sasl.jaas.config",
}
DIFFERENT = {"listener.security.protocol.map"}
POSTGRES_DIFFERENT = {"listen_addresses", "unix_socket_directories"}
TOKEN = {f"MAPLEBRIDGE_ROOT_PKCS11_{name}" for name in ("MODULE", "TOKEN", "KEY")}
"""Of a hardware module, which these containers have none of."""
SOMEWHERE = Profile(
    home=Path("home"),
    kafka_bootstrap="127.0.0.1:1",
    registry_url="http://127.0.0.1:2",
    postgres_host="127.0.0.1",
    postgres_port=3,
    key_broker_url="http://127.0.0.1:4",
    secrets=dict.fromkeys(principals.ALL, "secret"),
)


def properties() -> dict[str, str]:
    content = COMPOSE["configs"]["server.properties"]["content"]
    return dict(line.split("=", 1) for line in content.splitlines())


def environment(name: str) -> dict[str, str]:
    found: dict[str, str] = CONTAINERS[name].get("environment", {})
    return found


def test_it_fits_the_compose_specification() -> None:
    # the package is not imported: it is wanted for the schema that it carries
    schemas = distribution("check-jsonschema").locate_file("check_jsonschema/builtin_schemas")
    schema = json.loads(Path(str(schemas), "vendor", "compose-spec.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(COMPOSE)


def test_kafka_has_the_settings_of_the_embedded_one() -> None:
    told = properties()
    assert set(told) == set(kafka.SETTINGS) | ADDRESSES | FOR_THE_HOST
    wanted = {name: str(value) for name, value in kafka.SETTINGS.items() if name not in DIFFERENT}
    assert {name: told[name] for name in wanted} == wanted


def test_postgresql_has_the_settings_of_the_embedded_one() -> None:
    _, *options = CONTAINERS["postgresql"]["command"]
    told = dict(option.removeprefix("-c").split("=", 1) for option in options)
    assert set(told) == set(postgresql.SETTINGS)
    wanted = {
        name: value for name, value in postgresql.SETTINGS.items() if name not in POSTGRES_DIFFERENT
    }
    assert {name: told[name] for name in wanted} == wanted


def test_the_registry_has_the_settings_of_the_embedded_one() -> None:
    embedded = registry.environment(SOMEWHERE, port=1, management_port=2)
    told = environment("registry")
    assert set(told) == set(embedded)
    addresses = {"QUARKUS_HTTP_HOST", "QUARKUS_HTTP_PORT", "QUARKUS_MANAGEMENT_PORT",
                 "APICURIO_DATASOURCE_URL", "APICURIO_DATASOURCE_PASSWORD"}  # fmt: skip
    assert {n: told[n] for n in told if n not in addresses} == {
        n: embedded[n] for n in embedded if n not in addresses
    }


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_told_what_the_embedded_one_is(name: str) -> None:
    told = environment(name)
    known = {f"MAPLEBRIDGE_{field.upper()}" for field in Settings.model_fields}
    wanted = set(SOMEWHERE.environment(name))
    assert set(told) <= known
    # what it may leave out has a default that holds for containers as well
    assert wanted - set(told) - TOKEN <= {
        "MAPLEBRIDGE_REGIONS", "MAPLEBRIDGE_KAFKA_LOG_LEVEL", "MAPLEBRIDGE_KAFKA_MECHANISM",
        "MAPLEBRIDGE_AUDIT_WITNESSES", "MAPLEBRIDGE_AUDIT_QUORUM", "MAPLEBRIDGE_AUDIT_OVERDUE_S",
        "MAPLEBRIDGE_PSEUDONYM_ROUND_S",
    }  # fmt: skip
    assert told["MAPLEBRIDGE_PRINCIPAL"] == name
    assert CONTAINERS[name]["command"] == ["serve", name]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_gets_its_own_secret_alone(name: str) -> None:
    own = f"MAPLEBRIDGE_SECRET_{name.upper().replace('-', '_')}"
    used = {match[1] for value in environment(name).values() for match in VARIABLE.finditer(value)}
    secrets = {each for each in used if "SECRET" in each or "PASSPHRASE" in each}
    assert secrets == {own} | ({"MAPLEBRIDGE_ROOT_PASSPHRASE"} if name == "key-broker" else set())


def test_provision_is_told_every_secret_and_every_setting() -> None:
    told = environment("provision")
    optional = {
        "MAPLEBRIDGE_REGIONS",
        "MAPLEBRIDGE_TLS_CA",
        "MAPLEBRIDGE_AUDIT_WITNESSES",
        "MAPLEBRIDGE_AUDIT_QUORUM",
        "MAPLEBRIDGE_AUDIT_OVERDUE_S",
    } | TOKEN
    known = {f"MAPLEBRIDGE_{field.upper()}" for field in Deployment.model_fields}
    assert known - optional <= set(told)
    assert set(json.loads(told["MAPLEBRIDGE_SECRETS"])) == set(NEEDED)
    assert environment("accounts") == told


def test_no_secret_has_a_default_and_the_example_names_each() -> None:
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    optional = {"MAPLEBRIDGE_KEY_BROKER_PUBLIC_KEY", "MAPLEBRIDGE_AUDIT_PUBLIC_KEY"}
    needed = set()
    for name, rule in VARIABLE.findall(text):
        assert rule == (":-" if name in optional else ":?")
        needed |= {name} - optional
    example = (ROOT / ".env.example").read_text("utf-8").splitlines()
    assert {line for line in example if not line.startswith("#")} == {f"{n}=" for n in needed}


def test_every_port_is_published_on_loopback_alone() -> None:
    ports = [port for each in CONTAINERS.values() for port in each.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_servers_are_healthy_before_what_needs_them() -> None:
    for name, each in CONTAINERS.items():
        for needed, how in each.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in CONTAINERS[needed], (name, needed)
    assert {"kafka", "postgresql", "registry", "key-broker"} <= {
        name for name, each in CONTAINERS.items() if "healthcheck" in each
    }


def test_all_of_maple_bridges_services_are_there() -> None:
    assert set(CONTAINERS) == {
        "kafka", "postgresql", "registry", "accounts", "provision", "cli", *SERVICES
    }  # fmt: skip


def test_kafkas_own_tool_formats_a_storage_with_these_settings(
    stack: Stack, tmp_path: Path
) -> None:
    """The container's command, with this machine's paths."""
    (command,) = CONTAINERS["kafka"]["command"]
    config = tmp_path / "server.properties"
    content = COMPOSE["configs"]["server.properties"]["content"]
    config.write_text(
        VARIABLE.sub("a-secret", content).replace("/var/lib/kafka/data", str(tmp_path / "data"))
    )
    script, _, _ = command.partition("rm /tmp/format")
    jars = os.pathsep.join(map(str, stack.cache.jars("kafka")))
    script = (
        script.replace("$$", "$")
        .replace("/tmp/format", str(tmp_path / "format"))
        .replace("/etc/maplebridge/server.properties", str(config))
        .replace("'/opt/kafka/libs/*'", shlex.quote(jars))
        .replace("java ", f"{shlex.quote(str(java_program()))} ")
    )
    done = subprocess.run(
        ["bash", "-euc", script],
        env={"PATH": os.environ["PATH"], "ADMIN_SECRET": "a-secret"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "data" / "meta.properties").exists()
    assert (tmp_path / "format").stat().st_mode & 0o077 == 0
