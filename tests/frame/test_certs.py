"""Certificates: an authority's, a server's, a city's own; judged by an independent verifier."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from maplebridge.certs import Issued, issue, listed, make_authority, open_authority
from maplebridge.cli import main
from maplebridge.errors import InputError

NOW = datetime.now(UTC)
HOSTS = ("kafka.city.example", "10.1.2.3")


def made(folder: Path, *, passphrase: bytes | None = None) -> Path:
    make_authority(folder, name="Zhuji", now=NOW, passphrase=passphrase)
    return folder


def issued(folder: Path, hosts: Iterable[str] = HOSTS, *, now: datetime = NOW) -> Issued:
    authority = open_authority(folder / "authority.pem", folder / "authority.key")
    return issue(authority, "kafka", tuple(hosts), folder=folder, now=now)


def verify(folder: Path, host: str, *, root: Path | None = None, at: datetime = NOW) -> None:
    leaf, *between = x509.load_pem_x509_certificates((folder / "kafka.pem").read_bytes())
    roots = x509.load_pem_x509_certificates((root or folder / "authority.pem").read_bytes())
    name: x509.DNSName | x509.IPAddress = x509.DNSName(host)
    if host[0].isdigit():
        name = x509.IPAddress(ipaddress.ip_address(host))
    builder = PolicyBuilder().store(Store(roots)).time(at)
    builder.build_server_verifier(name).verify(leaf, between)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(each) for each in arguments])
    told = capsys.readouterr()
    return int(ended.value.code or 0), told.out + told.err


def test_a_server_is_known_by_its_names_and_addresses_and_no_others(tmp_path: Path) -> None:
    issued(made(tmp_path))
    for host in HOSTS:
        verify(tmp_path, host)
    for host in ("city.example", "10.1.2.4"):
        with pytest.raises(VerificationError):
            verify(tmp_path, host)


def test_a_certificate_is_of_its_authority_and_its_time(tmp_path: Path) -> None:
    issued(made(tmp_path / "ours"))
    made(tmp_path / "other")
    with pytest.raises(VerificationError):
        verify(tmp_path / "ours", HOSTS[0], root=tmp_path / "other" / "authority.pem")
    with pytest.raises(VerificationError):
        verify(tmp_path / "ours", HOSTS[0], at=NOW + timedelta(days=398))


def test_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    issued(made(tmp_path))
    keys = list(tmp_path.glob("*.key"))
    assert {path.name for path in keys} == {"authority.key", "kafka.key"}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in keys)


def test_a_renewal_keeps_the_names_and_takes_a_new_key(tmp_path: Path) -> None:
    first = issued(made(tmp_path))
    key = (tmp_path / "kafka.key").read_bytes()
    second = issued(tmp_path, (), now=NOW + timedelta(days=100))
    assert second.hosts == first.hosts == HOSTS
    assert second.expires_at > first.expires_at
    assert (tmp_path / "kafka.key").read_bytes() != key
    verify(tmp_path, HOSTS[0], at=NOW + timedelta(days=450))


def test_an_authority_is_never_made_over_another(tmp_path: Path) -> None:
    before = (made(tmp_path) / "authority.key").read_bytes()
    with pytest.raises(InputError, match="holds an authority already"):
        made(tmp_path)
    assert (tmp_path / "authority.key").read_bytes() == before


def test_a_certificate_does_not_outlive_its_authority(tmp_path: Path) -> None:
    make_authority(tmp_path, name="Zhuji", now=NOW, days=30)
    with pytest.raises(InputError, match="ends before 397 days"):
        issued(tmp_path)


def test_the_authoritys_key_may_have_a_passphrase(tmp_path: Path) -> None:
    made(tmp_path, passphrase=b"correct horse")
    files = (tmp_path / "authority.pem", tmp_path / "authority.key")
    for wrong in (None, b"wrong"):
        with pytest.raises(InputError, match="cannot be read"):
            open_authority(*files, passphrase=wrong)
    assert open_authority(*files, passphrase=b"correct horse").key


def test_the_key_of_another_authority_is_refused(tmp_path: Path) -> None:
    made(tmp_path / "one")
    made(tmp_path / "two")
    with pytest.raises(InputError, match="not that of"):
        open_authority(tmp_path / "one" / "authority.pem", tmp_path / "two" / "authority.key")


def test_a_citys_own_authority_signs_with_what_leads_to_its_root(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The city's is an intermediate one below a root that stays offline."""
    root, between = _own_authority(tmp_path)
    code, said = run(
        capsys, "certs", "issue", "kafka", "--host", HOSTS[0], "--folder", tmp_path / "servers",
        "--authority", between, "--authority-key", tmp_path / "between.key", "--json",
    )  # fmt: skip
    assert code == 0, said
    assert json.loads(said)["hosts"] == [HOSTS[0]]
    # the command took the clock itself, perhaps long after this module was loaded
    verify(tmp_path / "servers", HOSTS[0], root=root, at=datetime.now(UTC))


def _own_authority(folder: Path) -> tuple[Path, Path]:
    root_key, key = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
    names = [
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)]) for text in ("Root", "City")
    ]
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    certificates = [
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(names[0])
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1000))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()),
            critical=False,
        )
        .sign(root_key, hashes.SHA384())
        for subject, own in zip(names, (root_key, key), strict=True)
    ]
    (root, between) = (each.public_bytes(serialization.Encoding.PEM) for each in certificates)
    (folder / "root.pem").write_bytes(root)
    (folder / "between.pem").write_bytes(between)
    (folder / "between.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder / "root.pem", folder / "between.pem"


def test_what_expires_soon_is_listed_first_and_ends_the_command_with_6(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ("--folder", tmp_path)
    assert run(capsys, "certs", "init", "--name", "Zhuji", *place)[0] == 0
    issue_kafka = ("certs", "issue", "kafka", "--host", "localhost", "--days", 20)
    assert run(capsys, *issue_kafka, *place)[0] == 0
    code, said = run(capsys, "certs", "list", "--json", *place)
    assert code == 6
    told = [json.loads(line) for line in said.splitlines()]
    assert [(each["name"], each["days_left"]) for each in told] == [
        ("kafka", 19), ("authority", 3649)
    ]  # fmt: skip
    assert run(capsys, "certs", "list", "--within-days", 10, *place)[0] == 0
    assert [each.name for each in listed(tmp_path)] == ["kafka", "authority"]


def test_a_server_without_a_name_or_unknown_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path)
    for server, message in (("registry", "no host name"), ("redis", "no server redis")):
        code, said = run(capsys, "certs", "issue", server, "--folder", tmp_path)
        assert (code, message in said) == (3, True), said
