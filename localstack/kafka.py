"""Kafka: one KRaft node, SCRAM and ACLs on, on loopback."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from maplebridge.certs import certificate_path, key_path
from maplebridge.errors import KafkaUnavailable, StageFailed
from maplebridge.localstack import principals
from maplebridge.localstack.ports import LOOPBACK, is_answering, port_of
from maplebridge.localstack.private_files import write_private
from maplebridge.localstack.progress import Stage
from maplebridge.localstack.supervisor import Supervisor
from maplebridge.settings import Profile
from maplebridge.tls import explained

NAME = "kafka"
SCRAM_ITERATIONS = 4096
HEAP = ("-Xms256m", "-Xmx512m")
# one or two cores: the serial collector starts quicker and keeps no threads of its own busy
JVM = ("-XX:+UseSerialGC", "-XX:-UsePerfData", "-XX:-CreateCoredumpOnCrash")

SETTINGS: dict[str, str | int] = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "CLIENT",
    "listener.security.protocol.map": "CLIENT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
    # two, so that a department's renewed login does not end the one before at once
    "listener.name.client.sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512",
    "listener.name.client.scram-sha-512.sasl.jaas.config": (
        "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    ),
    "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-256",
    # SCRAM users live in the metadata log, which the controller has yet to load
    "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
    "sasl.mechanism.controller.protocol": "PLAIN",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "false",
    "super.users": f"User:{principals.SUPER_USER};User:{principals.CONTROLLER}",
    "auto.create.topics.enable": "false",
    "log.message.timestamp.type": "LogAppendTime",
    "message.max.bytes": 1_100_000,
    "socket.request.max.bytes": 20_000_000,
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 8,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 8,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "share.coordinator.state.topic.num.partitions": 4,
    "group.initial.rebalance.delay.ms": 0,
    # after a crash the controller waits this long for the node it believes to be up
    "broker.heartbeat.interval.ms": 500,
    "broker.session.timeout.ms": 4000,
    "num.network.threads": 2,
    "num.io.threads": 4,
    "num.recovery.threads.per.data.dir": 2,
    "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
    "metadata.log.max.snapshot.interval.ms": 600_000,
}

TLS_SETTINGS: dict[str, str | int] = {
    "listener.security.protocol.map": "CLIENT:SASL_SSL,CONTROLLER:SASL_SSL",
    "ssl.keystore.type": "PEM",
    "ssl.truststore.type": "PEM",
    "ssl.enabled.protocols": "TLSv1.3,TLSv1.2",
    "ssl.client.auth": "none",
}
"""What TLS adds, besides the two files' places."""

_LOG4J = """\
Configuration:
  status: error
  Appenders:
    Console:
      name: OUT
      target: SYSTEM_OUT
      PatternLayout: {pattern: "%d{ISO8601}{UTC} %p %c{1} %m%n"}
  Loggers:
    Root: {level: INFO, AppenderRef: {ref: OUT}}
    Logger:
      - {name: org.apache.kafka.common.config, level: WARN}
      - {name: org.apache.kafka.storage.internals.log, level: WARN}
      - {name: kafka.log, level: WARN}
      - {name: state.change.logger, level: WARN}
"""


class KafkaServer:
    """The Kafka node of one home folder."""

    def __init__(self, supervisor: Supervisor, java: Path, jars: list[Path]) -> None:
        self._supervisor = supervisor
        self._java = java
        self._jars = jars
        self.folder = supervisor.home / "kafka"

    def up(self, profile: Profile, controller_port: int, stage: Stage) -> None:
        """Format the storage if there is none, start, and make users that are missing."""
        address = profile.kafka_bootstrap
        if self._supervisor.find(NAME) is None:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            (self.folder / "tmp").mkdir(mode=0o700, exist_ok=True)
            self._configure(profile, controller_port)
            if not (self.folder / "data" / "meta.properties").exists():
                stage.say("formatting the storage")
                self._format(profile)
            stage.say("starting")
            self._supervisor.start_service(
                NAME,
                self._command("kafka.Kafka", str(self.folder / "server.properties")),
                {"LC_ALL": "C.UTF-8"},
                ready=lambda: is_answering(port_of(address)),
                address=address,
                cwd=self.folder,
            )
        else:
            stage.already = True
        stage.say("users")
        try:
            ensure_scram_users(profile)
        except KafkaUnavailable as exc:
            raise StageFailed(
                NAME,
                str(exc.message),
                log_tail=self._supervisor.log_tail(NAME),
                todo=f"Read {self._supervisor.log_path(NAME)}.",
            ) from exc
        stage.say(address)

    def _command(self, main: str, *arguments: str) -> list[str]:
        classpath = os.pathsep.join(map(str, self._jars))
        options = [*HEAP, *JVM, f"-XX:ErrorFile={self._supervisor.logs / 'kafka-crash.log'}"]
        options += [
            # compression libraries unpack themselves there
            f"-Djava.io.tmpdir={self.folder / 'tmp'}",
            f"-Dlog4j2.configurationFile={self.folder / 'log4j2.yaml'}",
        ]
        return [str(self._java), *options, "-cp", classpath, main, *arguments]

    def _configure(self, profile: Profile, controller_port: int) -> None:
        controller = f"{LOOPBACK}:{controller_port}"
        admin = (principals.SUPER_USER, profile.secret(principals.SUPER_USER))
        inner = (principals.CONTROLLER, profile.secret(principals.CONTROLLER))
        lines: dict[str, str | int] = {
            **SETTINGS,
            "listeners": f"CLIENT://{profile.kafka_bootstrap},CONTROLLER://{controller}",
            "advertised.listeners": f"CLIENT://{profile.kafka_bootstrap}",
            "controller.quorum.voters": f"1@{controller}",
            "log.dirs": str(self.folder / "data"),
            "listener.name.client.scram-sha-256.sasl.jaas.config": _jaas("scram.Scram", *admin),
            "listener.name.controller.plain.sasl.jaas.config": _jaas(
                "plain.Plain", *inner, **{f"user_{inner[0]}": inner[1]}
            ),
        }
        if profile.tls_ca is not None:
            lines |= {**TLS_SETTINGS, **self._certify(profile.tls_ca)}
        write_private(
            self.folder / "server.properties",
            "".join(_property(name, value) for name, value in lines.items()),
        )
        write_private(self.folder / "log4j2.yaml", _LOG4J)

    def _certify(self, authority: Path) -> dict[str, str]:
        """Write key and certificate into one file, as Kafka wants them; return the places."""
        folder = authority.parent
        keystore = self.folder / "keystore.pem"
        parts = (key_path(folder, NAME), certificate_path(folder, NAME))
        write_private(keystore, "".join(path.read_text() for path in parts))
        return {"ssl.keystore.location": str(keystore), "ssl.truststore.location": str(authority)}

    def _format(self, profile: Profile) -> None:
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # one argument: an id may begin with a dash
        command = self._command("kafka.tools.StorageTool", "format", f"--cluster-id={cluster}")
        command += ["--config", str(self.folder / "server.properties"), "--ignore-formatted"]
        for user in principals.KAFKA_USERS:
            credential = (
                f"[name={user},iterations={SCRAM_ITERATIONS},password={profile.secret(user)}]"
            )
            command += ["--add-scram", f"SCRAM-SHA-256={credential}"]
        # in a file of arguments, not on the command line, where every user could read them
        arguments = self.folder / f"once-{secrets.token_hex(8)}"
        write_private(
            arguments, "\n".join(json.dumps(word, ensure_ascii=False) for word in command[1:])
        )
        try:
            result = subprocess.run(
                [command[0], f"@{arguments}"],
                capture_output=True,
                text=True,
                timeout=120.0,
                stdin=subprocess.DEVNULL,
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
                check=False,
            )
        finally:
            arguments.unlink()
        if result.returncode:
            raise StageFailed(
                NAME,
                "the storage could not be formatted.",
                log_tail=(result.stdout + result.stderr).splitlines()[-10:],
                todo="Run `maplebridge doctor`.",
            )


def ensure_scram_users(
    profile: Profile, users: Iterable[str] | None = None, *, timeout_s: float = 60.0
) -> list[str]:
    """Make the SCRAM users that Kafka does not know yet; return their names.

    users: principals of the profile; all whose secret is here if not given.
    Raises KafkaUnavailable if Kafka does not answer or refuses.
    """
    known_here = [user for user in principals.KAFKA_USERS if user not in profile.handovers]
    wanted = list(known_here if users is None else users)
    admin = AdminClient(
        profile.settings(principals.SUPER_USER).kafka_config(
            **{"socket.timeout.ms": int(timeout_s * 1000), "log_level": 0}
        )
    )
    try:
        described = admin.describe_user_scram_credentials(request_timeout=timeout_s)
        known: Mapping[str, object] = described.result(timeout_s)  # type: ignore[union-attr]
        missing = [user for user in wanted if user not in known]
        if not missing:
            return []
        changes: list[UserScramCredentialAlteration] = [
            UserScramCredentialUpsertion(
                user,
                ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, SCRAM_ITERATIONS),
                profile.secret(user).encode(),
            )
            for user in missing
        ]
        for future in admin.alter_user_scram_credentials(
            changes, request_timeout=timeout_s
        ).values():
            future.result(timeout_s)
    except (KafkaException, TimeoutError) as exc:
        reason = exc.args[0].name() if isinstance(exc, KafkaException) else "timed out"
        error = KafkaUnavailable(profile.kafka_bootstrap, reason)
        raise explained(error, tls_ca=profile.tls_ca) from exc
    return missing


def _property(name: str, value: str | int) -> str:
    # Java reads the file as Latin-1 and takes the backslash as an escape
    text = str(value).replace("\\", "\\\\")
    escaped = "".join(c if c.isascii() else _utf16(c) for c in text)
    return f"{name}={escaped}\n"


def _utf16(character: str) -> str:
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _jaas(kind: str, user: str, password: str, **more: str) -> str:
    words = {"username": user, "password": password, **more}
    options = " ".join(f'{name}="{value}"' for name, value in words.items())
    return f"org.apache.kafka.common.security.{kind}LoginModule required {options};"
