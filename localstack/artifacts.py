"""What the embedded stack downloads: every file pinned by coordinates, size and SHA-256."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path, PurePosixPath

from maplebridge.errors import InputError

PINS = "artifacts.json"


@dataclass(frozen=True)
class Artifact:
    """One file of a Maven repository; `bundle` is what it is part of, such as kafka."""

    bundle: str
    group: str
    name: str
    version: str
    classifier: str
    extension: str
    size_bytes: int
    sha256: str

    @property
    def filename(self) -> str:
        classifier = f"-{self.classifier}" if self.classifier else ""
        return f"{self.name}-{self.version}{classifier}.{self.extension}"

    @property
    def path(self) -> PurePosixPath:
        """Its place in every Maven repository, local or remote."""
        return PurePosixPath(*self.group.split("."), self.name, self.version, self.filename)

    @property
    def coordinates(self) -> str:
        more = f":{self.classifier}:{self.extension}" if self.extension != "jar" else ""
        return f"{self.group}:{self.name}:{self.version}{more}"


def parse_artifact(bundle: str, coordinates: str, size_bytes: int, sha256: str) -> Artifact:
    """coordinates: `group:name:version`, or `group:name:version:classifier:extension`."""
    group, name, version, *more = coordinates.split(":")
    classifier, extension = more or ("", "jar")
    return Artifact(bundle, group, name, version, classifier, extension, size_bytes, sha256)


def load_artifacts(bundles: Collection[str]) -> tuple[Artifact, ...]:
    """Return the pinned files of the bundles, in the order of the class path."""
    pins = json.loads(files("maplebridge.localstack").joinpath(PINS).read_text())
    return tuple(
        parse_artifact(bundle, pin["coordinates"], pin["size_bytes"], pin["sha256"])
        for bundle, entries in pins.items()
        if bundle in bundles
        for pin in entries
    )


def version_of(artifacts: tuple[Artifact, ...], bundle: str) -> str:
    """Return the version of a bundle: that of its first file."""
    return next(artifact.version for artifact in artifacts if artifact.bundle == bundle)


def cache_folder(environ: Mapping[str, str], *, platform: str = sys.platform) -> Path:
    """Return MAPLEBRIDGE_CACHE, or `maplebridge` in the platform's cache folder."""
    if given := environ.get("MAPLEBRIDGE_CACHE"):
        return Path(given).expanduser().absolute()
    if given := environ.get("XDG_CACHE_HOME"):
        return Path(given).absolute() / "maplebridge"
    try:
        home = Path.home()
    except RuntimeError:
        raise InputError(
            "no home folder to keep downloads in.", todo="Set MAPLEBRIDGE_CACHE to a folder."
        ) from None
    return home / ("Library/Caches" if platform == "darwin" else ".cache") / "maplebridge"


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_whole(path: Path, artifact: Artifact) -> bool:
    """Return whether the file is there with the pinned size and SHA-256."""
    try:
        return os.stat(path).st_size == artifact.size_bytes and digest(path) == artifact.sha256
    except FileNotFoundError:
        return False


def megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.0f} MB"
