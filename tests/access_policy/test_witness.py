"""Witnesses as processes of their own: what they co-sign, what they refuse, what they keep."""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import cast

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from maplebridge.access_policy.checkpoint import Checkpoint
from maplebridge.access_policy.cosignature import cosign, cosigned_by
from maplebridge.access_policy.merkle import Frontier, consistency_proof, leaf_hash
from maplebridge.access_policy.proof_text import Extension
from maplebridge.access_policy.signed_note import (
    COSIGNATURE,
    Signer,
    Verifier,
    load_signing_key,
    make_signing_key,
    to_base64,
)
from maplebridge.access_policy.witness import Listen, WitnessState, init_witness
from maplebridge.access_policy.witness.server import CONNECTIONS_MAX, WitnessServer
from maplebridge.access_policy.witness.witness import Witness
from maplebridge.certs import issue, make_authority, open_authority
from maplebridge.errors import InputError
from maplebridge.settings import Settings, WitnessAddress
from maplebridge.tls import client_context
from tests.access_policy.witnesses import WitnessProcess, witness_process

HASHES = [leaf_hash(str(at).encode()) for at in range(20)]
FORKED = [leaf_hash(b"another"), *HASHES[1:]]


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    make_signing_key(tmp_path / "log.key")
    return load_signing_key(tmp_path / "log.key")


@pytest.fixture
def witness(tmp_path: Path, signer: Signer) -> Iterator[WitnessProcess]:
    with witness_process(tmp_path / "w", name="w.justice", log=str(signer.verifier)) as made:
        yield made


def note_of(signer: Signer, size: int, *, hashes: list[bytes] = HASHES) -> str:
    return signer.sign(Checkpoint(size, Frontier().extended(hashes[:size]).root()).text())


def request(
    signer: Signer, old: int, size: int, *, hashes: list[bytes] = HASHES, proof: int | None = None
) -> str:
    """Return a request; proof: prove from another size than the one that is claimed."""
    start = old if proof is None else proof
    frontier = Frontier().extended(hashes[:start])
    path = tuple(consistency_proof(frontier, hashes[start:size]))
    return Extension(old, path, note_of(signer, size, hashes=hashes)).text()


def post(witness: WitnessProcess, text: str) -> httpx.Response:
    return httpx.post(f"{witness.url}/add-checkpoint", content=text.encode(), timeout=10)


def test_a_cosignature_has_the_bytes_that_the_specification_says() -> None:
    """C2SP tlog-cosignature: key id of type 4, time, and what is signed, written out."""
    key = Ed25519PrivateKey.generate()
    signer = Signer("witness.example.com/w1", key, COSIGNATURE)
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    line = cosign(text, signer, at_s=1679315147)
    dash, name, encoded = line.removesuffix("\n").split(" ")
    data = base64.b64decode(encoded)
    public = key.public_key().public_bytes_raw()
    key_id = sha256(b"witness.example.com/w1\n\x04" + public).digest()[:4]
    assert (dash, name, len(data)) == ("\u2014", "witness.example.com/w1", 4 + 8 + 64)
    # the time of the example there, as it stands in its signature
    assert data[:12] == key_id + base64.b64decode("jWbPPwAAAABkGFDL")[4:12]
    key.public_key().verify(data[12:], b"cosignature/v1\ntime 1679315147\n" + text.encode())
    assert cosigned_by(f"{text}\n{line}", [signer.verifier]) == [name]
    for wrong in (line.replace(encoded, encoded[:-8] + "AAAAAAA="), line.replace("w1", "w2")):
        assert cosigned_by(f"{text}\n{wrong}", [signer.verifier]) == []


def test_proven_extensions_are_cosigned_and_nothing_else(
    witness: WitnessProcess, signer: Signer
) -> None:
    """T12: each refusal has the status of C2SP tlog-witness, and leaves the state as it was."""
    verifier = Verifier.parse(witness.key, kind=COSIGNATURE)
    for old, size in ((0, 3), (3, 8), (8, 8), (8, 13)):
        answer = post(witness, request(signer, old, size))
        assert answer.status_code == 200
        assert cosigned_by(note_of(signer, size) + answer.text, [verifier]) == ["w.justice"]
    kept = witness.state
    foreign = Signer(signer.name, Ed25519PrivateKey.generate())
    elsewhere = Signer("another-log", signer.key)
    good = request(signer, 13, 20)
    refused = {
        "a fork of the same size": (request(signer, 13, 13, hashes=FORKED), 409),
        "a fork of a smaller size": (request(signer, 8, 8, hashes=FORKED), 409),
        "a fork that goes on": (request(signer, 13, 20, hashes=FORKED), 422),
        "a proof from another size": (request(signer, 13, 20, proof=12), 422),
        "a proof where none belongs": (request(signer, 13, 13, proof=12), 422),
        "a size that it went beyond": (request(signer, 3, 20), 409),
        "a size that it does not know yet": (request(signer, 19, 20), 409),
        "a log that shrinks": (request(signer, 13, 13).replace("old 13", "old 14"), 400),
        "another log": (Extension(0, (), note_of(elsewhere, 3).replace(
            "maplebridge-audit\n", "another-log\n", 1)).text(), 404),
        "another key": (request(foreign, 13, 20), 403),
        "no cosignature of another's": (good.replace("\u2014 maplebridge", "\u2014 other"), 403),
        "no checkpoint": (good.partition("\n\n")[0], 400),
        "no number": (good.replace("old 13", "old 013"), 400),
        "no hash": (good.replace("\n", "\nAAAA\n", 1), 400),
        "too many hashes": (
            "old 13\n" + f"{to_base64(bytes(32))}\n" * 64 + "\n" + note_of(signer, 20), 400),
    }  # fmt: skip
    for what, (text, status) in refused.items():
        answer = post(witness, text)
        assert answer.status_code == status, what
        if status == 409:
            assert (answer.text, answer.headers["content-type"]) == ("13\n", "text/x.tlog.size")
        assert "\u2014" not in answer.text
        assert witness.state == kept, what
    assert post(witness, good).status_code == 200


def test_a_fork_is_refused_after_a_kill_too_and_the_proof_of_it_is_kept(
    witness: WitnessProcess, signer: Signer
) -> None:
    """T12, F1: SIGKILL and start; neither the same nor a smaller size is signed anew."""
    assert post(witness, request(signer, 0, 13)).status_code == 200
    kept = witness.state
    for _ in range(2):
        for size in (13, 8):
            for old in (0, size, 13):
                answer = post(witness, request(signer, min(old, size), size, hashes=FORKED))
                assert (answer.status_code, answer.text) == (409, "13\n")
                assert witness.state == kept
        witness.kill()
        witness.start()
    notes = (witness.folder / "conflict").read_text("utf-8").split("\n\n\n")
    assert note_of(signer, 13) in notes[0] + "\n"
    assert note_of(signer, 13, hashes=FORKED) in (witness.folder / "conflict").read_text("utf-8")
    assert post(witness, request(signer, 13, 20)).status_code == 200


def test_of_two_requests_at_once_one_is_cosigned(witness: WitnessProcess, signer: Signer) -> None:
    """Two extensions of one size, both proven, that contradict each other."""
    post(witness, request(signer, 0, 5))
    forks = [[*HASHES[:5], *([leaf_hash(bytes([at]))] * 15)] for at in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda each: post(
            witness, request(signer, 5, 20, hashes=each)), forks))  # fmt: skip
    assert sorted(each.status_code for each in answers) == [200, *[409] * 7]


def test_bodies_that_are_no_request_are_refused_and_the_next_is_answered(
    witness: WitnessProcess, signer: Signer
) -> None:
    """T18: too large, of no length, cut short, not text, of another path or method."""
    url = f"{witness.url}/add-checkpoint"
    assert httpx.post(url, content=b"x" * 70_000).status_code == 413
    assert httpx.post(url, content=iter([b"old 0\n"])).status_code == 411
    assert httpx.post(url, content=b"\xff\xfe").status_code == 400
    assert httpx.post(f"{witness.url}/other", content=b"").status_code == 404
    assert httpx.get(f"{witness.url}/healthz").status_code == 200
    assert httpx.get(url).status_code == 404
    with socket.create_connection(("127.0.0.1", witness.port)) as cut:
        cut.sendall(b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 900\r\n\r\nold 0")
        assert post(witness, request(signer, 0, 3)).status_code == 200


def test_who_sends_a_byte_now_and_then_holds_up_nobody_for_long(tmp_path: Path) -> None:
    """Every place taken by connections that are never idle: a further is closed, not kept."""
    server = WitnessServer(cast("Witness", None), Listen.parse("127.0.0.1:0"))
    server.life_s = 1.0
    place = ("127.0.0.1", server.server_address[1])
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    held = [socket.create_connection(place) for _ in range(CONNECTIONS_MAX)]
    try:
        for each in held:
            each.sendall(b"GET /healthz HTTP/1.1\r\n")
        with socket.create_connection(place, timeout=5) as further:
            assert further.recv(1) == b"", "closed at once"
        deadline = time.monotonic() + 30
        while True:
            with suppress(OSError):
                for each in held:
                    each.sendall(b"X")
            with suppress(httpx.HTTPError):
                answer = httpx.get(f"http://{place[0]}:{place[1]}/healthz", timeout=5)
                assert answer.status_code == 200
                break
            assert time.monotonic() < deadline
    finally:
        for each in held:
            each.close()
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_witness_without_its_state_is_not_served(tmp_path: Path) -> None:
    """T12: it could be led to co-sign what contradicts its own cosignatures."""
    init_witness(tmp_path / "w", name="w.justice")
    with (
        WitnessState(tmp_path / "w"),
        pytest.raises(InputError, match="another process serves"),
    ):
        WitnessState(tmp_path / "w")
    (tmp_path / "w" / "state.json").unlink()
    with pytest.raises(InputError, match=r"state of the witness .* is lost"):
        WitnessState(tmp_path / "w")
    with pytest.raises(InputError, match="already"):
        init_witness(tmp_path / "w", name="w.justice")
    with pytest.raises(InputError, match="no signing key"):
        WitnessState(tmp_path)
    assert (tmp_path / "w" / "signing.key").stat().st_mode & 0o777 == 0o600


def test_beyond_loopback_a_witness_needs_tls() -> None:
    """T17: also as the city's settings have it."""
    with pytest.raises(InputError, match="needs TLS"):
        Listen.parse("0.0.0.0:8400")
    with pytest.raises(InputError, match="go together"):
        Listen.parse("127.0.0.1:8400", certificate=Path("w.pem"))
    with pytest.raises(InputError, match="not an address"):
        Listen.parse("8400")
    beyond = WitnessAddress(key="w+00000000+AAAA", url="http://10.0.0.9:8400")
    with pytest.raises(InputError, match=r"MAPLEBRIDGE_AUDIT_WITNESSES .* without TLS"):
        Settings(audit_witnesses=(beyond,))
    with pytest.raises(InputError, match="AUDIT_QUORUM"):
        Settings(audit_quorum=1)


def test_a_witness_speaks_tls_and_nothing_in_plain(tmp_path: Path, signer: Signer) -> None:
    """T17: with a certificate of the city's authority."""
    now = datetime.now(UTC)
    make_authority(tmp_path, name="Made-up city", now=now)
    authority = open_authority(tmp_path / "authority.pem", tmp_path / "authority.key")
    issue(authority, "witness", ["127.0.0.1"], folder=tmp_path, now=now)
    options = ("--certificate", str(tmp_path / "witness.pem"),
               "--certificate-key", str(tmp_path / "witness.key"))  # fmt: skip
    with witness_process(
        tmp_path / "w", name="w", log=str(signer.verifier), options=options, scheme="https"
    ) as witness:
        # one that says nothing keeps no other from its handshake
        with socket.create_connection(("127.0.0.1", witness.port)):
            trusted = client_context(tmp_path / "authority.pem")
            with httpx.Client(verify=trusted) as client:
                url = f"{witness.url}/add-checkpoint"
                answer = client.post(url, content=request(signer, 0, 3).encode())
                assert answer.status_code == 200
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{witness.port}/healthz", timeout=3)
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{witness.url}/healthz", timeout=3)
