"""The pages are true: each Python block runs, and each link leads to something."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    path.relative_to(ROOT).as_posix()
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if "_build" not in path.parts
]

READERS = {
    "look-inside-an-archive": "archives",
    "look-inside-with-croissant": "croissant",
    "look-inside-with-frames": "frames",
    "read-from-a-bucket": "stores",
    "train-with-daft": "daft",
    "train-with-dali": "dali",
    "train-with-energon": "energon",
    "train-with-hugging-face": "huggingface",
    "train-with-ray": "ray",
    "train-with-torch": "webdataset",
    "train-with-webdataset": "webdataset",
    "train-with-wids": "webdataset",
}
MARKS = {"docs/how-to/ray.md": pytest.mark.ray} | {
    f"docs/how-to/{page}.md": pytest.mark.readers(env=f"readers-{env}")
    for page, env in READERS.items()
}
"""Pages that need more than the tests' own packages, and where they run instead."""

FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,}) *(?P<language>[^\s`]*)[^`]*$")
OPT_OUT = re.compile(r"<!--\s*not-run\b:?(?P<reason>.*?)-->")
LINK = re.compile(r"(?<!!)\[[^\]\n]*(?:\n[^\]\n]+)?\]\((?P<target>[^()\s]+)\)")
IMAGE = re.compile(r"!\[[^\]]*\]\((?P<target>[^()\s]+)\)")


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    line: int
    """The number of its first line, counted from 1; the fence is the line before."""
    code: str
    opt_out: str | None
    """Why it is not run; empty where no reason is given, None where it is run."""


def blocks_of(text: str) -> list[Block]:
    """Return every fenced block of a page, in order."""
    blocks: list[Block] = []
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        opening = FENCE.match(lines[at])
        if opening is None:
            at += 1
            continue
        start = at + 1
        closing = re.compile(rf" *{opening['fence'][0]}{{{len(opening['fence'])},}} *$")
        at = start
        while at < len(lines) and not closing.match(lines[at]):
            at += 1
        code = "\n".join(line.removeprefix(opening["indent"]) for line in lines[start:at])
        opt_out = OPT_OUT.search(lines[start - 2]) if start >= 2 else None
        reason = opt_out["reason"].strip() if opt_out else None
        blocks.append(Block(opening["language"], start + 1, code, reason))
        at += 1
    return blocks


def run_page(text: str, page: str) -> list[int]:
    """Execute the Python blocks of a page in one namespace, with the page's own line numbers.

    Returns the line of each block that ran.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    ran = []
    for block in blocks_of(text):
        if block.language == "python" and block.opt_out is None:
            source = "\n" * (block.line - 1) + block.code
            exec(compile(source, page, "exec", dont_inherit=True), namespace)  # noqa: S102  # our own pages
            ran.append(block.line)
    return ran


def broken_links(text: str, folder: Path) -> list[str]:
    """Return the relative targets of a page in a folder that do not exist."""
    prose = re.sub(r"^( *)(```+|~~~+).*?^\1\2 *$", "", text, flags=re.MULTILINE | re.DOTALL)
    targets = [match["target"] for pattern in (LINK, IMAGE) for match in pattern.finditer(prose)]
    paths = [target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:", target)]
    return [path for path in paths if path and not (folder / path).exists()]


@pytest.mark.parametrize("page", [pytest.param(it, marks=MARKS.get(it, ())) for it in PAGES])
def test_the_page_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if page.endswith("ray.md"):
        request.getfixturevalue("cluster")
    if page.endswith("read-from-a-bucket.md"):
        server = request.getfixturevalue("servers").get("moto")
        server.bucket("bucket").close()
        for name, value in server.options().items():
            monkeypatch.setenv(name.upper(), value)
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    monkeypatch.chdir(tmp_path)

    text = (ROOT / page).read_text(encoding="utf-8")

    assert len(run_page(text, page)) + len(OPT_OUT.findall(text)) == text.count("```python\n")


@pytest.mark.parametrize("page", PAGES)
def test_a_block_that_is_not_run_has_a_reason(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    opted_out = [block for block in blocks_of(text) if block.opt_out is not None]

    assert [block.line for block in opted_out if not block.opt_out] == []
    # None is forgotten above the wrong line, where it would be without effect.
    assert len(opted_out) == len(OPT_OUT.findall(text))


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md"])
def test_relative_links_lead_to_a_file(page: str) -> None:
    path = ROOT / page

    assert broken_links(path.read_text(encoding="utf-8"), path.parent) == []


PLACE = re.compile(r"`(?P<file>_[a-z_]+(?:/[a-z_]+)*\.py)(?:: (?P<name>\w+))?`")


def missing_places(text: str) -> list[str]:
    """Return the modules of a page, and the names in them, that are not there."""
    missing = []
    for match in PLACE.finditer(text):
        path = ROOT / "arrowimg" / match["file"]
        source = path.read_text(encoding="utf-8") if path.exists() else ""
        made = rf"^((def|class) )?{match['name']}\b" if match["name"] else ""
        if not source or not re.search(made, source, re.MULTILINE):
            missing.append(match[0])
    return missing


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md"])
def test_modules_that_a_page_names_are_there(page: str) -> None:
    assert missing_places((ROOT / page).read_text(encoding="utf-8")) == []


class TestThisModule:
    def test_blocks_share_a_namespace_and_run_in_order(self) -> None:
        text = "```python\na = 1\n```\n\n```python\nassert a == 1\n```\n"

        assert run_page(text, "page.md") == [2, 6]

    def test_a_failure_names_the_page_and_its_line(self) -> None:
        with pytest.raises(ZeroDivisionError) as failure:
            run_page("text\n\n```python\n1 / 1\n1 / 0\n```\n", "page.md")

        last = failure.traceback[-1]
        assert (str(last.path), last.lineno + 1) == ("page.md", 5)

    def test_other_languages_are_not_run(self) -> None:
        text = "```console\nexit 1\n```\n\n```\n1 / 0\n```\n\n```pycon\n1 / 0\n```\n"

        assert run_page(text, "page.md") == []

    def test_a_block_inside_a_longer_fence_is_text(self) -> None:
        assert run_page("````markdown\n```python\n1 / 0\n```\n````\n", "page.md") == []

    def test_an_indented_block_runs(self) -> None:
        with pytest.raises(ZeroDivisionError):
            run_page("- item\n\n  ```python\n  if True:\n      1 / 0\n  ```\n", "page.md")

    def test_a_block_with_a_reason_is_not_run(self) -> None:
        text = "<!-- not-run: needs a cluster -->\n```python\n1 / 0\n```\n"

        run_page(text, "page.md")
        assert [block.opt_out for block in blocks_of(text)] == ["needs a cluster"]

    @pytest.mark.parametrize("comment", ["<!-- not-run -->", "<!-- not-run: -->"])
    def test_a_missing_reason_is_seen(self, comment: str) -> None:
        assert blocks_of(f"{comment}\n```python\npass\n```\n")[0].opt_out == ""

    def test_a_module_or_a_name_that_is_gone_is_found(self) -> None:
        text = (
            "`_write/packing/plan.py: plan_shards` `_write/packing/plan.py: gone` `_gone/plan.py` "
            "`_write/packing/plan.py`"
        )

        assert missing_places(text) == ["`_write/packing/plan.py: gone`", "`_gone/plan.py`"]

    def test_a_broken_link_is_found(self, tmp_path: Path) -> None:
        (tmp_path / "there.md").touch()
        text = (
            "[a](there.md) [b](there.md#part) [c](#part) [d](https://example.org/gone)\n"
            "```\n[e](in-code.md)\n```\n"
            "[f](gone.md) ![g](gone.png)\n"
        )

        assert broken_links(text, tmp_path) == ["gone.md", "gone.png"]
