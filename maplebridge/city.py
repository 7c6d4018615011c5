"""One city on one machine: the servers, what is provisioned on them, and the services."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx

from maplebridge.errors import StackNotRunning
from maplebridge.localstack import Progress, ServerStatus, Stack
from maplebridge.localstack.layout import LAYOUT_NAME
from maplebridge.provision import provision
from maplebridge.schemas import load_regions
from maplebridge.settings import Profile
from maplebridge.tls import client_context
from maplebridge.wiring import SERVICES

READY_TIMEOUT_S = 60.0
KAFKA, REGISTRY, POSTGRESQL, KEY_BROKER = "kafka", "registry", "postgresql", "key-broker"
SERVERS = (POSTGRESQL, KAFKA, REGISTRY)


def up(
    stack: Stack,
    progress: Progress,
    *,
    services: bool = True,
    tls: bool = False,
    regions: Sequence[Path] = (),
) -> Profile:
    """Start the servers, provision them and start the services; harmless to repeat.

    tls: every server and the key broker speak TLS; a home that began so stays so.
    regions: further region schemes, remembered in the profile; services that run without
    them start anew. Raises StageFailed with the failing stage's last log lines.
    """
    profile = stack.up(progress, tls=tls)
    with progress.stage("provision") as stage:
        stage.say("topics, access rules, tables, schemas, keys")
        profile = provision(_with_regions(stack, profile, regions))
    if services:
        with ThreadPoolExecutor(len(SERVICES), thread_name_prefix="services") as pool:
            for started in [
                pool.submit(_start, stack, profile, name, progress) for name in SERVICES
            ]:
                started.result()
    return profile


def _with_regions(stack: Stack, profile: Profile, regions: Sequence[Path]) -> Profile:
    wanted = dict.fromkeys([*profile.regions, *(path.resolve() for path in regions)])
    load_regions(wanted)
    if tuple(wanted) == profile.regions:
        return profile
    for name in SERVICES:
        stack.supervisor.stop_service(name)
    return profile.model_copy(update={"regions": tuple(wanted)})


def running_profile(home: Path, *, needs: Collection[str] = SERVERS) -> Profile:
    """Return the profile of a stack in which all that a command `needs` runs.

    A profile that `maplebridge provision` wrote is of servers that something else runs;
    whether they do shows when they are asked.
    Raises StackNotRunning with what is down and what to do.
    """
    profile = Profile.load(home)
    if not (home / LAYOUT_NAME).exists():
        return profile
    states = {each.name: each for each in status(Stack(home))}
    down = [states[name] for name in needs if states[name].state != "running"]
    if down:
        listed = ", ".join(f"{each.name} at {each.address} ({each.state})" for each in down)
        raise StackNotRunning(f"not running: {listed}.", todo="Run `maplebridge up`.")
    return profile


def status(stack: Stack) -> list[ServerStatus]:
    """Return every server, and every service, with the address it has or would have."""
    try:
        addresses = _addresses(stack.profile)
    except StackNotRunning:
        addresses = {}
    known = {each.name: each for each in stack.status()}
    listed = [*SERVERS, *(SERVICES if known.keys() - set(SERVERS) else ())]
    for name in listed:
        known.setdefault(name, ServerStatus(name, "", "stopped", None, "run `maplebridge up`"))
    return [
        replace(known[name], address=known[name].address or addresses.get(name, ""))
        for name in [*listed, *(known.keys() - set(listed))]
    ]


def _addresses(profile: Profile) -> dict[str, str]:
    return {
        KAFKA: profile.kafka_bootstrap,
        REGISTRY: profile.registry_url,
        POSTGRESQL: f"{profile.postgres_host}:{profile.postgres_port}",
        KEY_BROKER: profile.key_broker_url,
    }


def _start(stack: Stack, profile: Profile, name: str, progress: Progress) -> None:
    with progress.stage(name) as stage:
        stage.already = stack.supervisor.find(name) is not None
        if stage.already:
            return
        stack.supervisor.start_service(
            name,
            [sys.executable, "-m", "maplebridge", "serve", name],
            profile.environment(name),
            ready=_readiness(stack, profile, name),
            ready_timeout_s=READY_TIMEOUT_S,
            address=profile.key_broker_url if name == "key-broker" else "",
        )


def _readiness(stack: Stack, profile: Profile, name: str) -> Callable[[], bool]:
    if name != "key-broker":
        return lambda: f"{name} is ready" in "\n".join(stack.supervisor.log_tail(name, 1000))

    trusted = client_context(profile.tls_ca)

    def answers() -> bool:
        try:
            answer = httpx.get(f"{profile.key_broker_url}/readyz", timeout=2, verify=trusted)
            return answer.status_code == 200
        except httpx.HTTPError:
            return False

    return answers
