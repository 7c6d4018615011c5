"""A broker that ends while it is being logged in to: a proxy before the real one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

SASL_HANDSHAKE, SASL_AUTHENTICATE = 17, 36
"""Keys of the Kafka protocol's requests."""


@contextmanager
def cut_at(request: int, bootstrap: str) -> Iterator[str]:
    """Pass a client's requests on to Kafka, and end the connection at the first `request`."""
    host, _, port = bootstrap.rpartition(":")

    def serve(client: socket.socket) -> None:
        with client, socket.create_connection((host, int(port))) as broker, suppress(OSError):
            while True:
                frame = _frame(client)
                if int.from_bytes(frame[4:6], "big") == request:
                    return
                broker.sendall(frame)
                client.sendall(_frame(broker))

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=[client], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        # closing alone would not wake the thread that waits in it
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _frame(connection: socket.socket) -> bytes:
    """Return one request or response with its length; raises OSError at the end."""
    head = _exactly(connection, 4)
    return head + _exactly(connection, int.from_bytes(head, "big"))


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise OSError("the connection was closed")
        data += part
    return data
