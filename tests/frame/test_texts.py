"""What no file of the repository may hold, and what the two READMEs share."""

from __future__ import annotations

import re

import pytest

from tests.frame.repository import ROOT, is_text, tracked_files

MACHINE = re.compile(r"(?<![\w.}])/(work|root|home/\w+|Users/\w+)/")
REGISTRIES = (
    "pypi" + ".org", "pythonhosted" + ".org", "repo1.maven" + ".org", "repo.maven" + ".apache",
    "registry.npm" + "js", "crates" + ".io", "proxy.golang" + ".org", "deb.debian" + ".org",
)  # fmt: skip
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b(?!:? *str)")
PLACEHOLDER = re.compile(r'"""\s*\.\.\.\s*"""')
BLOCK = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#+", re.MULTILINE)


def findings(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked_files()
        if is_text(path)
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_names_a_folder_of_one_machine() -> None:
    assert findings(MACHINE) == []


def test_no_file_names_the_host_of_a_package_registry() -> None:
    assert findings(re.compile("|".join(map(re.escape, REGISTRIES)))) == []


def test_nothing_is_left_to_be_finished() -> None:
    assert findings(UNFINISHED) == []
    assert findings(PLACEHOLDER) == []


def test_versions_are_pinned_by_name_and_version_alone() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line), line


@pytest.mark.parametrize("pattern", [BLOCK, HEADING], ids=["code blocks", "headings"])
def test_both_readmes_have_the_same(pattern: re.Pattern[str]) -> None:
    english, chinese = (
        BLOCK.sub("", text) if pattern is HEADING else text
        for text in ((ROOT / name).read_text("utf-8") for name in ("README.md", "README.zh-CN.md"))
    )
    assert pattern.findall(english) == pattern.findall(chinese)


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for path in tracked_files():
        if path.suffix != ".md":
            continue
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text("utf-8")):
            if "://" not in target and not (path.parent / target).exists():
                broken.append(f"{path.relative_to(ROOT)}: {target}")
    assert broken == []


def test_documents_named_in_the_code_are_there() -> None:
    for path in tracked_files():
        if path.suffix in (".py", ".sql", ".yaml", ".cedar", ".yml", ".example"):
            for name in re.findall(r"\bdocs/[\w/.-]+\.md", path.read_text("utf-8")):
                assert (ROOT / name).exists(), f"{path.relative_to(ROOT)}: {name}"


def test_decisions_are_one_sequence_and_all_in_their_index() -> None:
    folder = ROOT / "docs" / "decisions"
    pages = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert [name[:4] for name in pages] == [f"{n:04}" for n in range(1, len(pages) + 1)]
    index = (folder / "README.md").read_text("utf-8")
    assert re.findall(r"\]\((\d{4}-[^)]+)\)", index) == pages
