"""The key broker's root in a hardware module: SoftHSM 2, where it is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from pkcs11 import Attribute, KeyType, ObjectClass
from pydantic import SecretStr

from maplebridge.access_policy.broker.backup import restore_backup, write_backup
from maplebridge.access_policy.broker.root_pkcs11 import Pkcs11Root
from maplebridge.access_policy.broker.roots import (
    open_root,
    provision,
    recover_root,
    root_path,
    root_shares,
)
from maplebridge.access_policy.broker.shares import split
from maplebridge.access_policy.keys import Master
from maplebridge.errors import InputError, IntegrityError, RootMissing, RootUnavailable
from maplebridge.settings import Profile
from tests.access_policy.test_broker_servers import (
    NOW,
    SECRETS,
    HasProfile,
    Site,
    keys,
    new_database,
    settings_of,
    site_of,
)
from tests.access_policy.test_rotation import masters, opened, told, turned

__all__ = ["keys", "masters"]
TOKEN, PIN = "maplebridge tests", "87654321"
MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)


@dataclass(frozen=True)
class Token:
    """A token of this test run's own."""

    module: Path

    def root(self, key: str) -> Pkcs11Root:
        return Pkcs11Root(self.module, token=TOKEN, key=key, pin=SecretStr(PIN))

    def made(self, key: str) -> Pkcs11Root:
        root = self.root(key)
        root.create()
        return root

    def settings(self, key: str) -> dict[str, Any]:
        return {
            "root_passphrase": SecretStr(PIN),
            "root_pkcs11_module": self.module,
            "root_pkcs11_token": TOKEN,
            "root_pkcs11_key": key,
        }

    def session(self) -> pkcs11.Session:
        token = pkcs11.lib(str(self.module)).get_token(token_label=TOKEN)
        try:
            return token.open(rw=True, user_pin=PIN)
        except pkcs11.UserAlreadyLoggedIn:
            return token.open(rw=True)


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Token]:
    command = shutil.which("softhsm2-util")
    module = next((each for each in map(Path, MODULES) if each.exists()), None)
    if command is None or module is None:
        pytest.skip("SoftHSM 2 is not installed (Debian: apt-get install softhsm2)")
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder / 'tokens'}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(configuration))
        subprocess.run(
            [command, "--init-token", "--free", "--label", TOKEN, "--so-pin", PIN, "--pin", PIN],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        yield Token(module)


@pytest.fixture
def site(stack: HasProfile, token: Token, tmp_path: Path) -> Iterator[Site]:
    """A key broker whose root is in the token."""
    key = f"root of {tmp_path.name}"
    settings = settings_of(stack.profile, tmp_path / "home", **token.settings(key))
    with site_of(stack.profile, settings) as made:
        yield made


def test_what_the_token_wraps_it_unwraps_under_the_same_binding_alone(token: Token) -> None:
    root = token.made("wraps")
    wrapped = root.wrap(b"epoch key" * 20, b"binding")
    assert b"epoch key" not in wrapped
    assert root.wrap(b"epoch key" * 20, b"binding") != wrapped
    assert token.root("wraps").unwrap(wrapped, b"binding") == b"epoch key" * 20
    for place in range(len(wrapped)):
        altered = wrapped[:place] + bytes([wrapped[place] ^ 1]) + wrapped[place + 1 :]
        with pytest.raises(IntegrityError):
            root.unwrap(altered, b"binding")
    for cut in (b"", wrapped[:12], wrapped[:-1]):
        with pytest.raises(IntegrityError):
            root.unwrap(cut, b"binding")
    with pytest.raises(IntegrityError):
        root.unwrap(wrapped, b"another")
    with pytest.raises(IntegrityError):
        token.made("another").unwrap(wrapped, b"binding")


def test_the_key_cannot_be_read_out_of_the_token(token: Token) -> None:
    token.made("stays")
    key = token.session().get_key(object_class=ObjectClass.SECRET_KEY, label="stays")
    assert key[Attribute.NEVER_EXTRACTABLE]
    assert key[Attribute.ALWAYS_SENSITIVE]
    with pytest.raises(pkcs11.AttributeSensitive):
        key[Attribute.VALUE]


def test_a_key_that_can_be_read_out_is_no_root(token: Token) -> None:
    token.session().generate_key(
        KeyType.AES,
        256,
        label="open",
        store=True,
        template={Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True},
    )
    with pytest.raises(InputError, match="can be read out"):
        token.root("open").check()


def test_keys_of_one_label_or_none_are_told(token: Token) -> None:
    with pytest.raises(RootMissing, match="is missing"):
        token.root("none").check()
    for _ in range(2):
        token.made("twice")
    with pytest.raises(InputError, match="several keys"):
        token.root("twice").check()


def test_threads_share_a_root(token: Token) -> None:
    root = token.made("shared")
    failed = []

    def use(number: int) -> None:
        for each in range(50):
            secret = f"{number} {each}".encode()
            if root.unwrap(root.wrap(secret, b"%d" % number), b"%d" % number) != secret:
                failed.append(secret)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_a_session_that_the_module_dropped_is_opened_again(
    token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = token.made("again")
    wrapped = root.wrap(b"secret", b"")
    root._session.close()
    assert root.unwrap(wrapped, b"") == b"secret"
    root._session.close()
    assert root.unwrap(root.wrap(b"secret", b""), b"") == b"secret"
    # a module that does not come back
    root._session.close()
    monkeypatch.setattr(root, "_module", Path("/nowhere/module.so"))
    for ask in (root.unwrap, root.wrap):
        with pytest.raises(RootUnavailable, match=r"/nowhere/module\.so"):
            ask(wrapped, b"")


def test_a_module_in_trouble_is_not_told_as_an_altered_key(
    token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = token.made("troubled")
    wrapped = root.wrap(b"secret", b"")

    class Troubled:
        def __getattr__(self, name: str) -> Any:
            raise pkcs11.FunctionFailed

    monkeypatch.setattr(root, "_find", Troubled)
    root._key = Troubled()
    with pytest.raises(RootUnavailable, match="FunctionFailed"):
        root.unwrap(wrapped, b"")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pin": "00000000"}, "does not open with this PIN"),
        ({"token": "none"}, "has not one token"),
        ({"module": "/nowhere/module.so"}, "hardware module at /nowhere/module.so"),
    ],
)
def test_a_wrong_pin_token_or_module_is_told(
    token: Token, change: dict[str, str], said: str
) -> None:
    """In a process of its own: a login holds for all of one."""
    given = {"module": str(token.module), "token": TOKEN, "key": "root", "pin": PIN, **change}
    program = (
        "import json, sys; from pathlib import Path; from pydantic import SecretStr\n"
        "from maplebridge.access_policy.broker.root_pkcs11 import Pkcs11Root\n"
        "given = json.loads(sys.argv[1])\n"
        "Pkcs11Root(Path(given['module']), token=given['token'], key=given['key'],"
        " pin=SecretStr(given['pin']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(given)],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert said in done.stderr
    assert given["pin"] not in done.stderr


# the broker, with PostgreSQL


def test_a_broker_with_its_root_in_the_token_serves_turns_and_starts_again(
    site: Site, masters: list[Master]
) -> None:
    before = opened(site.broker(lambda record: None), masters)
    assert len(before) == len(masters)
    assert not root_path(site.settings.home).exists()
    assert told(turned(site))[-1] == ("destroyed", site.public_key.epoch)
    assert opened(site.broker(lambda record: None), masters) == before
    again = provision(site.settings, site.admin, now=NOW, principals=SECRETS)
    assert again.epoch == site.public_key.epoch


def test_a_backup_is_restored_under_the_root_in_the_token(
    stack: HasProfile, site: Site, masters: list[Master], tmp_path: Path
) -> None:
    before = opened(site.broker(lambda record: None), masters)
    write_backup(site.admin, site.files(), tmp_path / "backup")
    with new_database(stack.profile) as (database, connection):
        restore_backup(
            connection, site.files(), tmp_path / "backup", principals=SECRETS, revoked=()
        )
        again = replace(site, admin=connection, database=database, opened=[])
        assert opened(again.broker(lambda record: None), masters) == before
        again.opened[0].close()


def test_a_lost_or_other_key_is_told_before_anything_is_made(site: Site, token: Token) -> None:
    lost = site.settings.model_copy(update={"root_pkcs11_key": "lost"})
    with pytest.raises(IntegrityError, match=r"'lost' in the token .* is missing"):
        provision(lost, site.admin, now=NOW, principals={})
    with pytest.raises(RootMissing):
        open_root(lost)
    token.made("lost")
    with pytest.raises(IntegrityError):
        provision(lost, site.admin, now=NOW, principals={})


def test_a_root_in_a_token_has_no_shares(site: Site) -> None:
    with pytest.raises(InputError, match="has no shares"):
        root_shares(site.settings, of=3, needed=2)
    with pytest.raises(InputError, match="has no shares"):
        recover_root(site.settings, split(bytes(32), of=3, needed=2), proof=site.admin)
    assert not root_path(site.settings.home).exists()


def test_only_the_key_broker_is_told_of_the_module(stack: HasProfile) -> None:
    profile: Profile = stack.profile.model_copy(
        update={"root_pkcs11_module": Path("/module.so"), "root_pkcs11_token": "city"}
    )
    known = profile.environment("key-broker")
    assert known["MAPLEBRIDGE_ROOT_PKCS11_MODULE"] == "/module.so"
    assert known["MAPLEBRIDGE_ROOT_PKCS11_TOKEN"] == "city"
    assert profile.settings("key-broker").root_pkcs11_module == Path("/module.so")
    assert not [name for name in profile.environment("combine") if "PKCS11" in name]
    assert profile.settings("combine").root_pkcs11_module is None
