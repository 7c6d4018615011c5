"""Apicurio Registry: schemas, stored in the stack's PostgreSQL."""

from __future__ import annotations

import http.client
from pathlib import Path
from urllib.parse import quote

from maplebridge.certs import certificate_path, key_path
from maplebridge.localstack import principals
from maplebridge.localstack.ports import LOOPBACK, port_of
from maplebridge.localstack.progress import Stage
from maplebridge.localstack.supervisor import Supervisor
from maplebridge.settings import Profile
from maplebridge.tls import client_context

NAME = "registry"
API = "/apis/ccompat/v7"
JVM = (
    "-Xms64m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:-CreateCoredumpOnCrash",
)


class RegistryServer:
    """The schema registry of one home folder; needs its PostgreSQL."""

    def __init__(self, supervisor: Supervisor, java: Path, folder: Path) -> None:
        self._supervisor = supervisor
        self._java = java
        self._folder = folder

    def up(self, profile: Profile, management_port: int, stage: Stage) -> None:
        stage.already = self._supervisor.find(NAME) is not None
        port = port_of(profile.registry_url)
        stage.say("starting")
        crash = self._supervisor.logs / "registry-crash.log"
        self._supervisor.start_service(
            NAME,
            [
                str(self._java),
                *JVM,
                f"-XX:ErrorFile={crash}",
                "-jar",
                str(self._folder / "quarkus-run.jar"),
            ],
            environment(profile, port=port, management_port=management_port),
            ready=lambda: _is_ready(profile, port),
            address=profile.registry_url,
            cwd=self._supervisor.run,
        )
        stage.say(profile.registry_url)


def environment(profile: Profile, *, port: int, management_port: int) -> dict[str, str]:
    """Return its settings; the password goes by environment, which other users cannot read."""
    return {
        **tls_settings(profile.tls_ca, port=port),
        "LC_ALL": "C.UTF-8",
        "QUARKUS_HTTP_HOST": LOOPBACK,
        "QUARKUS_HTTP_PORT": str(port),
        "QUARKUS_MANAGEMENT_HOST": LOOPBACK,
        "QUARKUS_MANAGEMENT_PORT": str(management_port),
        "QUARKUS_LOG_CONSOLE_ENABLE": "true",
        "QUARKUS_HTTP_ACCESS_LOG_ENABLED": "false",
        "QUARKUS_OTEL_SDK_DISABLED": "true",
        "APICURIO_STORAGE_KIND": "sql",
        "APICURIO_STORAGE_SQL_KIND": "postgresql",
        "APICURIO_DATASOURCE_URL": (
            f"jdbc:postgresql://{profile.postgres_host}:{profile.postgres_port}/apicurio"
            + (
                f"?sslmode=verify-full&sslrootcert={quote(str(profile.tls_ca))}"
                if profile.tls_ca
                else ""
            )
        ),
        "APICURIO_DATASOURCE_USERNAME": principals.postgres_role(principals.REGISTRY),
        "APICURIO_DATASOURCE_PASSWORD": profile.secret(principals.REGISTRY),
        "APICURIO_DATASOURCE_JDBC_INITIAL_SIZE": "2",
        "APICURIO_DATASOURCE_JDBC_MIN_SIZE": "2",
        "APICURIO_DATASOURCE_JDBC_MAX_SIZE": "10",
    }


def tls_settings(authority: Path | None, *, port: int) -> dict[str, str]:
    """Return the settings of HTTPS; the management port gets the same certificate."""
    if authority is None:
        return {}
    certificate = str(certificate_path(authority.parent, NAME))
    key = str(key_path(authority.parent, NAME))
    return {
        "QUARKUS_HTTP_INSECURE_REQUESTS": "disabled",
        "QUARKUS_HTTP_SSL_PORT": str(port),
        "QUARKUS_HTTP_SSL_CERTIFICATE_FILES": certificate,
        "QUARKUS_HTTP_SSL_CERTIFICATE_KEY_FILES": key,
        "QUARKUS_MANAGEMENT_SSL_CERTIFICATE_FILES": certificate,
        "QUARKUS_MANAGEMENT_SSL_CERTIFICATE_KEY_FILES": key,
    }


def _is_ready(profile: Profile, port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5.0)
    if profile.tls_ca is not None:
        trusted = client_context(profile.tls_ca)
        connection = http.client.HTTPSConnection(LOOPBACK, port, timeout=5.0, context=trusted)
    try:
        connection.request("GET", f"{API}/subjects")
        return connection.getresponse().status == http.client.OK
    except http.client.HTTPException:
        return False
    finally:
        connection.close()
