"""Onboarding that is cut short, or repeated: it ends well, and what is in use stays so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from maplebridge import onboarding
from maplebridge.access import access, end_overlaps
from maplebridge.access_policy.signatures import SigningKey
from maplebridge.access_policy.signing_keys import SigningKeyDirectory
from maplebridge.bundle_home import open_into
from maplebridge.errors import AccessDenied, InputError, KafkaUnavailable, StoreUnavailable
from maplebridge.onboarding import Onboarded, onboard, renew, revoke
from maplebridge.settings import Profile, Settings
from tests.system.stack_user import User
from tests.tls.test_onboarding import broker_knows, can_connect, now, publish

DAY = timedelta(days=1)
ONBOARD_STEPS = (
    "_check", "_remembered", "withdraw", "end_bundles", "_sync_rules", "set_login",
    "remove_logins", "end_signing_keys", "enrol", "ensure_principals", "deposit", "seal_bundle",
)  # fmt: skip
RENEW_STEPS = (
    "_check", "end_overlaps", "withdraw", "in_use", "_sync_rules", "set_login", "enrol",
    "renew_principal", "deposit", "overlap_signing_keys", "seal_bundle", "_remembered",
)  # fmt: skip


class Killed(BaseException):
    """Nothing catches it: what was in memory is gone, as after SIGKILL."""


@contextmanager
def killed_after(step: str) -> Iterator[None]:
    """Kill the officer's command in the block once it has done a step."""
    work = getattr(onboarding, step)

    def done(*arguments: Any, **named: Any) -> None:
        work(*arguments, **named)
        raise Killed(step)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(onboarding, step, done)
        with pytest.raises(Killed, match=step):
            yield


@pytest.fixture
def profile(tls_user: User) -> Iterator[Callable[[], Profile]]:
    """Returns the profile as the next command would read it; grid has no access."""
    revoke(tls_user.profile, "grid", now=now())
    yield lambda: tls_user.profile
    revoke(tls_user.profile, "grid", now=now())


def keys_without_end(profile: Profile) -> list[bytes]:
    directory = SigningKeyDirectory(profile.settings("admin"))
    try:
        return [
            each.key_id
            for each in directory.all()
            if each.department == "grid" and each.valid_to is None
        ]
    finally:
        directory.close()


def key_id(settings: Settings) -> bytes:
    return SigningKey.decode(settings.signing_key.get_secret_value()).key_id


def mechanisms(profile: Profile) -> list[str]:
    """Return the mechanisms by which grid can log in."""
    admin = AdminClient(profile.settings("admin").kafka_config())
    described: Any = admin.describe_user_scram_credentials(request_timeout=10)
    found = described.result(10).get("dept-grid")
    if found is None:
        return []
    return [each.mechanism.name.replace("_", "-") for each in found.scram_credential_infos]


def assert_in_use(settings: Settings) -> None:
    assert can_connect(settings)
    assert broker_knows(settings)


def assert_withdrawn(made: Onboarded, home: Path) -> None:
    with pytest.raises(AccessDenied, match="it was withdrawn"):
        open_into(home, made.bundle, made.code, now=now())


@pytest.mark.parametrize("step", ONBOARD_STEPS)
def test_onboarding_killed_after_a_step_is_run_again(
    profile: Callable[[], Profile], tmp_path: Path, step: str
) -> None:
    with killed_after(step):
        onboard(profile(), "grid", now=now())
    made = onboard(profile(), "grid", now=now())
    settings = open_into(tmp_path / "home", made.bundle, made.code, now=now()).settings("dept-grid")
    assert_in_use(settings)
    assert profile().handovers["dept-grid"].state == "onboarded"
    assert mechanisms(profile()) == [settings.kafka_mechanism]
    assert keys_without_end(profile()) == [key_id(settings)]


@pytest.mark.parametrize("error", [KafkaUnavailable("kafka"), StoreUnavailable("postgresql")])
def test_onboarding_with_a_server_down_is_run_again(
    profile: Callable[[], Profile],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def down(*_: Any, **__: Any) -> None:
        raise error

    with monkeypatch.context() as away:
        away.setattr(
            onboarding, "enrol" if isinstance(error, KafkaUnavailable) else "deposit", down
        )
        with pytest.raises(type(error)):
            onboard(profile(), "grid", now=now())
    states = {each.name: each.state for each in access(profile())}
    assert states["grid"] == "onboarding"
    # it is no use to renew what was never there, but it ends well too
    made = renew(profile(), "grid", now=now())
    settings = open_into(tmp_path / "home", made.bundle, made.code, now=now()).settings("dept-grid")
    assert_in_use(settings)
    assert keys_without_end(profile()) == [key_id(settings)]
    publish(tmp_path / "home", tmp_path, 21)


def test_a_bundle_that_could_not_be_written_is_made_again(
    profile: Callable[[], Profile], tls_user: User, tmp_path: Path
) -> None:
    """By the command: killed between the file and its code, and after both."""
    lost: list[Onboarded] = []

    def fails(made: Onboarded) -> None:
        lost.append(made)
        raise OSError

    for _ in range(2):
        with pytest.raises(OSError):  # noqa: PT011
            onboard(profile(), "grid", now=now(), deliver=fails)
    file = tmp_path / "grid.bundle"
    (tmp_path / "grid.bundle.partial").write_text("cut short")
    done = tls_user.run("onboard", "department", "grid", "--out", file, "--json")
    assert done.code == 0, done.said
    assert sorted(each.name for each in tmp_path.iterdir()) == ["grid.bundle"]
    assert file.stat().st_mode & 0o077 == 0
    for each in lost:
        assert_withdrawn(each, tmp_path / "other")
    with pytest.raises(InputError, match="onboarded already"):
        onboard(profile(), "grid", now=now())


def test_a_delivered_bundle_that_was_opened_is_not_made_again(
    profile: Callable[[], Profile], tmp_path: Path
) -> None:
    """Killed once the bundle was out: the department has opened it meanwhile."""
    sent: list[Onboarded] = []

    def killed(made: Onboarded) -> None:
        sent.append(made)
        raise Killed

    with pytest.raises(Killed):
        onboard(profile(), "grid", now=now(), deliver=killed)
    (made,) = sent
    settings = open_into(tmp_path / "home", made.bundle, made.code, now=now()).settings("dept-grid")
    with pytest.raises(InputError, match="onboarded already"):
        onboard(profile(), "grid", now=now())
    assert_in_use(settings)


def test_a_renewal_killed_after_any_step_leaves_what_is_in_use_and_is_run_again(
    profile: Callable[[], Profile], tls_user: User, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    made = onboard(profile(), "grid", now=now())
    old = open_into(home, made.bundle, made.code, now=now()).settings("dept-grid")
    for step in RENEW_STEPS:
        with killed_after(step):
            renew(profile(), "grid", now=now(), overlap=2 * DAY)
        assert_in_use(old)
    before = tls_user.totals()
    publish(home, tmp_path, 22)
    made = renew(profile(), "grid", now=now(), overlap=2 * DAY)
    new = open_into(home, made.bundle, made.code, now=now()).settings("dept-grid")
    publish(home, tmp_path, 23)
    after_both = tls_user.wait_for_combined(before["combined"] + 2)
    assert after_both["dead_lettered"] == before["dead_lettered"]
    assert_in_use(old)
    assert_in_use(new)
    assert keys_without_end(profile()) == [key_id(new)]
    assert sorted(mechanisms(profile())) == sorted([old.kafka_mechanism, new.kafka_mechanism])


def test_renewals_before_the_first_is_opened_leave_the_login_in_use(
    profile: Callable[[], Profile], tls_user: User, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    made = onboard(profile(), "grid", now=now())
    old = open_into(home, made.bundle, made.code, now=now()).settings("dept-grid")
    unopened = [renew(profile(), "grid", now=now(), overlap=DAY) for _ in range(2)]
    renewed = renew(profile(), "grid", now=now(), overlap=2 * DAY)
    assert_in_use(old)
    before = tls_user.totals()
    publish(home, tmp_path, 24)
    for each in unopened:
        assert_withdrawn(each, tmp_path / "other")
    # the overlap is that of the newest renewal
    assert end_overlaps(profile(), now=now() + timedelta(hours=47)) == []
    assert_in_use(old)
    new = open_into(home, renewed.bundle, renewed.code, now=now()).settings("dept-grid")
    publish(home, tmp_path, 25)
    done = tls_user.wait_for_combined(before["combined"] + 2)
    assert done["dead_lettered"] == before["dead_lettered"]
    assert_in_use(new)
    assert keys_without_end(profile()) == [key_id(new)]
    assert end_overlaps(profile(), now=now() + timedelta(minutes=70)) == ["dept-grid"]
    assert not can_connect(old)
    assert not broker_knows(old)
    assert_in_use(new)
    # and what is in use now is what the next renewal spares
    renew(profile(), "grid", now=now(), overlap=DAY)
    renew(profile(), "grid", now=now(), overlap=DAY)
    assert_in_use(new)


def test_a_bundle_that_was_never_opened_leaves_nothing_behind(
    profile: Callable[[], Profile], tmp_path: Path
) -> None:
    onboard(profile(), "grid", now=now())
    renewed = renew(profile(), "grid", now=now(), overlap=DAY)
    home = tmp_path / "home"
    settings = open_into(home, renewed.bundle, renewed.code, now=now()).settings("dept-grid")
    assert mechanisms(profile()) == [settings.kafka_mechanism]
    assert keys_without_end(profile()) == [key_id(settings)]
    assert end_overlaps(profile(), now=now() + 30 * DAY) == []
    assert_in_use(settings)
