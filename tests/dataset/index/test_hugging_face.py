"""The dataset card, judged by the library that reads it."""

from __future__ import annotations

import gc
import logging
from typing import TYPE_CHECKING, Any

import datasets
import pytest
import yaml
from index_data import write_batches, write_dataset
from writer_data import IDS, rows_in, windows

from arrowimg import ImageBatch, export_index, write_shards
from arrowimg.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Readers of tars that leave closing to the garbage collector; it runs while this still holds.
LEAVES_FILES_OPEN = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

CONFIGS = [
    {
        "config_name": "default",
        "default": True,
        "data_files": [{"split": "train", "path": "images-*.tar"}],
    },
    {
        "config_name": "metadata",
        "data_files": [{"split": "train", "path": "images-*.parquet"}],
    },
]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "out", keep_quarantined=True)


@pytest.fixture
def cache(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[str]:
    """Let Hugging Face keep its cache in the test's own folder, and be silent."""
    caplog.set_level(logging.ERROR)
    datasets.disable_progress_bars()
    yield str(tmp_path / "cache")
    datasets.enable_progress_bars()


def card_of(folder: Path) -> tuple[dict[str, Any], str]:
    """Return front matter and body."""
    _, front, body = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), body


@LEAVES_FILES_OPEN
@pytest.mark.parametrize("kept", [False, True])
def test_load_dataset_of_the_folder_gives_pictures(tmp_path: Path, cache: str, kept: bool) -> None:  # noqa: FBT001
    batch = ImageBatch.from_arrays(windows(9), IDS[:9], caption=IDS[:9])
    write_shards(batch, tmp_path, 4, remove_image_data=not kept, members={"txt": "caption"})
    export_index(tmp_path, ("hf",))
    loaded = datasets.load_dataset(str(tmp_path), split="train", cache_dir=cache)
    gc.collect()

    assert isinstance(loaded.features["jpg"], datasets.Image)
    assert loaded["__key__"][:] == loaded["txt"][:] == IDS[:9]
    assert [picture.size for picture in loaded["jpg"]] == [(16, 12)] * 9


@LEAVES_FILES_OPEN
def test_quarantined_bytes_are_no_pictures(out: Path, cache: str) -> None:
    export_index(out, ("hf",))
    loaded = datasets.load_dataset(str(out), split="train", cache_dir=cache)
    gc.collect()

    assert list(out.glob("quarantine-*.tar"))
    assert len(loaded) == 18


def test_the_metadata_are_the_rows_of_the_sidecars(out: Path, cache: str) -> None:
    export_index(out, ("hf",))
    # The library reads every configuration with the reader of the first, unless files are named.
    loaded = datasets.load_dataset(
        str(out), "metadata", data_files="images-*.parquet", split="train", cache_dir=cache
    )

    assert loaded["image_id"][:] == [row["image_id"] for row in rows_in(out)]
    assert sum(error is None for error in loaded["error"][:]) == 18


def test_both_configurations_are_found(out: Path) -> None:
    export_index(out, ("hf",))

    assert datasets.get_dataset_config_names(str(out)) == ["default", "metadata"]
    assert card_of(out)[0] == {"configs": CONFIGS}


def test_patterns_cover_the_shards_of_batches(tmp_path: Path) -> None:
    export_index(write_batches(tmp_path), ("hf",))

    assert card_of(tmp_path)[0] == {"configs": CONFIGS}


TEXTS = {
    "empty": b"",
    "no front matter": "# Naïve\n\ntext\n---\nmore\n---\n".encode(),
    "a rule first": b"---\n",
    "no newline": b"text",
    "front matter": b"---\nlicense: mit\ntags:\n- images\n---\n# Mine\n\nconfigs: none\n",
    "windows": b"---\r\nlicense: mit\r\n---\r\n# Mine\r\n",
    "nested": b"---\nextra:\n  configs: [1]\n---\n",
    "not UTF-8": b"---\nlicense: mit\n---\n\xff\xfe\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_text_that_is_there_is_kept(out: Path, text: bytes) -> None:
    (out / "README.md").write_bytes(text)
    export_index(out, ("hf",))
    once = (out / "README.md").read_bytes()
    export_index(out, ("hf",))

    lines = once.splitlines(keepends=True)
    fences = [at for at, line in enumerate(lines) if line.rstrip() == b"---"]
    front = yaml.safe_load(b"".join(lines[1 : fences[1]]))
    ours = {b"---\n", *(line for line in lines if line.startswith(b"configs: [{"))}
    kept = [line for line in lines if line not in ours]
    assert front["configs"] == CONFIGS
    assert (out / "README.md").read_bytes() == once
    if text:
        assert kept == [line for line in text.splitlines(keepends=True) if line not in ours]


def test_configs_of_an_earlier_export_are_replaced_in_their_place(out: Path) -> None:
    export_index(out, ("hf",))
    card = (out / "README.md").read_bytes()
    older = card.replace(b"images-*.tar", b"*.tar").replace(b"---\n", b"---\nlicense: mit\n", 1)
    (out / "README.md").write_bytes(older + b"\nmy own words\n")
    export_index(out, ("hf",))

    front, body = card_of(out)
    assert front == {"license": "mit", "configs": CONFIGS}
    assert body.endswith("\nmy own words\n")


@pytest.mark.parametrize(
    "configs",
    [
        "configs:\n- config_name: mine\n  data_files: x.parquet",
        'configs: [{"config_name": "mine"}]',
    ],
)
def test_configs_of_a_person_are_not_touched(out: Path, configs: str) -> None:
    text = f"---\nlicense: mit\n{configs}\n---\nbody\n"
    (out / "README.md").write_text(text)

    with pytest.raises(OptionError, match=r"formats: expected no \"hf\" where README.md has") as it:
        export_index(out, ("sizes", "hf"))

    assert '"path": "images-*.parquet"' in str(it.value)
    assert (out / "README.md").read_text() == text
    assert not (out / "sizes.json").exists()
