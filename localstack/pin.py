"""Writes `artifacts.json` anew: `python -m maplebridge.localstack.pin`.

Give other versions by option, look at what changed in the file, run the tests, commit it.
Needs the extra `local` and a network; every file is downloaded and hashed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from maplebridge.localstack.artifacts import PINS, digest

KAFKA = "4.4.0"
LOG4J = "2.25.5"
REGISTRY = "3.3.3"
POSTGRESQL = "18.4.0"
PLATFORMS = {"x86_64": "amd64", "aarch64": "arm64v8"}
"""What `platform.machine` says, and what the repository calls it."""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Pin the files of the embedded stack.")
    parser.add_argument("--kafka", default=KAFKA, help="version of Apache Kafka")
    parser.add_argument("--log4j", default=LOG4J, help="version of Kafka's log4j")
    parser.add_argument("--registry", default=REGISTRY, help="version of Apicurio Registry")
    parser.add_argument("--postgresql", default=POSTGRESQL, help="version of PostgreSQL with TLS")
    parser.add_argument("--repository", type=Path, help="a local repository to use and fill")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        repository = given.repository or Path(scratch)
        pins = resolve(given.kafka, given.log4j, given.registry, given.postgresql, repository)
    target = Path(__file__).with_name(PINS)
    target.write_text(json.dumps(pins, indent=1) + "\n")
    print(f"{sum(map(len, pins.values()))} files pinned in {target}")


def resolve(
    kafka: str, log4j: str, registry: str, postgresql: str, repository: Path
) -> dict[str, list[dict[str, str | int]]]:
    """Return {bundle: [{coordinates, size_bytes, sha256}]} in the order of the class path."""
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=repository)
    # Kafka's own release adds the binding of slf4j to log4j, its POM does not
    wanted = [
        context.create_dependency(f"org.apache.kafka:kafka_2.13:{kafka}"),
        context.create_dependency(f"org.apache.logging.log4j:log4j-slf4j-impl:{log4j}"),
    ]
    # one by one: resolved together, the second one's POM would manage the first one's versions
    jars: dict[tuple[str, str], Any] = {}
    for root in wanted:
        _, dependencies = context.resolver.resolve([root])
        for found in (d.artifact for d in [root, *dependencies] if _is_run(d.scope)):
            jars.setdefault((found.groupId, found.artifactId), found)
    archive = (
        context.project("io.apicurio", "apicurio-registry-app")
        .at_version(registry)
        .artifact(classifier="all", packaging="tar.gz")
    )
    whole = f"io.apicurio:apicurio-registry-app:{registry}:all:tar.gz"
    group = "io.zonky.test.postgres"
    programs = {
        machine: context.project(group, f"embedded-postgres-binaries-linux-{name}")
        .at_version(postgresql)
        .artifact()
        for machine, name in PLATFORMS.items()
    }
    return {
        "kafka": [
            _pin(f"{owner}:{name}:{found.version}", found.resolve())
            for (owner, name), found in jars.items()
        ],
        "registry": [_pin(whole, archive.resolve())],
        **{
            f"postgresql-{machine}": [
                _pin(f"{group}:{found.artifactId}:{postgresql}", found.resolve())
            ]
            for machine, found in programs.items()
        },
    }


def _is_run(scope: str | None) -> bool:
    return scope not in {"test", "provided", "system"}


def _pin(coordinates: str, path: Path) -> dict[str, str | int]:
    return {
        "coordinates": coordinates,
        "size_bytes": path.stat().st_size,
        "sha256": digest(path),
    }


if __name__ == "__main__":
    main()
