from __future__ import annotations

import stat
from pathlib import Path

from maplebridge.producers.rejects import DelimitedRejects


def test_a_reject_file_holds_the_row_as_it_was_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    rejects = DelimitedRejects(path, header=("a", "b"), encoding="gb18030", delimiter=",")
    rejects.add(row=2, column="a", reason="a is empty", cells=("", "煤,气"), original="")
    rejects.add(row=3, column="", reason="broken", cells=("x",), original="\udcff\r\n")
    assert not path.exists()
    assert rejects.finish() == path
    expected = 'row,column,reason,a,b\r\n2,a,a is empty,,"煤,气"\r\n3,,broken,'
    assert path.read_bytes() == expected.encode("gb18030") + b"\xff\r\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_without_a_reject_an_earlier_reject_file_goes(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("old")
    rejects = DelimitedRejects(path, header=("a",), encoding="utf-8", delimiter=",")
    assert rejects.finish() is None
    assert not path.exists()
