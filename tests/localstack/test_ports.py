"""Ports: the wanted ones if free, others if not, and a running server keeps its own."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from maplebridge.errors import StackError
from maplebridge.localstack.ports import (
    Reservations,
    choose_ports,
    is_answering,
    is_free,
    port_of,
)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_free_port_is_kept() -> None:
    port = free_port()
    assert choose_ports({"kafka": port}) == {"kafka": port}


def test_a_taken_port_gives_way_to_a_free_one(taken: int) -> None:
    chosen = choose_ports({"kafka": taken})["kafka"]
    assert chosen != taken
    assert is_free(chosen)


def test_a_port_held_on_every_interface_counts_as_taken() -> None:
    with socket.create_server(("", 0)) as server:
        assert not is_free(int(server.getsockname()[1]))


def test_no_two_servers_get_the_same_port(taken: int) -> None:
    chosen = choose_ports({"a": taken, "b": taken + 1, "c": taken + 2})
    assert len(set(chosen.values())) == 3
    assert taken not in chosen.values()


def test_a_stack_that_starts_passes_over_what_another_has_chosen() -> None:
    port = free_port()
    with Reservations() as ours, Reservations() as theirs:
        assert choose_ports({"kafka": port}, take=ours.take) == {"kafka": port}
        assert choose_ports({"kafka": port}, take=theirs.take)["kafka"] > port
    with Reservations() as later:
        assert choose_ports({"kafka": port}, take=later.take) == {"kafka": port}


def test_a_running_server_keeps_its_port(taken: int) -> None:
    assert choose_ports({"kafka": taken}, keep=["kafka"]) == {"kafka": taken}


def test_no_free_port_at_all_is_said(taken: int) -> None:
    with pytest.raises(StackError, match="no loopback port is free for kafka") as failure:
        choose_ports({"kafka": taken}, span=1)
    assert failure.value.todo


def test_a_port_answers_while_somebody_listens(taken: int) -> None:
    assert is_answering(taken)
    assert not is_answering(free_port())


@pytest.mark.parametrize("address", ["127.0.0.1:9092", "http://127.0.0.1:9092/"])
def test_the_port_is_read_from_an_address(address: str) -> None:
    assert port_of(address) == 9092
