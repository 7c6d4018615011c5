"""Loopback ports: the usual ones if free, else the nearest free ones."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Self

from maplebridge.errors import StackError

LOOPBACK = "127.0.0.1"

DEFAULT_PORTS: dict[str, int] = {
    "kafka": 19092,
    "controller": 19093,
    "registry": 18081,
    "registry-management": 18091,
    "postgresql": 15432,
    "key-broker": 18200,
}


def is_free(port: int) -> bool:
    """Return whether a server could listen on that loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # as servers do, so that connections of a server just stopped do not count
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def is_answering(port: int, *, timeout_s: float = 0.5) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout_s):
            return True
    except OSError:
        return False


def port_of(address: str) -> int:
    """Return the port of `host:port` or of such an address after a scheme."""
    return int(address.rstrip("/").rpartition(":")[2])


class Reservations:
    """Ports that were chosen and that no server listens on yet; other stacks pass them over.

    A port is told to other processes by a socket's name in Linux's abstract namespace
    (unix(7)), which goes with its holder, however that ends.
    """

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def take(self, port: int) -> bool:
        """Return whether the port is free and now ours to listen on."""
        held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            held.bind(f"\0maplebridge-port-{port}")
        except OSError:
            held.close()
            return False
        self._held.append(held)
        return is_free(port)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in self._held:
            each.close()


def choose_ports(
    preferred: Mapping[str, int],
    *,
    keep: Iterable[str] = (),
    span: int = 2000,
    take: Callable[[int], bool] = is_free,
) -> dict[str, int]:
    """Return a port for every name: the preferred one, else the next free one above it.

    keep: names whose server of ours is running now; their ports are not probed.
    take: tells whether a port may be had.
    Raises StackError if nothing is free within `span` ports.
    """
    kept = set(keep)
    chosen = {name: port for name, port in preferred.items() if name in kept}
    for name, wanted in preferred.items():
        if name in kept:
            continue
        taken = set(chosen.values()) | {p for n, p in preferred.items() if n != name}
        candidates = (wanted, *range(wanted + 1, min(wanted + span, 65_536)))
        for port in candidates:
            if port not in taken and take(port):
                chosen[name] = port
                break
        else:
            raise StackError(
                f"no loopback port is free for {name} between {wanted} and {wanted + span}.",
                todo="Stop what holds them, or run `maplebridge down` in the other home folder.",
            )
    return chosen
