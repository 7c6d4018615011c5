"""`maplebridge schema lint` on files and on folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from maplebridge.cli import main
from maplebridge.schemas.catalogue import contract_paths

ORDER = next(path for path in contract_paths() if path.name == "hotline.order.v1.avsc")


def lint(capsys: pytest.CaptureFixture[str], *words: Path) -> tuple[int, list[dict[str, object]]]:
    with pytest.raises(SystemExit) as stopped:
        main(["schema", "lint", *map(str, words), "--json"])
    out = capsys.readouterr().out.splitlines()
    return int(stopped.value.code or 0), [json.loads(line) for line in out]


def folder_of(tmp_path: Path, text: str) -> Path:
    (tmp_path / "hotline").mkdir()
    shutil.copy(ORDER, tmp_path / "hotline" / "hotline.order.v1.avsc")
    (tmp_path / "hotline" / "hotline.other.v1.avsc").write_text(text, "utf-8")
    return tmp_path


def test_a_folder_is_linted_file_by_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    spoilt = ORDER.read_text("utf-8").replace('"name": "order_no"', '"name": "phone1"')
    code, told = lint(capsys, folder_of(tmp_path, spoilt))
    assert code == 3
    assert told[-1] == {"contracts": 2, "findings": 1}
    assert (told[0]["file"], told[0]["code"]) == ("hotline.other.v1.avsc", "MB204")


def test_a_folder_and_a_file_may_stand_together(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = folder_of(tmp_path, ORDER.read_text("utf-8"))
    assert lint(capsys, folder, ORDER) == (0, [{"contracts": 3, "findings": 0}])


@pytest.mark.parametrize("noise", [b"\xff\xfe\x00", None])
def test_what_cannot_be_read_is_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, noise: bytes | None
) -> None:
    file = tmp_path / "a.avsc"
    if noise is not None:
        file.write_bytes(noise)
    code, (told,) = lint(capsys, file)
    assert code == 3
    assert "a.avsc" in str(told["message"])
    assert told["todo"]


def test_a_folder_without_contracts_is_no_success(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, (told,) = lint(capsys, tmp_path)
    assert (code, told["error"]) == (3, "InputError")
