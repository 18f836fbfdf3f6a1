"""What an object store is told, and who gets to see it."""

from __future__ import annotations

import logging
import pickle
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import arrowimg
from arrowimg._storage.object_store.options import sort_options, uses_profile
from arrowimg._storage.open import open_storage
from arrowimg.errors import MissingDependencyError, OptionError

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hidden-from-all"  # noqa: S105  # of no server
KEYS = {"access_key_id": "key", "secret_access_key": SECRET, "region": "us-east-1"}


class TestKeys:
    def test_they_are_sorted_into_those_of_store_connections_and_tries(self) -> None:
        options = sort_options(
            "s3",
            {
                "aws_access_key_id": "key",
                "AWS_REGION": "eu-central-1",
                "aws_allow_http": True,
                "timeout": 90,
                "connect_timeout": "5s",
                "max_retries": "3",
            },
        )

        assert options.config == {"aws_access_key_id": "key", "aws_region": "eu-central-1"}
        assert options.client == {"allow_http": "true", "timeout": "90s", "connect_timeout": "5s"}
        assert options.retry == {"max_retries": 3}

    @pytest.mark.parametrize("url", ["s3://bucket/x", "gs://bucket/x", "az://bucket/x"])
    def test_one_that_is_unknown_is_answered_with_a_close_one(self, url: str) -> None:
        with pytest.raises(OptionError, match="did you mean 'skip_signature'") as caught:
            open_storage(url, {"skip_signatur": "true"})

        assert caught.value.found == ["skip_signatur"]

    @pytest.mark.parametrize(
        "options",
        [
            {"timeout": SECRET},
            {"proxy_url": SECRET, "timeout": SECRET},
            {"max_retries": SECRET},
            {"secret_access_key": [SECRET]},
            {"acces_key": SECRET},
        ],
    )
    def test_a_value_that_cannot_be_is_refused_and_not_repeated(
        self, options: dict[str, object]
    ) -> None:
        with pytest.raises(OptionError, match="storage_options") as caught:
            open_storage("s3://bucket/x", options)

        assert SECRET not in f"{caught.value} {caught.value!r}"

    def test_a_store_that_is_ready_needs_none(self) -> None:
        from obstore.store import S3Store

        store = S3Store("bucket", prefix="a/b", access_key_id="key", secret_access_key=SECRET)

        assert open_storage(store).path_of("x.tar") == "s3://bucket/a/b/x.tar"
        with pytest.raises(OptionError, match="none beside a store") as caught:
            open_storage(store, KEYS)
        assert SECRET not in str(caught.value)

    def test_a_store_of_another_kind_is_refused(self) -> None:
        from obstore.store import MemoryStore

        with pytest.raises(OptionError, match="S3Store, GCSStore or AzureStore"):
            open_storage(MemoryStore())  # type: ignore[arg-type]


class TestSecrets:
    def test_nothing_that_is_shown_has_them(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        stage = arrowimg.ImageWriterStage("s3://bucket/x", storage_options=KEYS)
        storage = open_storage("s3://bucket/x", KEYS)
        empty = arrowimg.ImageBatch(pa.table({"image_data": pa.array([], pa.binary())}))

        shown = [repr(stage), repr(storage), repr(sort_options("s3", KEYS)), caplog.text]
        shown.append(repr(stage.process(empty)))

        assert not [it for it in shown if SECRET in it]

    def test_copies_for_other_processes_have_them(self) -> None:
        storage = open_storage("s3://bucket/x", KEYS)
        stage = arrowimg.ImageWriterStage("s3://bucket/x", storage_options=KEYS)

        assert pickle.loads(pickle.dumps(storage)) == storage  # noqa: S301  # ours
        assert pickle.loads(pickle.dumps(stage)) == stage  # noqa: S301
        assert SECRET.encode() in pickle.dumps(stage)

    def test_a_stage_with_another_folder_needs_them_no_more(self, tmp_path: Path) -> None:
        stage = arrowimg.ImageWriterStage("s3://bucket/x", storage_options=KEYS)

        assert SECRET.encode() in pickle.dumps(stage.__replace__(verbose=True))
        assert SECRET.encode() not in pickle.dumps(stage.__replace__(output_dir=tmp_path))


class TestProfiles:
    @pytest.fixture(autouse=True)
    def no_environment(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ROLE_ARN"):
            monkeypatch.delenv(name, raising=False)
        for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
            monkeypatch.setenv(name, str(tmp_path / name))

    def test_they_count_where_nothing_else_is_said(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        nothing, keys = sort_options("s3", {"region": "x"}), sort_options("s3", KEYS)
        assert not uses_profile("s3", nothing)

        (tmp_path / "AWS_SHARED_CREDENTIALS_FILE").write_text("[default]\n", encoding="ascii")
        assert uses_profile("s3", nothing)
        assert not uses_profile("s3", keys)
        assert not uses_profile("gs", sort_options("gs", {}))

        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        assert not uses_profile("s3", nothing)

    def test_one_that_is_named_and_cannot_be_read_is_an_error(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_PROFILE", "work")
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name else ...)

        with pytest.raises(OptionError, match="pip install boto3"):
            uses_profile("s3", sort_options("s3", {}))


def test_without_obstore_a_url_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name else ...)

    with pytest.raises(MissingDependencyError, match=r"pip install 'arrowimg\[cloud\]'"):
        open_storage("s3://bucket/x")
