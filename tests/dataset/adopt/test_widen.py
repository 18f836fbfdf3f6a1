"""One schema of many tars: values that do not fit it are named, or become texts; none is lost."""

from __future__ import annotations

import json
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest
from adopt_data import picture, write_tars

import arrowimg
from arrowimg._dataset.adopt import adopt as adopt_module
from arrowimg._dataset.adopt.shard import AdoptedShard, Adopting
from arrowimg.errors import SchemaError

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa


def tars_of(folder: Path, *values: object) -> Path:
    """Return a folder of a tar for each value, the field x of its document."""
    documents = [json.dumps({"x": value}).encode() for value in values]
    tars = [
        [(f"{at}.jpg", picture(at)), (f"{at}.json", document)]
        for at, document in enumerate(documents)
    ]
    return write_tars(folder, *tars)


def values_in(folder: Path) -> list[Any]:
    assert arrowimg.verify(folder).is_sound
    return arrowimg.scan(folder).collect()["x"].to_list()


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ((2**60 + 1, 0.5), ["1152921504606846977", "0.5"]),
        ((0.5, 2**60 + 1), ["0.5", "1152921504606846977"]),
        ((-1, 2**63 + 1), ["-1", "9223372036854775809"]),
        (([2**60 + 1], [0.5]), ["[1152921504606846977]", "[0.5]"]),
        (({"a": 2**60 + 1}, {"a": 0.5}), ['{"a":1152921504606846977}', '{"a":0.5}']),
        (
            ({"a": [{"b": 2**60 + 1}]}, {"a": [{"b": 0.5}]}),
            ['{"a":[{"b":1152921504606846977}]}', '{"a":[{"b":0.5}]}'],
        ),
        ((1, 2**60 + 1, 0.5, None), ["1", "1152921504606846977", "0.5", None]),
    ],
)
def test_values_that_do_not_fit_are_named_or_become_texts(
    values: tuple[object, ...], texts: list[str | None], tmp_path: Path
) -> None:
    tars = tars_of(tmp_path / "tars", *values)

    with pytest.raises(SchemaError, match=r"'x'.*values that .* holds.*in 0000.\.tar.*clashes="):
        arrowimg.adopt(tars)
    arrowimg.adopt(tars, clashes="text")

    assert values_in(tars) == texts


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1, 0.5), [1.0, 0.5]),
        ((None, {"a": 1}), [None, {"a": 1}]),
        (({"a": 1}, {"b": [None]}, None), [{"a": 1, "b": None}, {"a": None, "b": [None]}, None]),
        (([], [{"a": 1}], [{"a": 0.5}]), [[], [{"a": 1.0}], [{"a": 0.5}]]),
        (({"a": {"b": 1}}, {"a": None}), [{"a": {"b": 1}}, {"a": None}]),
    ],
)
def test_values_that_fit_stay_what_they_are(
    values: tuple[object, ...], expected: list[object], tmp_path: Path
) -> None:
    tars = tars_of(tmp_path / "tars", *values)

    arrowimg.adopt(tars)

    assert values_in(tars) == expected


def test_nothing_has_become_another_when_a_value_does_not_fit(tmp_path: Path) -> None:
    tars = tars_of(tmp_path / "tars", 1, 0.5, 2**60 + 1)
    with pytest.raises(SchemaError):
        arrowimg.adopt(tars)
    written = {it.name: it.read_bytes() for it in tars.iterdir()}

    with pytest.raises(SchemaError):
        arrowimg.adopt(tars)

    assert {it.name: it.read_bytes() for it in tars.iterdir()} == written
    (tars / "00002.tar").unlink()
    (tars / "adopted-00002.parquet").unlink()
    arrowimg.adopt(tars)
    assert values_in(tars) == [1.0, 0.5]


def test_sidecars_are_widened_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tars, both, widened = tars_of(tmp_path / "tars", 1, 2, 0.5), Barrier(2), Adopting.with_schema

    def meeting(adopting: Adopting, shard: AdoptedShard, schema: pa.Schema) -> AdoptedShard:
        if shard.schema != schema:
            both.wait(20)
        return widened(adopting, shard, schema)

    monkeypatch.setattr(Adopting, "with_schema", meeting)
    monkeypatch.setattr(adopt_module, "usable_cores", lambda: 2)
    arrowimg.adopt(tars)

    assert values_in(tars) == [1.0, 2.0, 0.5]


@pytest.mark.parametrize("change", ["read anew", "widened"])
def test_no_manifest_lists_a_sidecar_that_is_becoming_another(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tars = tars_of(tmp_path / "tars", 1, 0.5 if change == "widened" else 2)
    if change == "widened":
        arrowimg.adopt(tars / "00000.tar")
        arrowimg.adopt(tars / "00001.tar")
    else:
        arrowimg.adopt(tars)
    assert (tars / "manifest.json").exists()

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(adopt_module, "_publish", stopped)
    with pytest.raises(KeyboardInterrupt):
        arrowimg.adopt(tars, if_exists="overwrite" if change == "read anew" else "skip")

    assert not (tars / "manifest.json").exists()
