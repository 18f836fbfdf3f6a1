"""A reader that differs is seen, and so is one that did not run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from reader_data import IDS, KINDS, Dataset, Sample, compare, compare_kinds
from readers_table import main, table_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EQUAL = dict.fromkeys(KINDS, "equal")
UPPER = [kind for kind, _ in IDS].index("upper-case")


def lower(sample: Sample) -> Sample:
    return Sample(sample.key.lower(), sample.members)


def without_caption(sample: Sample) -> Sample:
    return Sample(sample.key, {"jpg": sample.members["jpg"], "json": sample.members["json"]})


def other_bytes(sample: Sample) -> Sample:
    return Sample(sample.key, sample.members | {"jpg": sample.members["jpg"] + b"\0"})


def test_what_was_written_is_equal(dataset: Dataset) -> None:
    assert compare_kinds(dataset.samples, list(dataset.samples)) == EQUAL


@pytest.mark.parametrize("change", [lower, without_caption, other_bytes])
def test_a_change_shows_in_its_kind(dataset: Dataset, change: Callable[[Sample], Sample]) -> None:
    found = list(dataset.samples)
    found[UPPER] = change(found[UPPER])

    outcomes = compare_kinds(dataset.samples, found)

    assert found[UPPER].key.upper() == "UPPER"
    assert [kind for kind, outcome in outcomes.items() if outcome != "equal"] == ["upper-case"]


def test_another_order_shows_in_both_kinds(dataset: Dataset) -> None:
    found = list(dataset.samples)
    found[0], found[1] = found[1], found[0]

    outcomes = compare_kinds(dataset.samples, found)

    assert outcomes["plain"] == "with%2Edots%2Ev1 in the place of cat"
    assert [kind for kind in KINDS if outcomes[kind] != "equal"] == ["plain", "dotted"]


def test_a_lost_sample_shows_everywhere(dataset: Dataset) -> None:
    outcomes = compare_kinds(dataset.samples, dataset.samples[1:])

    assert set(outcomes.values()) == {"27 samples instead of 28"}


def test_an_outcome_is_written_down_and_returned(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARROWIMG_READERS", str(tmp_path))

    outcomes = compare(dataset, [], "pytest", "of nothing")

    (path,) = tmp_path.iterdir()
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["reader"] == f"pytest {pytest.__version__} (of nothing)"
    assert record["kinds"] == outcomes
    assert set(outcomes.values()) == {"0 samples instead of 28"}


class TestTable:
    def run(self, folder: Path, outcomes: dict[str, dict[str, str]], page: str) -> str | None:
        records = folder / "readers-some" / "tmp"
        records.mkdir(parents=True)
        for reader, kinds in outcomes.items():
            record = json.dumps({"reader": reader, "kinds": kinds})
            (records / f"{reader}.json").write_text(record, encoding="utf-8")
        (folder / "page.md").write_text(page, encoding="utf-8")
        return main(str(folder / "page.md"), str(folder))

    def test_the_table_of_the_page_is_fine(self, tmp_path: Path) -> None:
        outcomes = {"one": EQUAL, "two": EQUAL}

        assert self.run(tmp_path, outcomes, f"# Page\n\n{table_of(outcomes)}\n") is None

    def test_an_unequal_reader_fails(self, tmp_path: Path) -> None:
        outcomes = {"one": EQUAL, "two": EQUAL | {"spaced": "nothing"}}

        said = self.run(tmp_path, outcomes, table_of(outcomes))

        assert said == "not every reader returns what was written"

    def test_a_reader_that_did_not_run_fails(self, tmp_path: Path) -> None:
        page = table_of({"one": EQUAL, "two": EQUAL})

        assert "is another" in str(self.run(tmp_path, {"one": EQUAL}, page))

    def test_no_reader_at_all_fails(self, tmp_path: Path) -> None:
        assert "no reader" in str(self.run(tmp_path, {}, table_of({})))
