"""Searching every byte that a stack has on disk for a value, however it may be written."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

CHUNK_BYTES = 16_000_000


def writings(text: str) -> dict[str, bytes]:
    """Return the forms in which a text may stand in a file, by name."""
    raw = text.encode()
    forms = {
        "raw": raw,
        "utf-16-le": text.encode("utf-16-le"),
        "utf-16-be": text.encode("utf-16-be"),
        "gb18030": text.encode("gb18030"),
        "json escape": json.dumps(text)[1:-1].encode(),
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
    }
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + raw)
        # the characters at both ends depend on the neighbours too
        inner = whole[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6]
        forms[f"base64 +{shift}"] = inner
        forms[f"base64url +{shift}"] = inner.replace(b"+", b"-").replace(b"/", b"_")
    return forms


def find(places: Iterable[tuple[str, bytes]], texts: Mapping[str, str]) -> set[tuple[str, str]]:
    """Return (name of the text, place) for each text found in any writing."""
    wanted = {
        (name, form): writing
        for name, text in texts.items()
        for form, writing in writings(text).items()
    }
    return {
        (name, f"{place} ({form})")
        for place, content in places
        for (name, form), writing in wanted.items()
        if writing in content
    }


def files(*roots: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the content of every file in overlapping chunks; holes of sparse files are left out."""
    for root in roots:
        for path in root.rglob("*"):
            if path.is_file() and not path.is_symlink():
                try:
                    yield from _chunks(path)
                except FileNotFoundError:
                    continue  # a segment or temporary file that has gone since


def _chunks(path: Path) -> Iterator[tuple[str, bytes]]:
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        at, tail = 0, b""
        while at < size:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                return  # only a hole is left
            end = min(os.lseek(file.fileno(), start, os.SEEK_HOLE), start + CHUNK_BYTES)
            content = os.pread(file.fileno(), end - start, start)
            if not content:
                return
            yield str(path), (tail if start == at else b"") + content
            at, tail = start + len(content), content[-1000:]
