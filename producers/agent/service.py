"""The agent as a process: where it listens, and how it ends."""

from __future__ import annotations

import logging
import signal
import socket
import sys
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self

import uvicorn

from maplebridge.errors import InputError, Unavailable
from maplebridge.producers.agent.answers import Answers, answers_path
from maplebridge.producers.agent.app import create_app
from maplebridge.producers.agent.desk import Desk
from maplebridge.producers.agent.ending import Ending
from maplebridge.producers.agent.observation import JsonLines
from maplebridge.producers.department import Department
from maplebridge.settings import Settings

log = logging.getLogger(__name__)

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_TOKEN_MIN_CHARS = 24
_CONNECTIONS_MAX = 64
_STOP_S = 10.0


@dataclass(frozen=True)
class Listen:
    """Where the agent listens; port 0 takes a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InputError unless it is an address and a port, such as 127.0.0.1:8300."""
        host, colon, port = text.rpartition(":")
        try:
            address = ip_address(host.strip("[]"))
            number = int(port)
        except ValueError:
            number = -1
        if not colon or not 0 <= number <= 65_535:
            raise InputError(
                "the place to listen is not an address and a port.", todo="Such as 127.0.0.1:8300."
            )
        return cls(str(address), number)

    @property
    def is_loopback(self) -> bool:
        return ip_address(self.host).is_loopback

    def check(self, settings: Settings) -> None:
        """Raises InputError where anybody on the network could publish, or read along."""
        token = settings.agent_token.get_secret_value()
        if token and (len(token) < _TOKEN_MIN_CHARS or not token.isascii()):
            raise InputError(
                f"MAPLEBRIDGE_AGENT_TOKEN has fewer than {_TOKEN_MIN_CHARS} ASCII characters.",
                todo="Make one with `openssl rand -hex 32`.",
            )
        with_tls = settings.agent_certificate is not None
        if with_tls != (settings.agent_certificate_key is not None):
            raise InputError(
                "MAPLEBRIDGE_AGENT_CERTIFICATE and MAPLEBRIDGE_AGENT_CERTIFICATE_KEY go together.",
                todo="Give both, or neither.",
            )
        if not self.is_loopback and not (token and with_tls):
            raise InputError(
                f"{self.host} is not loopback: there the agent needs a token and TLS.",
                todo="Listen on 127.0.0.1, or set MAPLEBRIDGE_AGENT_TOKEN,"
                " MAPLEBRIDGE_AGENT_CERTIFICATE and MAPLEBRIDGE_AGENT_CERTIFICATE_KEY.",
            )


def run(department: str, settings: Settings, listen: Listen) -> None:
    """Serve until SIGTERM or SIGINT; what Kafka has not acknowledged then stays in the spool.

    Raises InputError if the place is open to strangers or another process publishes for
    the department, DepartmentStoreUnavailable.
    """
    listen.check(settings)
    _log_to_stderr()
    # an answer promises that the event is on the disk; a full spool is answered at once
    strict = settings.model_copy(update={"spool_sync": "full", "spool_wait_s": 0.0})
    answers = Answers(answers_path(settings, department))
    publisher = Department(department, settings=strict)
    try:
        publisher.open()
        ending = Ending()
        app = create_app(
            Desk(publisher, answers),
            ending,
            hosts=LOOPBACK_NAMES if listen.is_loopback else (),
            token=settings.agent_token.get_secret_value(),
        )
        # uvicorn stops on a signal and then raises it again: that must not skip what follows
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        log.info("the agent of %s listens on %s:%d", department, listen.host, listen.port)
        _Server(_config(app, settings, listen), ending).run()
    finally:
        try:
            publisher.close(_STOP_S)
        except Unavailable as error:
            log.warning("events wait in the spool: %s", error.message)
        answers.close()
        log.info("the agent stopped")


class _Server(uvicorn.Server):
    """Tells those who wait within requests before it waits for the requests."""

    def __init__(self, config: uvicorn.Config, ending: Ending) -> None:
        super().__init__(config)
        self._ending = ending

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending.begin()
        await super().shutdown(sockets)


def _config(app: object, settings: Settings, listen: Listen) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=listen.host,
        port=listen.port,
        ssl_certfile=settings.agent_certificate,
        ssl_keyfile=settings.agent_certificate_key,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS_MAX,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=int(_STOP_S),
    )


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("maplebridge").setLevel(logging.INFO)
