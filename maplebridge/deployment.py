"""Servers that something else runs, such as docker-compose.yml: their accounts, then the city.

The embedded stack makes its own; here addresses and secrets come from the environment.
"""

from __future__ import annotations

from pathlib import Path

import psycopg
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from maplebridge.errors import InputError, StoreUnavailable
from maplebridge.localstack import ensure_scram_users
from maplebridge.localstack.postgresql import ensure_roles
from maplebridge.localstack.principals import KAFKA_USERS, REGISTRY
from maplebridge.settings import PROFILE_NAME, Profile, WitnessAddress
from maplebridge.tls import explained

NEEDED = (*KAFKA_USERS, REGISTRY)


class Deployment(BaseSettings):
    """The `MAPLEBRIDGE_*` variables of `maplebridge provision`, alone in holding every secret."""

    model_config = SettingsConfigDict(env_prefix="MAPLEBRIDGE_", frozen=True)

    home: Path
    kafka_bootstrap: str
    registry_url: str
    postgres_host: str
    postgres_port: int = 5432
    key_broker_url: str
    tls_ca: Path | None = None
    private_network: bool = False
    audit_witnesses: tuple[WitnessAddress, ...] = ()
    audit_quorum: int = 0
    audit_overdue_s: float = 0.0
    regions: tuple[Path, ...] = ()
    root_passphrase: SecretStr
    root_pkcs11_module: Path | None = None
    root_pkcs11_token: str = ""
    root_pkcs11_key: str = "maplebridge-root"
    secrets: dict[str, SecretStr] = Field(default_factory=dict)
    """Principal -> secret, as one JSON object."""


def profile_from_environment() -> Profile:
    """Raises InputError if a variable or the secret of a principal is missing."""
    try:
        told = Deployment()
    except ValidationError as exc:
        names = sorted({f"MAPLEBRIDGE_{str(fault['loc'][0]).upper()}" for fault in exc.errors()})
        raise InputError(
            f"missing or unfit: {', '.join(names)}.", todo="See docs/deployment.md."
        ) from None
    # what is known since: the environment still has the secrets of the first day
    is_known = (told.home / PROFILE_NAME).exists()
    known = Profile.load(told.home) if is_known else None
    handovers = known.handovers if known else {}
    missing = [name for name in NEEDED if name not in told.secrets and name not in handovers]
    if missing:
        raise InputError(
            f"MAPLEBRIDGE_SECRETS has no secret of {', '.join(missing)}.",
            todo="Give each principal 256 random bits, as .env.example tells.",
        )
    values = told.model_dump(exclude={"secrets", "root_passphrase"})
    profile = Profile(
        **values,
        handovers=handovers,
        signing_keys=known.signing_keys if known else {},
        root_passphrase=told.root_passphrase.get_secret_value(),
        secrets={name: secret.get_secret_value() for name, secret in told.secrets.items()},
    )
    return profile.without_handed_over()


def make_accounts(profile: Profile) -> list[str]:
    """Make the users of Kafka, and the roles and databases of PostgreSQL, that are missing.

    Returns the new Kafka users. Raises KafkaUnavailable or StoreUnavailable.
    """
    made = ensure_scram_users(profile)
    try:
        ensure_roles(profile)
    except psycopg.Error as exc:
        detail = f"SQLSTATE {exc.sqlstate}" if exc.sqlstate else type(exc).__name__
        address = f"{profile.postgres_host}:{profile.postgres_port}"
        raise explained(StoreUnavailable(address, detail), tls_ca=profile.tls_ca) from exc
    return made
