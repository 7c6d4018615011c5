"""One file from a repository: streamed, resumed where it broke off, checked, then renamed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from maplebridge.errors import StageFailed
from maplebridge.localstack.artifacts import Artifact, is_whole

ATTEMPTS = 5
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
STAGE = "download"


def open_client() -> httpx.Client:
    return httpx.Client(timeout=_TIMEOUT, follow_redirects=True)


def download(
    artifact: Artifact,
    target: Path,
    *,
    repositories: Sequence[str],
    client: httpx.Client,
    on_bytes: Callable[[int], None] = lambda count: None,
    pause_s: float = 0.5,
) -> None:
    """Bring the file to `target`, whole or not at all.

    What came before a break stays in `<target>.part` and is not fetched again.
    on_bytes: told how many bytes came in; a negative number takes back what was discarded.
    Raises StageFailed if no repository has it, none answers, or the bytes are not the pinned ones.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    reason = "no repository is known"
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(pause_s * 2 ** (attempt - 1))
        url = f"{repositories[attempt % len(repositories)].rstrip('/')}/{artifact.path}"
        try:
            _stream(client, url, part, artifact.size_bytes, on_bytes)
        except httpx.HTTPStatusError as exc:
            reason = f"the repository answered {exc.response.status_code}"
            continue
        except httpx.HTTPError as exc:
            reason = f"the connection broke ({type(exc).__name__})"
            continue
        if is_whole(part, artifact):
            os.replace(part, target)
            return
        if part.stat().st_size >= artifact.size_bytes:
            on_bytes(-part.stat().st_size)
            part.unlink()
            reason = "its bytes are not the pinned ones"
        else:
            reason = "it came in part"
    raise StageFailed(
        STAGE,
        f"{artifact.coordinates} could not be fetched: {reason}.",
        todo="Check the network, then run `maplebridge up` again: it goes on where it stopped.",
    )


def _stream(
    client: httpx.Client, url: str, part: Path, size_bytes: int, on_bytes: Callable[[int], None]
) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have >= size_bytes:
        return
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with client.stream("GET", url, headers=headers) as response:
        response.raise_for_status()
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT and response.headers.get(
            "content-range", ""
        ).startswith(f"bytes {have}-")
        if have and not resumed:
            on_bytes(-have)
            have = 0
        with part.open("ab" if resumed else "wb") as file:
            for chunk in response.iter_bytes():
                file.write(chunk)
                have += len(chunk)
                on_bytes(len(chunk))
                if have > size_bytes:
                    # never more than what was pinned, whatever the other side sends
                    return
