"""Settings: what one process needs to know, read once by its `main`.

A process reads `MAPLEBRIDGE_*` from its environment. On a developer's machine
`maplebridge up` writes the same values to a profile, from which every command
takes those of the principal it acts as; the environment wins over the profile.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from maplebridge.errors import InputError, StackNotRunning
from maplebridge.kafka_log import log_error

PROFILE_NAME = "profile.json"
Mechanism = Literal["SCRAM-SHA-256", "SCRAM-SHA-512"]
_OF_KEY_BROKER = {
    "key_broker_certificate",
    "key_broker_certificate_key",
    "root_pkcs11_module",
    "root_pkcs11_token",
    "root_pkcs11_key",
}
SERVICE_KAFKA_LOG_LEVEL = 2
"""Critical: errors come to `log_error`; librdkafka itself would log every failed attempt."""
_OFFICERS = {"secrets", "signing_keys", "root_passphrase", "handovers"}
"""What a profile holds and no process is told whole."""


class WitnessAddress(BaseModel):
    """A witness of the audit log: its C2SP verifier key, `<name>+<hash>+<base64>`, and address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    url: str

    @property
    def name(self) -> str:
        return self.key.partition("+")[0]


class Settings(BaseSettings):
    """The settings of one process, acting as one principal.

    The principal's name and secret serve Kafka (SCRAM), PostgreSQL (role
    `mb_<name>`) and the key broker (HTTP Basic) alike.
    """

    model_config = SettingsConfigDict(env_prefix="MAPLEBRIDGE_", frozen=True, extra="forbid")

    home: Path = Path(".maplebridge")
    principal: str = "admin"
    secret: SecretStr = SecretStr("")

    tls_ca: Path | None = None
    """PEM file of the authority that signed the servers' certificates; without it no TLS.

    One switch for all: Kafka, the registry, PostgreSQL and the key broker speak TLS, or none.
    """
    private_network: bool = False
    """Allow servers beyond loopback without TLS, on a network that no one else is on."""

    kafka_bootstrap: str = "127.0.0.1:9092"
    kafka_mechanism: Mechanism = "SCRAM-SHA-256"
    """Two mechanisms, two passwords: a renewed login does not end the one before at once."""
    kafka_log_level: int = 0
    """Which of librdkafka's own lines go to stderr: 0 none, 3 errors, 4 warnings, 6 all.

    What matters of them comes as errors; services put theirs into their logs.
    """
    registry_url: str = "http://127.0.0.1:8081"
    postgres_host: str = "127.0.0.1"
    postgres_port: int = 5432
    key_broker_url: str = "http://127.0.0.1:8200"
    key_broker_public_key: str = ""
    """Base64 of the key broker's HPKE public key of one epoch (ML-KEM-768 + X25519).

    It serves while its week lasts; the broker is asked for the next ones.
    """
    audit_public_key: str = ""
    """The audit log's C2SP verifier key: `<name>+<hash>+<base64>`."""
    audit_witnesses: tuple[WitnessAddress, ...] = ()
    """Who co-signs the audit log's checkpoints, as a JSON list."""
    audit_quorum: int = Field(default=0, ge=0)
    """How many of them must have co-signed a checkpoint for it to count as witnessed."""
    audit_overdue_s: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """How long a leaf may wait for such a checkpoint before releases stop; 0: for ever."""
    key_broker_listen: str = "127.0.0.1"
    """Where the key broker listens; in a container all of its private network, `0.0.0.0`."""
    key_broker_certificate: Path | None = None
    key_broker_certificate_key: Path | None = None
    """PEM files of the key broker's own certificate; only the key broker has them."""
    root_passphrase: SecretStr = SecretStr("")
    """Opens the key broker's sealed root file, or is the PIN of its token; its alone."""
    root_pkcs11_module: Path | None = None
    """The PKCS #11 library of a hardware module that has the root; without it, a sealed file."""
    root_pkcs11_token: str = ""
    root_pkcs11_key: str = "maplebridge-root"
    """The labels of the token and of the key in it."""
    epoch_turn: Literal["weekly", "off"] = "weekly"
    """Whether the key broker turns its epoch itself; `off` where `keys rotate` does it."""
    epoch_overlap_hours: float = Field(default=24.0, ge=0)
    """How long after its end the keys of an epoch stay, for a department whose clock is late."""

    signing_key: SecretStr = SecretStr("")
    """Base64 of a department's Ed25519 private key; only a department has it."""

    spool_max_events: int = 1_000_000
    spool_max_bytes: int = 4_000_000_000
    """How many events may wait in a department's spool, and the bytes of their bodies."""
    spool_wait_s: float = 30.0
    """How long `publish` waits for room in a full spool."""
    spool_sync: Literal["full", "normal"] = "normal"
    """`full`: an event is on the disk, not only in the kernel's cache, when `publish` returns."""

    agent_token: SecretStr = SecretStr("")
    """What callers of the department's agent send as `Authorization: Bearer`; none by default."""
    agent_certificate: Path | None = None
    agent_certificate_key: Path | None = None
    """PEM files with which the agent speaks TLS, needed where it listens beyond loopback."""

    regions: tuple[Path, ...] = ()
    """Region schemes besides the built-in one of Zhuji: paths of `*.regions.yaml` files."""
    event_max_bytes: int = 1_000_000
    record_max_bytes: int = 8_000_000
    """The largest record the bus itself writes: a view or a dead letter outgrows its event."""
    ahead_limit_s: float = 300.0
    """An event dated further ahead of its record's broker timestamp is refused."""
    pseudonym_round_s: float = 86_400.0
    """How long events are gathered before those go out whose view does not name them."""

    @property
    def postgres_user(self) -> str:
        return "mb_" + self.principal.replace("-", "_")

    @model_validator(mode="after")
    def _is_closed_to_strangers(self) -> Self:
        """Raises InputError if a server beyond loopback would be spoken to without TLS."""
        urls = {"registry_url": self.registry_url, "key_broker_url": self.key_broker_url}
        at_witnesses = [("audit_witnesses", each.url) for each in self.audit_witnesses]
        wanted = "https" if self.tls_ca else "http"
        for name, url in [*urls.items(), *at_witnesses]:
            if urlsplit(url).scheme != wanted:
                needs = "is without TLS" if self.tls_ca else "needs the authority's certificate"
                raise InputError(
                    f"MAPLEBRIDGE_{name.upper()} {url} {needs}.",
                    todo="Set MAPLEBRIDGE_TLS_CA with https:// addresses, or neither.",
                )
        if self.tls_ca is None and not self.private_network:
            hosts = {name: urlsplit(url).hostname or "" for name, url in urls.items()}
            hosts["postgres_host"] = self.postgres_host
            for each in self.kafka_bootstrap.split(","):
                hosts["kafka_bootstrap"] = each.rpartition(":")[0]
                _refuse_strangers(hosts)
            for name, url in at_witnesses:
                _refuse_strangers({name: urlsplit(url).hostname or ""})
        if self.audit_quorum > len({each.name for each in self.audit_witnesses}):
            raise InputError(
                "MAPLEBRIDGE_AUDIT_QUORUM is more than there are witnesses.",
                todo="Name that many in MAPLEBRIDGE_AUDIT_WITNESSES.",
            )
        if self.key_broker_certificate is None and not self.private_network:
            _refuse_strangers({"key_broker_listen": self.key_broker_listen})
        return self

    def postgres_dsn(self, database: str) -> str:
        """Return a libpq connection string without the password (see `secret`)."""
        # not libpq's own default, which would take any certificate
        tls = "sslmode=disable"
        if self.tls_ca:
            path = str(self.tls_ca).replace("\\", "\\\\").replace("'", "\\'")
            tls = f"sslmode=verify-full sslrootcert='{path}'"
        return (
            f"host={self.postgres_host} port={self.postgres_port} dbname={database}"
            f" user={self.postgres_user} connect_timeout=5 {tls}"
        )

    def kafka_config(self, **more: Any) -> dict[str, Any]:
        """Return librdkafka settings that authenticate as the principal."""
        return {
            "bootstrap.servers": self.kafka_bootstrap,
            **(
                {"security.protocol": "SASL_SSL", "ssl.ca.location": str(self.tls_ca)}
                if self.tls_ca
                else {"security.protocol": "SASL_PLAINTEXT"}
            ),
            "sasl.mechanism": self.kafka_mechanism,
            "sasl.username": self.principal,
            "sasl.password": self.secret.get_secret_value(),
            "client.id": f"maplebridge-{self.principal}",
            "log_level": self.kafka_log_level,
            # a connection that Kafka closes as idle is no error; one that it refuses is
            **(
                {"error_cb": log_error, "log.connection.close": False}
                if self.kafka_log_level
                else {}
            ),
            **more,
        }


class Handover(BaseModel):
    """A department or app whose secrets went to itself alone in a bundle, or that was revoked.

    onboarding: its bundle is being made, or that was cut short.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: Literal["onboarding", "onboarded", "revoked"]


class Profile(BaseModel):
    """What `maplebridge up` chose and made: addresses, and a secret per principal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path
    kafka_bootstrap: str
    kafka_mechanism: Mechanism = "SCRAM-SHA-256"
    registry_url: str
    postgres_host: str = "127.0.0.1"
    postgres_port: int = 5432
    key_broker_url: str
    tls_ca: Path | None = None
    private_network: bool = False
    key_broker_certificate: Path | None = None
    key_broker_certificate_key: Path | None = None
    key_broker_public_key: str = ""
    audit_public_key: str = ""
    audit_witnesses: tuple[WitnessAddress, ...] = ()
    audit_quorum: int = 0
    audit_overdue_s: float = 0.0
    regions: tuple[Path, ...] = ()
    pseudonym_round_s: float = 86_400.0
    root_passphrase: str = Field(default="", repr=False)
    root_pkcs11_module: Path | None = None
    root_pkcs11_token: str = ""
    root_pkcs11_key: str = "maplebridge-root"
    secrets: dict[str, str] = Field(default_factory=dict, repr=False)
    signing_keys: dict[str, str] = Field(default_factory=dict, repr=False)
    """Principal of a department -> its private signing key."""
    handovers: dict[str, Handover] = Field(default_factory=dict)
    """Principals whose secrets are not here any more, and are never made here again."""

    @classmethod
    def load(cls, home: Path) -> Self:
        """Raises StackNotRunning if `maplebridge up` has not written a profile there."""
        path = home / PROFILE_NAME
        try:
            return cls.model_validate(json.loads(path.read_text()))
        except FileNotFoundError:
            raise StackNotRunning(
                f"no profile at {path}.",
                todo="Run `maplebridge up`, or set MAPLEBRIDGE_HOME to the stack's folder.",
            ) from None
        except ValueError as exc:
            raise InputError(
                f"the profile at {path} cannot be read.",
                todo="Put it back, or begin anew with `maplebridge down --wipe` and `up`.",
            ) from exc

    def save(self) -> None:
        """Write the profile where only its owner can read it."""
        path = self.home / PROFILE_NAME
        partial = path.with_suffix(".partial")
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(self.model_dump_json(indent=2))
        partial.replace(path)

    def environment(self, principal: str) -> dict[str, str]:
        """Return the `MAPLEBRIDGE_*` variables of a process that acts as `principal`."""
        known = self.model_dump(mode="json", exclude=_OFFICERS)
        variables = {
            f"MAPLEBRIDGE_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in known.items()
            if value is not None and (name not in _OF_KEY_BROKER or principal == "key-broker")
        }
        variables["MAPLEBRIDGE_PRINCIPAL"] = principal
        variables["MAPLEBRIDGE_SECRET"] = self.secret(principal)
        variables["MAPLEBRIDGE_KAFKA_LOG_LEVEL"] = str(SERVICE_KAFKA_LOG_LEVEL)
        if principal == "key-broker":
            variables["MAPLEBRIDGE_ROOT_PASSPHRASE"] = self.root_passphrase
        if principal in self.signing_keys:
            variables["MAPLEBRIDGE_SIGNING_KEY"] = self.signing_keys[principal]
        return variables

    def settings(self, principal: str) -> Settings:
        hidden = set() if principal == "key-broker" else _OF_KEY_BROKER
        values = self.model_dump(exclude=_OFFICERS | hidden)
        return _checked(
            **values,
            principal=principal,
            secret=SecretStr(self.secret(principal)),
            signing_key=SecretStr(self.signing_keys.get(principal, "")),
            root_passphrase=SecretStr(self.root_passphrase if principal == "key-broker" else ""),
        )

    @property
    def revoked(self) -> frozenset[str]:
        return frozenset(name for name, each in self.handovers.items() if each.state == "revoked")

    def without_handed_over(self) -> Self:
        """Return the profile without the secrets that are not its own any more."""
        return self.model_copy(
            update={
                "secrets": {n: s for n, s in self.secrets.items() if n not in self.handovers},
                "signing_keys": {
                    n: k for n, k in self.signing_keys.items() if n not in self.handovers
                },
            }
        )

    def secret(self, principal: str) -> str:
        if principal in self.handovers:
            raise InputError(
                f"{principal} is {self.handovers[principal].state}: its secrets are not here.",
                todo="Use the home folder that its bundle was opened into.",
            )
        if principal not in self.secrets:
            known = ", ".join(sorted(self.secrets))
            raise InputError(f"no principal {principal!r} in the profile.", todo=f"Known: {known}.")
        return self.secrets[principal]


def load_settings(principal: str, *, home: Path | None = None) -> Settings:
    """Return the settings of `principal`: the environment's, else the profile's.

    Raises StackNotRunning if neither is there, InputError if a variable is unfit.
    """
    if os.environ.get("MAPLEBRIDGE_PRINCIPAL") == principal and home is None:
        return _checked()
    return Profile.load(home or Path(os.environ.get("MAPLEBRIDGE_HOME", ".maplebridge"))).settings(
        principal
    )


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _refuse_strangers(hosts: Mapping[str, str]) -> None:
    for name, host in hosts.items():
        if not is_loopback(host):
            raise InputError(
                f"MAPLEBRIDGE_{name.upper()} is {host}, beyond this machine, and without TLS.",
                todo="Set MAPLEBRIDGE_TLS_CA; on a private network of containers alone,"
                " MAPLEBRIDGE_PRIVATE_NETWORK=true.",
            )


def _checked(**values: Any) -> Settings:
    try:
        return Settings(**values)
    except ValidationError as exc:
        names = sorted({f"MAPLEBRIDGE_{str(fault['loc'][0]).upper()}" for fault in exc.errors()})
        raise InputError(f"unfit: {', '.join(names)}.", todo="Correct the environment.") from None
