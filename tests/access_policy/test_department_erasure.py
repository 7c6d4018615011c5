"""What a department destroys of its own: masters, references, and the key of copies."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from maplebridge.access_policy import department_store, keystore
from maplebridge.access_policy.keys import Master
from maplebridge.access_policy.keystore import DepartmentKeys
from maplebridge.errors import IntegrityError
from tests.access_policy.test_keys import open_store, opened, path, pending, subject

__all__ = ["path"]
ELSEWHERE = "330681002001"
OTHERS = 25


def of_others(keys: DepartmentKeys) -> list[Master]:
    return [subject(keys, f"person {number}") for number in range(OTHERS)]


def test_what_is_destroyed_is_made_anew_and_nothing_else_is(path: Path) -> None:
    with open_store(path) as keys:
        others = of_others(keys)
        gone = [subject(keys), subject(keys, community=ELSEWHERE)]
        case = keys.master("case", "case 1", grade_domain=4, community=gone[0].community)
        assert keys.destroy([gone[0].key_ref, case.key_ref, "ab" * 16]) == 3
        again = subject(keys)
        assert again.key_ref not in {gone[0].key_ref, case.key_ref}
        assert again.secret not in {each.secret for each in gone}
        assert of_others(keys) == others
    with open_store(path) as keys:
        assert of_others(keys) == others
        assert subject(keys) == again
        announced = [new.master for batch in pending(keys) for new in opened(keys, batch)]
    assert sorted(announced, key=lambda each: each.key_id) == sorted(
        [*others, again], key=lambda each: each.key_id
    )


def test_a_copy_from_before_opens_no_more(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T14: a department's store put back from a backup, beside the key file there is now."""
    monkeypatch.setattr(keystore, "_MOVED_ROWS", 7)
    with open_store(path) as keys:
        others, gone = of_others(keys), subject(keys)
    copy = shutil.copyfile(path, tmp_path / "copy.db")
    old = path.with_suffix(".kek").read_bytes()
    with open_store(path) as keys:
        keys.destroy([gone.key_ref])
        keys.reencrypt()
        assert of_others(keys) == others
    assert path.with_suffix(".kek").read_bytes() != old
    with open_store(path) as keys:
        assert of_others(keys) == others
        assert len([new for batch in pending(keys) for new in opened(keys, batch)]) == OTHERS
    for file in path.parent.glob("hotline.db*"):
        file.unlink()
    shutil.copyfile(copy, path)
    with pytest.raises(IntegrityError, match="does not belong"), open_store(path):
        pass


@pytest.mark.parametrize("point", ["written", "moving", "committed", "durable", "replaced"])
def test_a_stop_while_the_key_is_replaced_loses_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """F13."""

    class Stop(BaseException):
        pass

    def stop(*_: object) -> None:
        raise Stop

    with open_store(path) as keys:
        others = of_others(keys)
    with open_store(path) as keys:
        owner, name = {
            "written": (keys._store, "transaction"),
            "moving": (keys, "_move"),
            "committed": (keys._store, "make_durable"),
            "durable": (Path, "replace"),
            "replaced": (department_store, "sync_folder"),
        }[point]
        with monkeypatch.context() as stopping:
            stopping.setattr(owner, name, stop)
            with pytest.raises(Stop):
                keys.reencrypt()
    with open_store(path) as keys:
        assert of_others(keys) == others
        keys.reencrypt()
        assert of_others(keys) == others
    assert not path.with_suffix(".next").exists()
    assert len(os.listdir(path.parent)) == 3
