"""T17: whatever the city listens on is on loopback."""

from __future__ import annotations

import ipaddress

import psutil

from tests.system.stack_user import User


def _family(user: User) -> list[psutil.Process]:
    states = user.run("status", "--json").last
    parents = [psutil.Process(each["pid"]) for each in states.values()]
    return [*parents, *(child for each in parents for child in each.children(recursive=True))]


def _is_loopback(text: str) -> bool:
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def test_every_listener_of_the_city_is_on_loopback(user: User) -> None:
    """T17: servers and services, with all their children."""
    listening = {
        (process.name(), connection.laddr)
        for process in _family(user)
        for connection in process.net_connections(kind="inet")
        if connection.status in (psutil.CONN_LISTEN, psutil.CONN_NONE) and connection.laddr
    }
    outside = [(name, address) for name, address in listening if not _is_loopback(address.ip)]
    ports = {address.port for _, address in listening}
    assert not outside
    # the probe sees what is known to listen
    for address in (user.profile.kafka_bootstrap, user.profile.key_broker_url):
        assert int(address.rpartition(":")[2]) in ports
