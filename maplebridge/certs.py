"""Certificates of the servers, signed by a city's own authority (X.509, RFC 5280).

<folder>/authority.pem, authority.key    the authority; its key may have a passphrase
<folder>/<server>.pem                    a server's certificate and what leads to its authority
<folder>/<server>.key                    its private key (PKCS#8), for its owner alone
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from maplebridge.errors import InputError

SERVERS = ("kafka", "registry", "postgresql", "key-broker")
NAMES = (*SERVERS, "witness")
"""Who can have a certificate; a witness is no server of the city's."""
AUTHORITY = "authority"
AUTHORITY_DAYS = 3650
SERVER_DAYS = 397
CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True)
class Authority:
    """Who signs: `chain` begins with its own certificate."""

    chain: tuple[x509.Certificate, ...]
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate(self) -> x509.Certificate:
        return self.chain[0]


@dataclass(frozen=True)
class Issued:
    """One certificate of a folder; `hosts` are names and addresses it holds for."""

    name: str
    path: Path
    hosts: tuple[str, ...]
    issuer: str
    expires_at: datetime


def certificate_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.pem"


def key_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.key"


def make_authority(
    folder: Path,
    *,
    name: str,
    now: datetime,
    days: int = AUTHORITY_DAYS,
    passphrase: bytes | None = None,
) -> Issued:
    """Make a city's authority (ECDSA, P-256). Raises InputError if the folder has one."""
    path = certificate_path(folder, AUTHORITY)
    if path.exists() or key_path(folder, AUTHORITY).exists():
        raise InputError(
            f"{folder} holds an authority already.",
            todo="Keep it: a new one would be unknown to every client. Or give another folder.",
        )
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        _builder(subject, subject, key.public_key(), now=now, days=days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write(folder, AUTHORITY, [certificate], key, passphrase)
    return _issued(AUTHORITY, path, certificate)


def open_authority(certificate: Path, key: Path, *, passphrase: bytes | None = None) -> Authority:
    """Read an authority: ours, or a city's own with what leads to its root.

    Raises InputError if a file is unfit, the passphrase is wrong or the key is another's.
    """
    try:
        chain = tuple(x509.load_pem_x509_certificates(certificate.read_bytes()))
        private = serialization.load_pem_private_key(key.read_bytes(), passphrase)
    except FileNotFoundError as exc:
        raise InputError(
            f"there is no {exc.filename}.",
            todo="Run `maplebridge certs init`, or name the city's own authority.",
        ) from None
    except (ValueError, TypeError):
        raise InputError(
            f"the authority {certificate} and its key {key} cannot be read.",
            todo="Give PEM files, and the key's passphrase if it has one.",
        ) from None
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise InputError(
            f"the authority's key {key} is not one of ECDSA.",
            todo="Give an authority with a key on a NIST curve.",
        )
    if chain[0].public_key() != private.public_key():
        raise InputError(
            f"the key {key} is not that of {certificate}.",
            todo="Put the authority's own certificate first in its file.",
        )
    return Authority(chain, private)


def issue(
    authority: Authority,
    server: str,
    hosts: Sequence[str],
    *,
    folder: Path,
    now: datetime,
    days: int = SERVER_DAYS,
) -> Issued:
    """Make a key and a certificate for a server, in the place of earlier ones.

    hosts: DNS names and IP addresses; those of the earlier certificate if none are given.
    Raises InputError if there are none, or the authority ends before the certificate would.
    """
    path = certificate_path(folder, server)
    names = tuple(hosts) or (_read(path, server).hosts if path.exists() else ())
    if not names:
        raise InputError(
            f"no host name for the certificate of {server}.",
            todo="Give each name and address by which clients reach it: --host NAME.",
        )
    if now + timedelta(days=days) > authority.certificate.not_valid_after_utc:
        raise InputError(
            f"the authority ends before {days} days are over.",
            todo="Give fewer --days, or make a new authority.",
        )
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, server)])
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    certificate = (
        _builder(subject, authority.certificate.subject, key.public_key(), now=now, days=days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([_general_name(each) for each in names]), critical=False
        )
        .add_extension(identifier, critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    above = [each for each in authority.chain if each.issuer != each.subject]
    _write(folder, server, [certificate, *above], key, None)
    return _issued(server, path, certificate)


def ensure_servers(folder: Path, hosts: Sequence[str], *, now: datetime, renew_days: int) -> None:
    """Make an authority and each server's certificate where one is missing or soon expires."""
    if not certificate_path(folder, AUTHORITY).exists():
        make_authority(folder, name="Maple Bridge of one machine", now=now)
    soon = now + timedelta(days=renew_days)
    due = [
        name
        for name in SERVERS
        if not certificate_path(folder, name).exists()
        or _read(certificate_path(folder, name), name).expires_at < soon
    ]
    if due:
        authority = open_authority(certificate_path(folder, AUTHORITY), key_path(folder, AUTHORITY))
        for name in due:
            issue(authority, name, hosts, folder=folder, now=now)


def listed(folder: Path) -> list[Issued]:
    """Return the certificates of a folder, those that expire first first."""
    found = [_read(path, path.stem) for path in folder.glob("*.pem")]
    return sorted(found, key=lambda each: each.expires_at)


def _read(path: Path, name: str) -> Issued:
    try:
        return _issued(name, path, x509.load_pem_x509_certificate(path.read_bytes()))
    except ValueError:
        raise InputError(
            f"the certificate {path} cannot be read.", todo="Give a PEM file, or issue it anew."
        ) from None


def _issued(name: str, path: Path, certificate: x509.Certificate) -> Issued:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = tuple(str(each.value) for each in names)
    except x509.ExtensionNotFound:
        hosts = ()
    issuer = certificate.issuer.rfc4514_string()
    return Issued(name, path, hosts, issuer, certificate.not_valid_after_utc)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    *,
    now: datetime,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(
    folder: Path,
    name: str,
    chain: Sequence[x509.Certificate],
    key: ec.EllipticCurvePrivateKey,
    passphrase: bytes | None,
) -> None:
    """The key first: a certificate is there only with its key."""
    sealing: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        sealing = serialization.BestAvailableEncryption(passphrase)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealing
    )
    certificates = b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path, content, mode in (
        (key_path(folder, name), private, 0o600),
        (certificate_path(folder, name), certificates, 0o644),
    ):
        partial = path.with_name(path.name + ".partial")
        partial.unlink(missing_ok=True)
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        partial.replace(path)
