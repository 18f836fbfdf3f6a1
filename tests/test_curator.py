"""NeMo Curator's tasks become batches, and its pipelines take our stage for their writer."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import tarfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from adopted_check import adopt_and_check
from folders import content
from writer_data import windows

import arrowimg
import arrowimg.curator
from arrowimg.curator import batch_of_tasks
from arrowimg.errors import ImageError, MissingDependencyError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from store_buckets import Bucket
    from store_servers import Servers


@dataclass
class Image:
    """Has what Curator's ImageObject has."""

    image_data: Any
    image_id: str = ""
    image_path: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    embedding: Any = None
    aesthetic_score: Any = None
    nsfw_score: Any = None


@dataclass
class Task:
    """Has what Curator's ImageBatch has."""

    data: list[Image]
    dataset_name: str = "faces"


def images(count: int = 6) -> list[Image]:
    return [Image(window, f"id{at}") for at, window in enumerate(windows(count))]


class TestBatches:
    def test_several_tasks_become_one_batch(self) -> None:
        made = images()

        batch = batch_of_tasks([Task(made[:2]), Task([]), Task(made[2:])])

        assert batch.data["image_id"].to_pylist() == [f"id{at}" for at in range(6)]
        assert (batch.dataset_name, batch.task_id) == ("faces", "")
        for image, view in zip(made, batch.images(), strict=True):
            assert np.array_equal(image.image_data, view)  # type: ignore[arg-type]

    def test_scores_and_embeddings_keep_their_types(self) -> None:
        made = images(3)
        made[1].aesthetic_score, made[1].nsfw_score = np.float32(0.5), 1
        made[1].embedding = np.array([1, 2, 3], np.float16)

        data = batch_of_tasks([Task(made)]).data

        assert data.schema.field("aesthetic_score").type == pa.float64()
        assert data.schema.field("nsfw_score").type == pa.float64()
        assert data.schema.field("embedding").type == pa.list_(pa.float16())
        assert data["aesthetic_score"].to_pylist() == [None, 0.5, None]
        assert data["nsfw_score"].to_pylist() == [None, 1.0, None]
        assert data["embedding"].to_pylist() == [None, [1, 2, 3], None]

    def test_columns_are_the_same_whether_a_batch_fills_them_or_not(self) -> None:
        full = images(2)
        for image in full:
            image.image_path, image.aesthetic_score = "/a.png", 0.5
            image.embedding, image.metadata = np.ones(2, np.float32), {"a": 1}

        schemas = [batch_of_tasks([Task(it)]).data.schema for it in (images(2), full)]

        assert schemas[0].remove(2) == schemas[1].remove(2)  # but for the pictures

    @pytest.mark.parametrize(
        "vectors",
        [
            [np.ones(2, np.float32), np.ones(2, np.float64)],
            [np.ones((2, 2), np.float32), None],
        ],
    )
    def test_embeddings_that_are_no_vectors_of_one_dtype_are_refused(
        self, vectors: list[Any]
    ) -> None:
        made = [Image(window, embedding=it) for window, it in zip(windows(2), vectors, strict=True)]

        with pytest.raises(SchemaError, match="embedding"):
            batch_of_tasks([Task(made)])

    def test_metadata_becomes_json(self) -> None:
        made = images(2)
        made[0].metadata = {
            "z": np.int8(3),
            "a": np.arange(1200),
            "path": Path("x"),
            "nan": float("nan"),
        }

        texts = batch_of_tasks([Task(made)]).data["metadata"].to_pylist()

        assert msgspec.json.decode(texts[0]) == {
            "z": 3,
            "a": list(range(1200)),
            "path": "x",
            "nan": None,
        }
        assert texts[0].startswith('{"a":')
        assert texts[1] == "{}"

    def test_metadata_becomes_columns_where_their_types_are_told(self) -> None:
        made = images(2)
        made[0].metadata = {"license": "CC0", "views": 3}
        schema = pa.schema([("license", pa.string()), ("views", pa.int16())])

        data = batch_of_tasks([Task(made)], schema).data

        assert data.select(["license", "views"]).to_pylist() == [
            {"license": "CC0", "views": 3},
            {"license": None, "views": None},
        ]
        assert "metadata" not in data.column_names
        made[1].metadata = {"views": "many"}
        with pytest.raises(SchemaError, match="metadata"):
            batch_of_tasks([Task(made)], schema)

    def test_empty_names_are_null(self) -> None:
        data = batch_of_tasks([Task([Image(window) for window in windows(2)])]).data

        assert data["image_id"].null_count == data["image_path"].null_count == 2

    def test_a_picture_of_another_dtype_is_refused_or_left_out(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        made = images(3)
        made[1].image_data = made[1].image_data / 255

        with pytest.raises(ImageError, match="'id1'"):
            batch_of_tasks([Task(made)])
        batch = batch_of_tasks([Task(made)], quarantine=True)

        assert [view is None for view in batch.images()] == [False, True, False]
        assert "'id1'" in caplog.text

    def test_tasks_are_not_changed(self) -> None:
        made = images(2)
        before = [image.image_data.copy() for image in made]

        batch_of_tasks([Task(made)])

        assert all(
            np.array_equal(image.image_data, it) for image, it in zip(made, before, strict=True)
        )


@pytest.fixture
def bucket(servers: Servers) -> Iterator[tuple[str, dict[str, str], Bucket]]:
    """Return a URL, what clients are told, and the bucket as boto3 sees it."""
    server, name = servers.get("moto"), f"b{uuid.uuid4().hex}"
    with contextlib.closing(server.bucket(name)) as seen:
        yield server.url(name), server.options(), seen


def test_batches_of_its_tasks_are_written_to_a_bucket(
    tmp_path: Path, bucket: tuple[str, dict[str, str], Bucket]
) -> None:
    url, told, seen = bucket
    batch = batch_of_tasks([Task(images())])

    for place, options in ((url, told), (tmp_path / "out", None)):
        stage = arrowimg.ImageWriterStage(place, 4, storage_options=options)
        group = stage.process(batch)
        arrowimg.publish_manifest(
            place, [group], options=stage.options, num_rows=6, storage_options=options
        )

    assert seen.objects("out") == content(tmp_path / "out")
    assert len(seen.objects("out")) == 5


def test_importing_it_does_not_import_nemo_curator() -> None:
    code = "import sys, arrowimg.curator; print('nemo_curator' in sys.modules)"

    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert fresh.stdout == "False\n"


def test_the_stage_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nemo_curator.stages.base", None)
    monkeypatch.delitem(sys.modules, "arrowimg.curator._stage", raising=False)
    monkeypatch.delitem(vars(arrowimg.curator), "ImageWriterStage", raising=False)

    with pytest.raises(MissingDependencyError, match=r"\.\[curator\]"):
        _ = arrowimg.curator.ImageWriterStage
    with pytest.raises(AttributeError, match="no attribute 'Writer'"):
        _ = arrowimg.curator.Writer  # type: ignore[attr-defined]  # the point


def members_of(paths: list[str]) -> dict[str, bytes]:
    """Return name and data of all members of some tars."""
    found = {}
    for path in paths:
        with tarfile.open(path) as tar:
            for member in tar:
                data = tar.extractfile(member)
                assert data is not None
                assert member.name not in found
                found[member.name] = data.read()
    return found


@pytest.mark.curator
class TestInPipelines:
    @pytest.fixture(autouse=True)
    def environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have Curator start a Ray of its own, in which workers find the tests' modules."""
        monkeypatch.setenv("RAY_ADDRESS", "local")
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
        monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        monkeypatch.setenv("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "data"), prepend=os.pathsep)

    def test_what_curators_own_writer_wrote_is_adopted(self, tmp_path: Path) -> None:
        from curator_tools import image_batches
        from nemo_curator.stages.image.io.image_writer import ImageWriterStage

        stage = ImageWriterStage(str(tmp_path), images_per_tar=7)
        batches = image_batches()
        for batch in batches:
            stage.process(batch)

        rows = adopt_and_check(tmp_path)

        stated = {it.image_id: it.image_path for batch in batches for it in batch.data}
        assert dict(rows.select("image_id", "original_path").rows()) == stated
        assert "metadata" in rows.columns

    def test_it_writes_what_curators_own_writer_writes(self, tmp_path: Path) -> None:
        from curator_tools import MakeImages, image_batches, run
        from nemo_curator.stages.image.io.image_writer import ImageWriterStage

        theirs = run([MakeImages(), ImageWriterStage(str(tmp_path / "theirs"), 15)])
        stage = arrowimg.curator.ImageWriterStage(str(tmp_path / "ours"), 15)
        ours = run([MakeImages(), stage])

        tars = [
            [p for it in group for p in it.data if p.endswith(".tar")] for group in (theirs, ours)
        ]
        assert members_of(tars[1]) == members_of(tars[0])
        assert len(members_of(tars[1])) == 120
        assert len(tars[1]) == len(tars[0]) == 12
        assert arrowimg.verify(tmp_path / "ours").is_sound
        objects = [image for batch in image_batches() for image in batch.data]
        frame = pl.read_parquet(tmp_path / "ours" / "*.parquet").sort("image_id")
        assert frame["image_id"].to_list() == [image.image_id for image in objects]
        assert frame["original_path"].to_list() == [image.image_path for image in objects]
        assert frame["aesthetic_score"].to_list() == [image.aesthetic_score for image in objects]
        assert frame["nsfw_score"].to_list() == [image.nsfw_score for image in objects]
        assert frame["embedding"].to_list() == [
            None if image.embedding is None else image.embedding.tolist() for image in objects
        ]
        assert frame.schema["embedding"] == pl.List(pl.Float32)
        assert frame["metadata"].str.json_path_match("$.tags[1]").to_list() == [
            str(at) for at in range(120)
        ]

    def test_tars_are_full_across_batches_and_stay_when_it_runs_again(self, tmp_path: Path) -> None:
        from curator_tools import MakeImages, run

        stage = arrowimg.curator.ImageWriterStage(str(tmp_path / "out"), 60)

        groups = run([MakeImages(), stage.with_(batch_size=3)])
        before = {path.name: path.stat().st_ino for path in (tmp_path / "out").iterdir()}
        run([MakeImages(), stage.with_(batch_size=3)])

        assert len(groups) == 2
        assert [it._metadata["num_images"] for it in groups] == [60, 60]
        assert len(before) == 4
        assert {path.name: path.stat().st_ino for path in (tmp_path / "out").iterdir()} == before

    def test_it_writes_to_a_bucket_what_it_writes_to_a_folder(
        self, tmp_path: Path, bucket: tuple[str, dict[str, str], Bucket]
    ) -> None:
        from curator_tools import MakeImages, run

        url, told, seen = bucket
        stage = arrowimg.curator.ImageWriterStage
        run([MakeImages(), stage(str(tmp_path / "out"), 15)])

        groups = run([MakeImages(), stage(url, 15, storage_options=told)])

        assert seen.objects("out") == content(tmp_path / "out")
        assert {path for it in groups for path in it.data} == {
            f"{url}/{name}" for name in content(tmp_path / "out")
        }
        assert told["aws_secret_access_key"] not in repr(stage(url, storage_options=told))
        report = arrowimg.verify(url, storage_options=told)
        assert (report.is_sound, report.num_images) == (True, 120)

    def test_it_is_a_stage_that_makes_one_task_of_one(self, tmp_path: Path) -> None:
        from nemo_curator.stages.base import ProcessingStage
        from nemo_curator.tasks import FileGroupTask
        from nemo_curator.tasks.image import ImageBatch

        stage = arrowimg.curator.ImageWriterStage(str(tmp_path))

        assert isinstance(stage, ProcessingStage)
        assert stage.name == "image_writer"
        assert not stage.is_fanout_stage()
        assert get_type_hints(stage.process) == {"task": ImageBatch, "return": FileGroupTask}
        again = pickle.loads(pickle.dumps(stage))  # noqa: S301  # our own
        assert type(again) is type(stage)
        assert again.images_per_tar == 1000

    def test_pixels_are_released_after_the_commit_and_not_before(self, tmp_path: Path) -> None:
        from curator_tools import image_batches

        batch = image_batches()[0]
        stage = arrowimg.curator.ImageWriterStage(
            str(tmp_path), remove_image_data=True, options={"on_error": "raise"}
        )
        pixels, batch.data[3].image_data = batch.data[3].image_data, None

        with pytest.raises(ImageError):
            stage.process(batch)
        assert sum(image.image_data is None for image in batch.data) == 1
        batch.data[3].image_data = pixels
        files = stage.process(batch)

        assert all(image.image_data is None for image in batch.data)
        assert len(members_of(files.data[:1])) == 20

    @pytest.mark.parametrize("keep_images", [True, False])
    def test_options_may_be_given_as_a_whole(
        self,
        tmp_path: Path,
        keep_images: bool,  # noqa: FBT001
    ) -> None:
        options = arrowimg.WriteOptions(images_per_tar=7, on_error="raise", checksum="sha256")

        stage = arrowimg.curator.ImageWriterStage(
            str(tmp_path), keep_images=keep_images, options=options
        )

        writer = arrowimg.ImageWriterStage(tmp_path, options=options)
        expected = writer.__replace__(output_dir=str(tmp_path), remove_image_data=not keep_images)
        assert stage._stage == expected

    def test_a_bad_picture_does_not_end_the_pipeline(self, tmp_path: Path) -> None:
        from curator_tools import image_batches

        batch = image_batches()[0]
        batch.data[3].image_data = None
        batch.data[5].image_data = np.zeros((0, 4, 3), np.uint8)

        files = arrowimg.curator.ImageWriterStage(str(tmp_path)).process(batch)

        frame = pl.read_parquet(files.data[1])
        assert frame["error"].drop_nulls().to_list() == ["missing", "empty"]
        assert files._metadata["num_errors"] == 2
