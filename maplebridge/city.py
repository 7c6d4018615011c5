"""One city on one machine: the servers, what is provisioned on them, and the services."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from maplebridge.errors import StackNotRunning
from maplebridge.localstack import Progress, Stack
from maplebridge.provision import provision
from maplebridge.settings import Profile
from maplebridge.wiring import SERVICES

READY_TIMEOUT_S = 60.0


def up(stack: Stack, progress: Progress, *, services: bool = True) -> Profile:
    """Start the servers, provision them and start the services; harmless to repeat.

    Raises StageFailed with the failing stage's last log lines.
    """
    profile = stack.up(progress)
    with progress.stage("provision") as stage:
        profile = provision(profile)
        stage.say("topics, access rules, tables, schemas, keys")
    if services:
        with ThreadPoolExecutor(len(SERVICES), thread_name_prefix="services") as pool:
            for started in [
                pool.submit(_start, stack, profile, name, progress) for name in SERVICES
            ]:
                started.result()
    return profile


def running_profile(home: Path) -> Profile:
    """Return the profile of a stack whose servers run.

    Raises StackNotRunning with what is down and what to do.
    """
    profile = Profile.load(home)
    down = [each.name for each in Stack(home).status() if each.state != "running"]
    if down:
        raise StackNotRunning(f"not running: {', '.join(down)}.", todo="Run `maplebridge up`.")
    return profile


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

    def answers() -> bool:
        try:
            return httpx.get(f"{profile.key_broker_url}/readyz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    return answers
