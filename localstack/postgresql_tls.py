"""PostgreSQL's programs with TLS: those of the Python package are built without it."""

from __future__ import annotations

import lzma
import platform
import shutil
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from maplebridge.errors import StageFailed
from maplebridge.localstack.artifacts import load_artifacts
from maplebridge.localstack.cache import ArtifactCache, Say
from maplebridge.localstack.download import STAGE
from maplebridge.localstack.locks import file_lock


def ensure_programs(cache: Path, repositories: Sequence[str] | None, say: Say) -> Path:
    """Return the folder of the programs (with bin/), fetched and unpacked if it is not there.

    Raises StageFailed, also on a machine that there are none for.
    """
    bundle = f"postgresql-{platform.machine()}"
    artifacts = load_artifacts([bundle])
    if not artifacts:
        raise StageFailed(
            STAGE,
            f"there is no PostgreSQL with TLS for {platform.machine()}.",
            todo="Use x86-64 or ARM, or a PostgreSQL of your own: docs/deployment.md.",
        )
    files = ArtifactCache(cache, artifacts, repositories=repositories)
    folder = cache / f"{bundle}-{artifacts[0].version}"
    cache.mkdir(parents=True, exist_ok=True)
    with file_lock(cache / ".postgresql.lock"):
        if not folder.exists():
            if wanted := files.damaged():
                files.fetch(wanted, say)
            _unpack(files.path(artifacts[0]), folder)
    return folder


def _unpack(jar: Path, folder: Path) -> None:
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with zipfile.ZipFile(jar) as outer:
            (name,) = (each for each in outer.namelist() if each.endswith(".txz"))
            with (
                outer.open(name) as inner,
                lzma.open(inner) as whole,
                tarfile.open(fileobj=whole) as tar,
            ):
                tar.extractall(partial, filter="data")
    except (OSError, tarfile.TarError, lzma.LZMAError, zipfile.BadZipFile, ValueError) as exc:
        raise StageFailed(
            STAGE,
            f"PostgreSQL cannot be unpacked in {folder.parent}.",
            todo="Free some disk space, then run `maplebridge up` again.",
        ) from exc
    partial.rename(folder)
