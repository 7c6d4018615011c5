"""Downloads: resumed where they broke off, checked, never half there."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from maplebridge.errors import StageFailed
from maplebridge.localstack.artifacts import Artifact
from maplebridge.localstack.cache import ArtifactCache, to_download
from maplebridge.localstack.download import download, open_client

CONTENT = bytes(range(256)) * 2000
ARTIFACT = Artifact(
    bundle="kafka",
    group="org.example",
    name="thing",
    version="1.0",
    classifier="",
    extension="jar",
    size_bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)


class Repository(ThreadingHTTPServer):
    """A Maven repository on loopback with one file, and faults to order."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = CONTENT
        self.ranges = True
        self.break_after: list[int] = []
        self.requests: list[str | None] = []
        self.paths: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Repository

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append(wanted)
        self.server.paths.append(self.path)
        start = int(wanted[6:-1]) if wanted and self.server.ranges else 0
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            total = len(self.server.content)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.break_after:
            body = body[: self.server.break_after.pop(0)]
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return None


@contextmanager
def serving() -> Iterator[Repository]:
    with Repository() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def repository() -> Iterator[Repository]:
    with serving() as server:
        yield server


def fetch(repository: Repository, target: Path, counts: list[int] | None = None) -> None:
    seen = counts if counts is not None else []
    with open_client() as client:
        download(
            ARTIFACT,
            target,
            repositories=[repository.url],
            client=client,
            on_bytes=seen.append,
            pause_s=0.01,
        )


def test_a_file_arrives_whole_from_the_place_its_coordinates_name(
    repository: Repository, tmp_path: Path
) -> None:
    fetch(repository, tmp_path / "thing.jar")
    assert (tmp_path / "thing.jar").read_bytes() == CONTENT
    assert repository.paths == ["/org/example/thing/1.0/thing-1.0.jar"]
    assert [p.name for p in tmp_path.iterdir()] == ["thing.jar"]


def test_a_broken_download_goes_on_where_it_stopped(repository: Repository, tmp_path: Path) -> None:
    repository.break_after = [100_000]
    counts: list[int] = []
    fetch(repository, tmp_path / "thing.jar", counts)
    first, second = repository.requests
    assert first is None
    assert second is not None
    resumed_at = int(second[6:-1])
    assert 0 < resumed_at <= 100_000
    assert sum(counts) == len(CONTENT)
    assert (tmp_path / "thing.jar").read_bytes() == CONTENT


def test_what_an_earlier_command_left_is_not_fetched_again(
    repository: Repository, tmp_path: Path
) -> None:
    (tmp_path / "thing.jar.part").write_bytes(CONTENT[:300_000])
    fetch(repository, tmp_path / "thing.jar")
    assert repository.requests == ["bytes=300000-"]
    assert (tmp_path / "thing.jar").read_bytes() == CONTENT


def test_a_repository_without_ranges_is_read_from_the_start(
    repository: Repository, tmp_path: Path
) -> None:
    repository.ranges = False
    (tmp_path / "thing.jar.part").write_bytes(CONTENT[:300_000])
    fetch(repository, tmp_path / "thing.jar")
    assert (tmp_path / "thing.jar").read_bytes() == CONTENT


def test_a_damaged_beginning_is_thrown_away_and_fetched_anew(
    repository: Repository, tmp_path: Path
) -> None:
    (tmp_path / "thing.jar.part").write_bytes(b"x" * 1000)
    fetch(repository, tmp_path / "thing.jar")
    assert repository.requests == ["bytes=1000-", None]
    assert (tmp_path / "thing.jar").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "content", [CONTENT[:-1] + b"!", CONTENT + b"!" * 1_000_000], ids=["altered", "too long"]
)
def test_other_bytes_than_the_pinned_ones_are_never_used(
    content: bytes, repository: Repository, tmp_path: Path
) -> None:
    repository.content = content
    with pytest.raises(StageFailed, match="not the pinned ones") as failure:
        fetch(repository, tmp_path / "thing.jar")
    assert failure.value.stage == "download"
    assert "maplebridge up" in failure.value.todo
    assert list(tmp_path.iterdir()) == []


def test_a_repository_that_does_not_answer_is_named_by_what_to_do(tmp_path: Path) -> None:
    with serving() as gone:
        pass
    with pytest.raises(StageFailed, match="connection broke") as failure:
        fetch(gone, tmp_path / "thing.jar")
    assert "network" in failure.value.todo


def test_a_corrupt_cached_file_is_found_and_fetched_anew(
    repository: Repository, tmp_path: Path
) -> None:
    cache = ArtifactCache(tmp_path, (ARTIFACT,), repositories=[repository.url])
    path = cache.path(ARTIFACT)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT[:-1] + b"!")
    assert cache.damaged() == [ARTIFACT]
    lines: list[str] = []
    cache.fetch(cache.damaged(), lambda line, part: lines.append(line))
    assert cache.damaged() == []
    assert lines[0] == to_download([ARTIFACT], tmp_path)


def test_sizes_are_stated_by_bundle_before_downloading(tmp_path: Path) -> None:
    big = Artifact("registry", "g", "n", "1", "all", "tar.gz", 159_000_000, "")
    small = Artifact("kafka", "g", "n", "1", "", "jar", 53_000_000, "")
    line = to_download([small, big], tmp_path)
    assert line == f"to download: 212 MB (Kafka 53 MB, Registry 159 MB); cached in {tmp_path}"
