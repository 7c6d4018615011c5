"""What `up` chose for one home folder beyond the profile, and the folder's mark as ours."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from maplebridge.certs import AUTHORITY, certificate_path, ensure_servers, key_path
from maplebridge.errors import StackError
from maplebridge.localstack import principals
from maplebridge.localstack.ports import DEFAULT_PORTS, LOOPBACK, choose_ports, is_free
from maplebridge.localstack.supervisor import Supervisor
from maplebridge.settings import PROFILE_NAME, Profile

LAYOUT_NAME = "localstack.json"
ROUND_S = 1.0
"""Nobody waits a day here to see a pseudonymous view; nor does a round of one event hide it."""
RENEW_DAYS = 30
"""A certificate that expires within so many days is made anew at `up`."""
SERVER_OF = {"controller": "kafka", "registry-management": "registry"}
"""A server listens on more than one port; which name in `ports` belongs to which process."""


def claim(home: Path) -> None:
    """Make the home folder, or recognise it. Raises StackError if it holds something else."""
    if home.exists() and not home.is_dir():
        raise StackError(f"{home} is a file.", todo="Set MAPLEBRIDGE_HOME to a folder.")
    mark = home / LAYOUT_NAME
    if mark.exists():
        return
    # whoever waits for the lock while the folder is wiped finds `run` only, and certificates
    # may be there before the stack
    ours = {"run", certificates(home).name}
    strangers = [p.name for p in home.iterdir() if p.name not in ours] if home.exists() else []
    if strangers:
        raise StackError(
            f"{home} holds files that are not of an embedded stack ({min(strangers)}, ...).",
            todo="Set MAPLEBRIDGE_HOME to a folder of its own.",
        )
    try:
        home.mkdir(parents=True, exist_ok=True)
        # root's may be passed, not read: PostgreSQL runs as another account; all within is private
        home.chmod(0o711 if os.geteuid() == 0 else 0o700)
        with mark.open("x") as file:
            file.write(json.dumps({"ports": {}}))
    except FileExistsError:
        # another command was quicker
        return
    except OSError as exc:
        raise StackError(
            f"{home} cannot be made ({exc.strerror}).",
            todo="Set MAPLEBRIDGE_HOME to a folder that you may write to.",
        ) from exc


def read_ports(home: Path) -> dict[str, int]:
    """Return the ports chosen last time, by name; empty if none were."""
    try:
        return dict(json.loads((home / LAYOUT_NAME).read_text())["ports"])
    except (FileNotFoundError, ValueError, KeyError):
        return {}


def settle_ports(
    home: Path,
    supervisor: Supervisor,
    preferred: Mapping[str, int] | None,
    *,
    take: Callable[[int], bool] = is_free,
) -> dict[str, int]:
    """Choose a port for every server and remember it; a running server keeps its own.

    take: tells whether a port may be had.
    """
    remembered = read_ports(home)
    wanted = {**DEFAULT_PORTS, **(preferred or {}), **remembered}
    running = [
        name
        for name in wanted
        if name in remembered and supervisor.find(SERVER_OF.get(name, name)) is not None
    ]
    chosen = choose_ports(wanted, keep=running, take=take)
    partial = home / f"{LAYOUT_NAME}.partial"
    partial.write_text(json.dumps({"ports": chosen}))
    partial.replace(home / LAYOUT_NAME)
    return chosen


def settle_profile(
    home: Path, ports: Mapping[str, int], *, tls: bool = False, is_running: bool = False
) -> Profile:
    """Return the home's profile with these ports; secrets are made once and kept.

    tls: begin to speak TLS; a home that does goes on. is_running: whether a server is.
    Raises InputError if the profile cannot be read, StackError if it is gone but data are
    there, or TLS is asked of servers that run without.
    """
    known = Profile.load(home) if (home / PROFILE_NAME).exists() else None
    if known is None and (home / "kafka" / "data").exists():
        raise StackError(
            f"{home} holds data, but its profile with their passwords is gone.",
            todo="Put the profile back, or begin anew: `maplebridge down --wipe`.",
        )
    kept = known.secrets if known else {}
    handed_over = known.handovers if known else {}
    made = {
        name: kept.get(name) or secrets.token_urlsafe(24)
        for name in principals.ALL
        if name not in handed_over
    }
    with_tls = tls or (known is not None and known.tls_ca is not None)
    if with_tls and is_running and (known is None or known.tls_ca is None):
        raise StackError(
            f"the servers of {home} run without TLS.",
            todo="Run `maplebridge down`, then `maplebridge up --tls`.",
        )
    scheme = "https" if with_tls else "http"
    addresses: dict[str, Any] = {
        **(_certified(home) if with_tls else {}),
        "kafka_bootstrap": f"{LOOPBACK}:{ports['kafka']}",
        "registry_url": f"{scheme}://{LOOPBACK}:{ports['registry']}",
        "postgres_host": LOOPBACK,
        "postgres_port": ports["postgresql"],
        "key_broker_url": f"{scheme}://{LOOPBACK}:{ports['key-broker']}",
        "secrets": {**kept, **made},
        "home": home,
    }
    if known is not None:
        profile = known.model_copy(update=addresses)
    else:
        profile = Profile(
            root_passphrase=secrets.token_urlsafe(24), pseudonym_round_s=ROUND_S, **addresses
        )
    profile.save()
    return profile


def certificates(home: Path) -> Path:
    """Return the folder of the authority and the servers' certificates."""
    return home / "certs"


def _certified(home: Path) -> dict[str, Any]:
    """Make the certificates that are missing or soon expire; return where clients find them."""
    folder = certificates(home)
    ensure_servers(folder, (LOOPBACK, "localhost"), now=datetime.now(UTC), renew_days=RENEW_DAYS)
    return {
        "tls_ca": certificate_path(folder, AUTHORITY),
        "key_broker_certificate": certificate_path(folder, "key-broker"),
        "key_broker_certificate_key": key_path(folder, "key-broker"),
    }
