"""T17: what is beyond this machine is spoken to with TLS, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from maplebridge.errors import InputError
from maplebridge.localstack import kafka, postgresql, registry
from maplebridge.settings import Profile, Settings
from tests.frame.repository import ROOT

HTTPS: dict[str, Any] = {
    "registry_url": "https://city.example:8443",
    "key_broker_url": "https://city.example:8200",
}


@pytest.mark.parametrize(
    "beyond",
    [
        {"kafka_bootstrap": "kafka.city.example:9092"},
        {"kafka_bootstrap": "127.0.0.1:9092,10.0.0.2:9092"},
        {"postgres_host": "10.0.0.3"},
        {"registry_url": "http://registry.city.example:8080"},
        {"key_broker_url": "http://[2001:db8::1]:8200"},
        {"key_broker_listen": "0.0.0.0"},
    ],
)
def test_an_address_beyond_this_machine_needs_tls(beyond: dict[str, Any]) -> None:
    """T17: by every address there is."""
    (name,) = beyond
    with pytest.raises(InputError, match=f"MAPLEBRIDGE_{name.upper()} .* without TLS"):
        Settings(**beyond)
    assert Settings(**beyond, private_network=True)


def test_loopback_needs_none() -> None:
    assert (
        Settings(
            kafka_bootstrap="localhost:9092,[::1]:9092,127.3.2.1:9092", postgres_host="localhost"
        ).kafka_config()["security.protocol"]
        == "SASL_PLAINTEXT"
    )


def test_one_switch_turns_tls_on_for_all(tmp_path: Path) -> None:
    ca = tmp_path / "authority.pem"
    settings = Settings(kafka_bootstrap="city.example:9092", tls_ca=ca, **HTTPS)
    config = settings.kafka_config()
    assert (config["security.protocol"], config["ssl.ca.location"]) == ("SASL_SSL", str(ca))
    assert f"sslmode=verify-full sslrootcert='{ca}'" in settings.postgres_dsn("maplebridge")


@pytest.mark.parametrize("name", HTTPS)
def test_some_servers_with_tls_and_some_without_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"MAPLEBRIDGE_{name.upper()}"):
        Settings(**{name: HTTPS[name]})
    with pytest.raises(InputError, match=f"MAPLEBRIDGE_{name.upper()} .* is without TLS"):
        Settings(**{**HTTPS, name: "http://127.0.0.1:1"}, tls_ca=tmp_path / "authority.pem")


def test_the_key_brokers_key_is_told_to_the_key_broker_alone(tmp_path: Path) -> None:
    profile = Profile(
        home=tmp_path,
        kafka_bootstrap="127.0.0.1:1",
        tls_ca=tmp_path / "authority.pem",
        key_broker_certificate=tmp_path / "key-broker.pem",
        key_broker_certificate_key=tmp_path / "key-broker.key",
        secrets={"key-broker": "s", "combine": "s"},
        **HTTPS,
    )
    names = {"MAPLEBRIDGE_KEY_BROKER_CERTIFICATE", "MAPLEBRIDGE_KEY_BROKER_CERTIFICATE_KEY"}
    assert names <= set(profile.environment("key-broker"))
    assert not names & set(profile.environment("combine"))
    assert profile.settings("combine").key_broker_certificate_key is None


def test_the_page_on_deployment_names_every_setting_of_tls(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "deployment.md").read_text("utf-8")
    names = {*kafka.TLS_SETTINGS, *postgresql.TLS_SETTINGS, *registry.tls_settings(
        tmp_path / "authority.pem", port=1
    )}  # fmt: skip
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []
