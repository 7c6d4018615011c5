"""A witness over HTTP, with the standard library alone; TLS wherever not on loopback."""

from __future__ import annotations

import logging
import signal
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

from maplebridge.access_policy.witness.witness import Answer, Witness
from maplebridge.errors import InputError

BODY_MAX_BYTES = 64 * 1024
CONNECTIONS_MAX = 32
IDLE_S = 15
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listen:
    """Where a witness listens, and its certificate and key (PEM) with which it speaks TLS."""

    host: str
    port: int
    certificate: Path | None = None
    certificate_key: Path | None = None

    @classmethod
    def parse(
        cls, text: str, *, certificate: Path | None = None, certificate_key: Path | None = None
    ) -> Self:
        """Raises InputError if it is no address and port, or strangers reach it without TLS."""
        host, _, port = text.rpartition(":")
        try:
            address, number = ip_address(host.strip("[]")), int(port)
        except ValueError:
            number = -1
        if not 0 <= number <= 65_535:
            raise InputError(
                "the place to listen is not an address and a port.", todo="Such as 127.0.0.1:8400."
            )
        if (certificate is None) != (certificate_key is None):
            raise InputError("the certificate and its key go together.", todo="Give both.")
        if not address.is_loopback and certificate is None:
            raise InputError(
                f"{address} is not loopback: there a witness needs TLS.",
                todo="Listen on 127.0.0.1, or give --certificate and --certificate-key.",
            )
        return cls(str(address), number, certificate, certificate_key)


class WitnessServer(ThreadingHTTPServer):
    """One witness at one place: 32 connections at once, ten seconds each; a further is closed."""

    daemon_threads = True
    life_s = 10.0

    def __init__(self, witness: Witness, listen: Listen) -> None:
        self.witness = witness
        self.address_family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        self._places = threading.BoundedSemaphore(CONNECTIONS_MAX)
        super().__init__((listen.host, listen.port), _Handler)
        if listen.certificate is not None:
            self.socket = _secured(self.socket, listen)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        # whoever sends a byte now and then is not idle
        ending = threading.Timer(self.life_s, _end, [request])
        ending.daemon = True
        ending.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            ending.cancel()
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.warning("a connection broke", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: WitnessServer
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != "/add-checkpoint":
            self._refuse(HTTPStatus.NOT_FOUND)
        elif not (length.isascii() and length.isdigit() and len(length) < 10):
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
        elif int(length) > BODY_MAX_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            self._answer(self.server.witness.add_checkpoint(self.rfile.read(int(length))))

    def do_GET(self) -> None:
        known = self.path == "/healthz"
        self._answer(Answer(HTTPStatus.OK if known else HTTPStatus.NOT_FOUND))

    def _refuse(self, status: HTTPStatus) -> None:
        # the body was not read, so nothing can follow it
        self.close_connection = True
        self._answer(Answer(status))

    def _answer(self, answer: Answer) -> None:
        content = answer.text.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def version_string(self) -> str:
        return "maplebridge-witness"

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _end(request: socket.socket) -> None:
    with suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


def _secured(plain: socket.socket, listen: Listen) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(str(listen.certificate), str(listen.certificate_key))
    except (ssl.SSLError, OSError):
        raise InputError(
            "the witness's certificate or its key cannot be read.",
            todo="Give the PEM files of `maplebridge certs issue`.",
        ) from None
    # each connection's handshake is its own thread's, not the listener's
    return context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)


def serve(witness: Witness, listen: Listen) -> None:
    """Answer until SIGTERM or SIGINT."""
    server = WitnessServer(witness, listen)
    for number in (signal.SIGTERM, signal.SIGINT):
        # shutdown waits for the loop, which is this thread's
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    _log.info("the witness listens on %s:%d", *server.server_address[:2])
    with server:
        server.serve_forever(poll_interval=0.1)
