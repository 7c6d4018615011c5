"""`audit prove` and `audit check` as commands, on the running city and then without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from maplebridge.access_policy.audit import held_checkpoint_path
from maplebridge.localstack import Stack
from maplebridge.settings import Profile
from tests.processors.lanes import await_true
from tests.system.stack_user import DASHBOARD, OFFICER, TOWN, User

DENIED, INPUT, ALTERED = 4, 3, 7


@pytest.fixture
def user(city: Profile, stack: Stack) -> User:
    return User(stack.home)


@pytest.fixture
def stranger(tmp_path: Path) -> User:
    """Someone with no stack and no profile, such as a court."""
    return User(tmp_path / "elsewhere")


def read_once(user: User) -> int:
    """Read something and return the number of leaves once all of them are signed."""
    assert user.run("query", "cases", *TOWN, "--limit", 1).code == 0

    def all_signed() -> bool:
        told = user.run("audit", "verify", "--json").last
        return bool(told["leaves"] == told["signed"])

    await_true(all_signed)
    return int(user.run("audit", "verify", "--json").last["leaves"])


def altered(path: Path, old: str, new: str) -> Path:
    text = path.read_text("utf-8")
    assert old in text
    changed = path.with_suffix(".altered")
    changed.write_text(text.replace(old, new, 1), "utf-8")
    return changed


def test_a_leaf_is_proven_to_whoever_has_the_key(
    user: User, stranger: User, tmp_path: Path
) -> None:
    """T12: the last of the log, which is the reading itself."""
    leaf = read_once(user) - 1
    proof = tmp_path / "leaf.proof"
    assert user.run("audit", "prove", proof, "--leaf", leaf).code == 0
    told = user.run("audit", "check", proof, "--json").last
    assert (told["holds"], told["leaf"], told["cosigners"]) == (True, leaf, [])
    assert "unwitnessed" in user.run("audit", "check", proof).out

    key = user.profile.audit_public_key
    ran = stranger.run("audit", "check", proof, "--key", key)
    assert ran.code == 0, ran.said
    assert f"leaf {leaf} stands in the log" in ran.out
    assert "access.queried, cases, for town-mediation" in ran.out
    wrong = altered(proof, f"index {leaf}", f"index {leaf - 1}")
    assert stranger.run("audit", "check", wrong, "--key", key).code == ALTERED
    assert stranger.run("audit", "check", altered(proof, "extra ", ""), "--key", key).code == INPUT
    # a proof is a reading of the log: asked, and an entry of it
    newest = user.run("audit", "search", *OFFICER, "--limit", 2, "--json").objects
    assert any(each["resource"] == "audit" and each["rows"] == 1 for each in newest)


def test_the_log_is_proven_to_have_only_grown_since_a_checkpoint(
    user: User, stranger: User, tmp_path: Path
) -> None:
    """T12: whoever kept one is told by a file."""
    read_once(user)
    kept, proof = tmp_path / "kept", tmp_path / "since.proof"
    kept.write_text(held_checkpoint_path(user.home).read_text("utf-8"), "utf-8")
    size = read_once(user)
    assert user.run("audit", "prove", proof, "--since", kept).code == 0
    key = user.profile.audit_public_key
    told = stranger.run("audit", "check", proof, "--since", kept, "--key", key, "--json").last
    assert told["holds"]
    assert told["since"] < size <= told["leaves"]
    later = tmp_path / "later"
    later.write_text(held_checkpoint_path(user.home).read_text("utf-8"), "utf-8")
    ran = stranger.run("audit", "check", proof, "--since", later, "--key", key)
    assert ran.code == ALTERED
    assert "does not lead" in ran.err
    assert stranger.run("audit", "check", proof, "--key", key).code == INPUT


def test_what_is_not_signed_yet_or_not_permitted_is_not_proven(user: User, tmp_path: Path) -> None:
    proof = tmp_path / "none.proof"
    ran = user.run("audit", "prove", proof, "--leaf", 10**9)
    assert ran.code == INPUT
    assert "no signed leaf" in ran.err
    assert user.run("audit", "prove", proof, "--leaf", 0, *DASHBOARD).code == DENIED
    assert user.run("audit", "prove", proof).code == INPUT
    assert not proof.exists()
