"""Ray Data, on a local cluster."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from adopt_data import picture
from adopted_check import adopt_and_check
from reader_data import ALL_EQUAL, Dataset, compare, sample_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.readers(env="readers-ray")


@pytest.mark.usefixtures("cluster")
def test_read_webdataset(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray.data

    options = ray.data.DataContext.get_current().execution_options
    monkeypatch.setattr(options, "preserve_order", True)

    rows = ray.data.read_webdataset(dataset.tars, decoder=None).take_all()

    assert compare(dataset, map(sample_of, rows), "ray", "read_webdataset") == ALL_EQUAL


@pytest.mark.usefixtures("cluster")
def test_what_write_webdataset_wrote_is_adopted(tmp_path: Path) -> None:
    import ray.data

    rows = [
        {"__key__": f"k{at:03d}", "jpg": picture(at), "txt": f"picture {at}", "json": {"score": at}}
        for at in range(20)
    ]
    ray.data.from_items(rows, override_num_blocks=3).write_webdataset(
        str(tmp_path / "out"), encoder=_encoded
    )

    found = adopt_and_check(tmp_path / "out").sort("image_id")

    assert found.select("image_id", "image_data", "txt", "score").rows() == [
        (f"k{at:03d}", picture(at), f"picture {at}", at) for at in range(20)
    ]


def _encoded(row: dict[str, Any]) -> dict[str, Any]:
    texts = {"txt": row["txt"].encode(), "json": json.dumps(row["json"]).encode()}
    return {"__key__": row["__key__"], "jpg": row["jpg"], **texts}
