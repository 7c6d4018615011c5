"""As whom PostgreSQL runs: as us, or, when we are root, as an unprivileged account.

PostgreSQL refuses to run as root. The account is `maplebridge` if the machine has it,
else `nobody`. Where it cannot enter the home folder (below a private folder of root's),
its data lie in a folder of its own under /var/lib/maplebridge, named after the home, and
so do the programs where it cannot reach those that were installed.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path

from maplebridge.errors import StageFailed
from maplebridge.localstack.supervisor import Account, as_account

SHARED = Path("/var/lib/maplebridge")
CANDIDATES = ("maplebridge", "nobody")


def unprivileged_account(euid: int) -> Account | None:
    """Return whom to run as, or None for ourselves. Raises StageFailed if root has nobody."""
    if euid != 0:
        return None
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise StageFailed(
        "postgresql",
        f"PostgreSQL does not run as root, and there is no account {' or '.join(CANDIDATES)}.",
        todo="Create one (`useradd --system maplebridge`), or run as another user.",
    )


def can_enter(folder: Path, account: Account | None) -> bool:
    """Return whether the account may pass through the folder and all above it, by mode bits."""
    if account is None:
        return True
    return all(_may_pass(parent, account) for parent in [folder, *folder.parents])


def private_folder(home: Path, account: Account | None) -> Path:
    """Return where the data of this home's PostgreSQL lie (not created)."""
    if can_enter(home.parent, account):
        return home / "postgresql"
    return SHARED / hashlib.sha256(os.fsencode(home)).hexdigest()[:16]


def reachable_programs(
    installed: Path, libraries: Path, version: str, account: Account | None
) -> Path:
    """Return a folder of PostgreSQL programs that the account can run.

    installed: the installation (with bin/); libraries: what its programs load by relative path.
    Where the account cannot reach them they are copied once to a place where it can.
    """
    if account is None or can_enter(installed / "bin", account):
        return installed
    target = SHARED / f"programs-{version}"
    copy = target / installed.parent.name / installed.name
    if not target.exists():
        partial = target.with_suffix(f".{os.getpid()}.partial")
        shutil.copytree(installed, partial / installed.parent.name / installed.name, symlinks=True)
        if libraries.exists():
            shutil.copytree(libraries, partial / libraries.name, symlinks=True)
        _open_to_all(partial)
        SHARED.chmod(0o755)
        try:
            partial.rename(target)
        except OSError:
            # another command was quicker
            shutil.rmtree(partial, ignore_errors=True)
    return copy


def make_private(folder: Path, account: Account | None) -> None:
    """Create the folder, or take it, for the account alone."""
    folder.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if folder.parent == SHARED:
        # whatever the umask
        SHARED.chmod(0o755)
    folder.mkdir(mode=0o700, exist_ok=True)
    if account is not None:
        os.chown(folder, account.uid, account.gid)


def run_as(
    argv: list[str], account: Account | None, *, timeout_s: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run a short program to its end as the account; its output is captured."""
    return subprocess.run(
        argv,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
        env={"PATH": os.defpath, "LC_ALL": "C"},
        cwd="/",
        check=False,
        **as_account(account),
    )


def _open_to_all(folder: Path) -> None:
    """Let everyone read, and run what can be run, however strict the installation was."""
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(0o755 if path.is_dir() or mode & stat.S_IXUSR else 0o644)


def _may_pass(folder: Path, account: Account) -> bool:
    try:
        info = os.stat(folder)
    except FileNotFoundError:
        return True
    if info.st_uid == account.uid:
        return bool(info.st_mode & stat.S_IXUSR)
    if info.st_gid == account.gid:
        return bool(info.st_mode & stat.S_IXGRP)
    return bool(info.st_mode & stat.S_IXOTH)
