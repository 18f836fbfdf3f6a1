from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from arrowimg import errors
from arrowimg.errors import (
    ArrowimgError,
    BrokenWriterError,
    ChecksumError,
    DatasetConflictError,
    DuplicateIdError,
    ErrorCode,
    ErrorFractionError,
    ForkedProcessError,
    ImageError,
    IncompleteError,
    KeywordError,
    ManifestError,
    MetadataJoinError,
    MissingDependencyError,
    MissingFileError,
    NotFinishedError,
    NotOpenError,
    OptionError,
    Problem,
    RowProblem,
    SampleKeyError,
    SchemaError,
    ShardConflictError,
    SourceError,
    StorageError,
    WorkerError,
)

BAD_ROW = RowProblem(3, "cat", ErrorCode.DTYPE, "float32 pixels")
# One of each, the built-in error it also is, its attributes, and what it says.
EXAMPLES: list[tuple[ArrowimgError, type[Exception], dict[str, object], str]] = [
    (
        OptionError("quality", "an int from 1 to 100", 101),
        ValueError,
        {"option": "quality", "expected": "an int from 1 to 100", "found": 101},
        "quality: expected an int from 1 to 100, found 101",
    ),
    (
        KeywordError("qualty", "jpeg=JpegOptions(quality=80)", ["jpeg", "pixels"]),
        TypeError,
        {
            "keyword": "qualty",
            "close": "jpeg=JpegOptions(quality=80)",
            "others": ("jpeg", "pixels"),
        },
        (
            "no option is called 'qualty'; did you mean jpeg=JpegOptions(quality=80)? "
            "Others: jpeg, pixels"
        ),
    ),
    (
        KeywordError("xyzzy", "", ["jpeg", "pixels"]),
        TypeError,
        {"keyword": "xyzzy", "close": "", "others": ("jpeg", "pixels")},
        "no option is called 'xyzzy'; those that exist: jpeg, pixels",
    ),
    (
        SourceError("a table", "builtins.int"),
        TypeError,
        {"expected": "a table", "found": "builtins.int"},
        "expected a table, found builtins.int",
    ),
    (
        SchemaError("a", "one column", "none", "rename it"),
        ValueError,
        {"column": "a", "expected": "one column", "found": "none", "advice": "rename it"},
        "column 'a': expected one column, found none; rename it",
    ),
    (
        SchemaError("a", "one column", "none"),
        ValueError,
        {"column": "a", "expected": "one column", "found": "none", "advice": ""},
        "column 'a': expected one column, found none",
    ),
    (
        ImageError([BAD_ROW], 5),
        ValueError,
        {"problems": (BAD_ROW,), "num_rows": 5},
        (
            "1 of 5 rows cannot be written\n"
            "  row 3 (image_id 'cat'): dtype: expected uint8 pixels, found float32 pixels; "
            "convert to uint8, or say how with "
            "PixelOptions(float_range=..., uint16_range=..., bool_values=...)\n"
            'Mend these rows, or pass on_error="quarantine" to keep them with their error code.'
        ),
    ),
    (
        SampleKeyError("portable names", ["row 0: 'a.b'"]),
        ValueError,
        {"expected": "portable names", "offenders": ("row 0: 'a.b'",)},
        "expected portable names, found 1:\n  row 0: 'a.b'",
    ),
    (
        DuplicateIdError("every image_id once", ["'a' in rows 0, 1"]),
        ValueError,
        {"expected": "every image_id once", "offenders": ("'a' in rows 0, 1",)},
        "expected every image_id once, found 1:\n  'a' in rows 0, 1",
    ),
    (
        MetadataJoinError("one row for each image", ["a", None]),
        ValueError,
        {"expected": "one row for each image", "image_ids": ("a", None)},
        "expected one row for each image, found 2 otherwise:\n  'a'\n  None",
    ),
    (
        ShardConflictError("out/a.tar", "12ab", "34cd"),
        FileExistsError,
        {"path": "out/a.tar", "committed": "12ab", "offered": "34cd"},
        (
            "out/a.tar: already committed as 12ab, offered as 34cd; "
            'write into another folder, or pass if_exists="overwrite"'
        ),
    ),
    (
        DatasetConflictError("out", ["quality: 92 there, 90 here"]),
        FileExistsError,
        {"path": "out", "differences": ("quality: 92 there, 90 here",)},
        (
            "out: already written otherwise:\n  quality: 92 there, 90 here\n"
            'Write into another folder, or pass if_exists="overwrite" to replace it.'
        ),
    ),
    (
        ErrorFractionError(1200, 5000, 0.01, {"shape": 200, "dtype": 1000}),
        ValueError,
        {
            "num_errors": 1200,
            "num_rows": 5000,
            "allowed": 0.01,
            "codes": {"dtype": 1000, "shape": 200},
        },
        ("1,200 of 5,000 rows are bad (dtype 1,000, shape 200), more than max_error_fraction=0.01"),
    ),
    (
        IncompleteError("rows in the shards", 1200, 1000, "look for duplicates"),
        RuntimeError,
        {
            "counted": "rows in the shards",
            "expected": 1200,
            "found": 1000,
            "advice": "look for duplicates",
        },
        "rows in the shards: expected 1,200, found 1,000; look for duplicates",
    ),
    (
        IncompleteError("rows", 1, 0),
        RuntimeError,
        {"counted": "rows", "expected": 1, "found": 0, "advice": ""},
        "rows: expected 1, found 0",
    ),
    (
        NotFinishedError(),
        RuntimeError,
        {},
        "the writer has not committed its manifest: leave its with-block first",
    ),
    (
        NotOpenError(),
        RuntimeError,
        {},
        "the writer is not open: write inside its with-block, which commits the last shard",
    ),
    (
        BrokenWriterError("MemoryError: no memory"),
        RuntimeError,
        {"failure": "MemoryError: no memory"},
        (
            "the writer lost rows to an error before (MemoryError: no memory): "
            "leave its with-block by that error, and write the same batches again with a new writer"
        ),
    ),
    (
        WorkerError(41, -9),
        RuntimeError,
        {"process_id": 41, "status": -9},
        (
            "worker process 41 was killed by SIGKILL (perhaps the system ended it for want of "
            "memory: use fewer workers); shards that were committed are sound: write the same "
            'again, if_exists="skip" encodes none of their rows twice'
        ),
    ),
    (
        ForkedProcessError(),
        RuntimeError,
        {},
        (
            "this process was forked after its parent had used Polars, whose threads it lacks: "
            'start processes with multiprocessing.get_context("spawn"), or use Polars '
            "(arrowimg.scan, fetch_images, metadata=) in children only"
        ),
    ),
    (
        MissingFileError("out/images-000000.tar"),
        FileNotFoundError,
        {"path": "out/images-000000.tar"},
        "out/images-000000.tar: no such file; arrowimg.verify tells what else is missing",
    ),
    (
        StorageError("out", "No space left on device", 28, 4096, 1000),
        OSError,
        {
            "path": "out",
            "reason": "No space left on device",
            "errno": 28,
            "free_nbytes": 4096,
            "free_inodes": 1000,
        },
        "out: No space left on device (4,096 bytes and 1,000 inodes are free there)",
    ),
    (
        StorageError("out", "Input/output error", 5, None, None),
        OSError,
        {"path": "out", "errno": 5, "free_nbytes": None, "free_inodes": None},
        "out: Input/output error",
    ),
    (
        ManifestError("manifest.json", "a manifest", "no file"),
        ValueError,
        {"path": "manifest.json", "expected": "a manifest", "found": "no file"},
        "manifest.json: expected a manifest, found no file",
    ),
    (
        ChecksumError(["cat.jpg in out/images-000000.tar"]),
        ValueError,
        {"places": ("cat.jpg in out/images-000000.tar",)},
        (
            "1 picture is not what was written, arrowimg.verify tells more:\n"
            "  cat.jpg in out/images-000000.tar"
        ),
    ),
    (
        ChecksumError(["cat.jpg in a.tar", "dog.jpg in a.tar"]),
        ValueError,
        {"places": ("cat.jpg in a.tar", "dog.jpg in a.tar")},
        (
            "2 pictures are not what was written, arrowimg.verify tells more:\n"
            "  cat.jpg in a.tar\n"
            "  dog.jpg in a.tar"
        ),
    ),
    (
        MissingDependencyError("the demo", "demo"),
        ImportError,
        {"feature": "the demo", "extra": "demo"},
        "the demo needs an extra: pip install '.[demo]' in a checkout",
    ),
]
EACH_ERROR = pytest.mark.parametrize(
    ("error", "builtin", "attributes", "text"),
    [
        pytest.param(*example, id=f"{type(example[0]).__name__}-{at}")
        for at, example in enumerate(EXAMPLES)
    ],
)


class TestTree:
    def test_every_error_is_tried_here(self) -> None:
        tree = {
            value
            for _, value in inspect.getmembers(errors, inspect.isclass)
            if issubclass(value, ArrowimgError)
        }

        assert {type(error) for error, *_ in EXAMPLES} == tree - {ArrowimgError}

    def test_all_public_names_are_exported(self) -> None:
        made_here = {
            name
            for name, value in inspect.getmembers(errors, inspect.isclass)
            if value.__module__ == errors.__name__
        }

        assert sorted(made_here) == errors.__all__

    @EACH_ERROR
    def test_an_error_is_also_the_builtin(
        self, error: ArrowimgError, builtin: type[Exception], attributes: object, text: str
    ) -> None:
        del attributes, text

        assert isinstance(error, ArrowimgError)
        assert isinstance(error, builtin)

    @EACH_ERROR
    def test_an_error_carries_its_values_and_says_them(
        self, error: ArrowimgError, builtin: object, attributes: dict[str, object], text: str
    ) -> None:
        del builtin

        assert {name: getattr(error, name) for name in attributes} == attributes
        assert str(error) == text

    @EACH_ERROR
    @pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
    def test_an_error_crosses_processes(
        self,
        error: ArrowimgError,
        builtin: object,
        attributes: dict[str, object],
        text: str,
        protocol: int,
    ) -> None:
        del builtin
        again = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301  # made the line before

        assert type(again) is type(error)
        assert {name: getattr(again, name) for name in attributes} == attributes
        assert (str(again), again.args) == (text, error.args)
        assert str(copy.deepcopy(error)) == text

    def test_duplicate_ids_are_key_errors_of_samples(self) -> None:
        assert issubclass(DuplicateIdError, SampleKeyError)


class TestLists:
    @pytest.mark.parametrize(
        ("count", "listed", "last"),
        [(1, 1, "0"), (10, 10, "9"), (11, 10, "and 1 more"), (5010, 10, "and 5,000 more")],
    )
    def test_ten_offenders_are_listed_and_the_rest_counted(
        self, count: int, listed: int, last: str
    ) -> None:
        rows = [RowProblem(row, str(row), ErrorCode.MISSING, "null") for row in range(count)]
        names = [str(row) for row in range(count)]
        image = str(ImageError(rows, 9999)).splitlines()[1:-1]
        key = str(SampleKeyError("names", names)).splitlines()[1:]
        join = str(MetadataJoinError("ids", names)).splitlines()[1:]
        conflict = str(DatasetConflictError("out", names)).splitlines()[1:-1]

        assert sum("missing" in line for line in image) == listed
        assert [len(lines) - ("more" in last) for lines in (image, key, join, conflict)] == [
            listed
        ] * 4
        assert last in image[-1]
        assert key[-1].strip() == last
        assert conflict[-1].strip() == last
        assert join[-1].strip().strip("'") == last

    @pytest.mark.parametrize("count", [1, 5010])
    def test_all_offenders_are_in_the_attributes(self, count: int) -> None:
        rows = [RowProblem(row, None, ErrorCode.MISSING, "null") for row in range(count)]

        assert ImageError(rows, count).problems == tuple(rows)
        assert str(ImageError(rows, count)).startswith(f"{count:,} of {count:,} rows")


class TestErrorCode:
    @pytest.mark.parametrize("code", ErrorCode)
    def test_every_code_says_what_was_expected(self, code: ErrorCode) -> None:
        text = str(RowProblem(7, "an id", code, "something else"))
        start = f"row 7 (image_id 'an id'): {code.value}: expected "

        assert text.startswith(start)
        assert text.removeprefix(start).partition(", found something else")[0].strip()

    @pytest.mark.parametrize("code", ErrorCode)
    def test_codes_are_plain_words(self, code: ErrorCode) -> None:
        assert code == code.value == code.name.lower()
        assert str(code).replace("_", "").isalpha()

    def test_ids_are_shown_verbatim_and_harmless(self) -> None:
        text = str(RowProblem(0, "a\n\x1b[31m\u202e", ErrorCode.MISSING, "null"))

        assert "'a\\n\\x1b[31m\\u202e'" in text

    def test_problems_are_values(self) -> None:
        assert Problem(ErrorCode.MISSING, "null") == Problem(ErrorCode.MISSING, "null")
        assert len({BAD_ROW, copy.copy(BAD_ROW)}) == 1
