"""A page is made of a dataset: what it holds, what it reads, and what it refuses."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shlex
from html.parser import HTMLParser
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from PIL import Image
from segmentation_data import MASKS, PICTURES, segmentation_set
from view_data import HOSTILE, photographs, write_hostile, write_varied

import arrowimg
from arrowimg import errors
from arrowimg._cli.main import main
from arrowimg._storage.local import LocalStorage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Document(HTMLParser):
    """The tags of a page and their attributes, as Python's own parser sees them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


class WithoutRead:
    """An open file that is not read but by `read_ranges`, which asks for its descriptor."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.fileno = file.seek, file.fileno

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def data_of(html: str) -> dict[str, Any]:
    """Return what the page's script knows."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    document: dict[str, Any] = json.loads(found[1])
    return document


def ids_in(html: str) -> list[str]:
    """Return the id of each row that a page shows."""
    data = data_of(html)
    names = [column["name"] for column in data["columns"]]
    return [row[names.index("image_id")] for row in data["rows"].values()]


@pytest.fixture(scope="module")
def varied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_varied(tmp_path_factory.mktemp("varied") / "out")


def test_the_page_says_what_is_wrong(varied: Path) -> None:
    text = Document(arrowimg.view(varied).html).text

    assert "Error missing: 1 without a picture" in text
    assert "Duplicates: 1 picture is there 2 times" in text
    assert "2 times: id-004, id-005; they differ in caption, score, label, is_test" in text
    assert "Column caption: 4 of 60 rows lack it" in text
    assert "3 null, 1 without a letter" in text
    assert "Blank pictures: 1" in text
    assert "Long pictures: 1" in text
    assert "Small pictures: 1" in text


def test_a_sound_dataset_is_said_to_be_well(tmp_path: Path) -> None:
    batch = arrowimg.ImageBatch.from_arrays(photographs(9), [str(at) for at in range(9)])
    arrowimg.write_shards(batch, tmp_path / "out", progress=False)

    text = Document(arrowimg.view(tmp_path / "out").html).text

    assert "Nothing is wrong, nothing is odd." in text
    assert "Duplicates: no two pictures have the same bytes" in text


def test_damage_is_shown_and_stops_nothing(tmp_path: Path) -> None:
    write_varied(tmp_path / "out")
    tar = tmp_path / "out" / "images-000001.tar"
    columns = ["member_name", "offset", "size"]
    member, offset, size = pl.read_parquet(tar.with_suffix(".parquet"), columns=columns).row(2)
    damaged = bytearray(tar.read_bytes())
    damaged[offset : offset + size] = bytes(size)
    tar.write_bytes(damaged)

    page = Document(arrowimg.view(tmp_path / "out").html)

    assert len(page.all("figure")) == 60
    told = "1 picture is not what was written, arrowimg.verify tells more:"
    assert f"{told} {member} in {tar}"[:120] in page.text


def test_every_row_of_a_small_dataset_is_there_with_its_columns(varied: Path) -> None:
    data = data_of(arrowimg.view(varied).html)
    names = [column["name"] for column in data["columns"]]
    rows = pl.read_parquet(varied / "*.parquet").sort("image_id")
    row = data["rows"]["21"]

    assert len(data["rows"]) == 60
    assert row[names.index("image_id")] == rows["image_id"][21] == "id-021"
    assert row[names.index("score")] == rows["score"][21]
    assert row[names.index("captured_at")] == "2026-01-01T21:00:00"
    assert data["rows"]["10"][names.index("caption")] is None
    assert [it["kind"] for it in data["columns"] if it["name"] in {"label", "is_test", "tags"}] == [
        "text",
        "flag",
        "list",
    ]


def test_further_pictures_are_shown_from_where_they_are_in_the_tar(tmp_path: Path) -> None:
    options: dict[str, Any] = {"images": PICTURES, "progress": False}
    arrowimg.write_shards(segmentation_set(), tmp_path, **options)
    row = arrowimg.scan(tmp_path).collect().row(4, named=True)
    tar = tmp_path / "images-000000.tar"
    data = bytearray(tar.read_bytes())
    data[row["mask"]["offset"] + 50] ^= 1

    whole = arrowimg.view(tmp_path).html
    tar.write_bytes(data)
    damaged = arrowimg.view(tmp_path).html

    shown = [
        [it for it in Document(html).all("img") if "data-name" in it] for html in (whole, damaged)
    ]
    assert [len(it) for it in shown] == [6, 5]
    assert {it["data-name"] for it in shown[0]} == {"mask"}
    assert f"id4.mask.png: 32 x 24 pixels, {len(MASKS[4])} bytes" in whole


def test_masks_are_shown_beside_their_pictures(varied: Path) -> None:
    others = [it for it in Document(arrowimg.view(varied).html).all("img") if "data-name" in it]

    assert len(others) == 60
    assert {it["data-name"] for it in others} == {"mask"}


def test_of_bad_rows_the_bytes_that_were_kept_are_shown(tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 30, 30)).save(whole, "PNG")
    files = [whole.getvalue()[:60], b"no picture", None, whole.getvalue()]
    table = {"image_id": ["cut/off", "text", "none", "too large"], "image_data": files}
    arrowimg.write_shards(
        pl.DataFrame(table),
        tmp_path / "out",
        on_error="quarantine",
        keep_quarantined=True,
        pixels=arrowimg.PixelOptions(max_pixels=1000),
    )

    html = arrowimg.view(tmp_path / "out").html
    shown = {it["aria-label"]: it for it in Document(html).all("button") if "aria-label" in it}

    png = "89 50 4e 47 0d 0a 1a 0a 00 00 00 0d"
    for name, problem in (
        ("cut/off", f"60 bytes are kept, which begin {png}"),
        ("text", "10 bytes are kept, a text: no picture"),
        ("none", "no picture"),
        ("too large", f"not written; {len(files[3] or b'')} bytes are kept, which begin {png}"),
    ):
        assert f"Show every column of {name}: {problem}" in shown
    thumbnails = {str(it["src"]).partition(",")[2] for it in Document(html).all("img")}
    (thumbnail,) = [np.asarray(Image.open(io.BytesIO(base64.b64decode(it)))) for it in thumbnails]
    assert np.abs(thumbnail.astype(int) - (200, 30, 30)).max() < 10


def test_of_kept_bytes_only_the_beginning_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"image_id": ["a"], "image_data": [b"x" * 100 + b"END"]})
    options: dict[str, Any] = {"on_error": "quarantine", "keep_quarantined": True}
    arrowimg.write_shards(table, tmp_path, **options, progress=False)
    monkeypatch.setattr("arrowimg._dataset.view.pictures._MOST_KEPT_NBYTES", 10)

    text = Document(arrowimg.view(tmp_path).html).text

    assert f"103 bytes are kept, a text: {'x' * 10} " in text


def test_of_a_jpeg_that_was_cut_off_what_is_there_is_shown(tmp_path: Path) -> None:
    whole = io.BytesIO()
    pixels = np.zeros((160, 80, 3), np.uint8)
    pixels[:] = (30, 200, 30)
    Image.fromarray(pixels).save(whole, "JPEG", quality=95)
    cut = whole.getvalue()[:-10]
    arrowimg.write_shards(
        pl.DataFrame({"image_id": ["cut"], "image_data": [cut]}),
        tmp_path / "out",
        on_error="quarantine",
        keep_quarantined=True,
    )

    page = Document(arrowimg.view(tmp_path / "out").html)
    (source,) = {str(it["src"]) for it in page.all("img")}
    shown = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).convert("RGB")

    assert f"cut off, not written; {len(cut)} bytes are kept" in page.text
    red, green, _ = shown.getpixel((20, 20))  # type: ignore[misc]  # of RGB
    assert (red < 60, green > 160) == (True, True)


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset of 260 rows: one picture four times, one twice, the rest once."""
    pictures = photographs(260)
    for at in (100, 101, 102):
        pictures[at] = pictures[7]
    pictures[3] = pictures[2]
    files = list[bytes]()
    for picture in pictures:
        sink = io.BytesIO()
        Image.fromarray(picture).save(sink, "PNG")
        files.append(sink.getvalue())
    ids, captions = [f"id-{at:03}" for at in range(260)], ["the same", *[None] * 259]
    folder = tmp_path_factory.mktemp("repeated") / "out"
    frame = pl.DataFrame({"image_id": ids, "image_data": files, "caption": captions, "one": 1})
    arrowimg.write_shards(frame, folder, progress=False)
    return folder


def test_pictures_that_are_there_most_often_come_first(repeated: Path) -> None:
    text = Document(arrowimg.view(repeated).html).text

    assert "Duplicates: 2 pictures are there more than once, in 6 rows" in text
    assert "4 times: id-007, id-100, id-101, id-102 2 times: id-002, id-003" in text


def test_the_first_copies_are_the_examples(tmp_path: Path) -> None:
    (picture,) = photographs(1)
    batch = arrowimg.ImageBatch.from_arrays([picture] * 9, [f"id-{at}" for at in range(9)])
    arrowimg.write_shards(batch, tmp_path, progress=False)

    html = arrowimg.view(tmp_path).html

    assert "9 times: id-0, id-1, id-2" in Document(html).text
    finding = html.partition("Duplicates: 1 picture")[2].partition("</li>")[0]
    assert 'data-rows="0 1 2 3 4 5 6 7"' in finding


def test_what_was_transcoded_is_a_note_with_the_colour_below_alpha(repeated: Path) -> None:
    text = Document(arrowimg.view(repeated).html).text

    assert "Transcoded: 260 pictures became JPEG alpha was laid over white" in text
    assert "Nothing is wrong, 2 are worth a look." in text


def test_a_column_of_one_value_has_no_histogram(repeated: Path) -> None:
    html = arrowimg.view(repeated).html
    cards = {it.partition("</bdi>")[0]: it for it in html.split("<h3><bdi>")[1:]}

    assert "<svg class" not in cards["one"].partition("</article>")[0]
    assert "<svg class" in cards["width"].partition("</article>")[0]


def test_values_are_counted_exactly_where_rows_are_few(repeated: Path) -> None:
    sizes = pl.read_parquet(repeated / "*.parquet")["size"].n_unique()

    assert f"{sizes} different values" in Document(arrowimg.view(repeated).html).text


def test_the_command_of_a_finding_shows_all_its_rows(
    repeated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buttons = Document(arrowimg.view(repeated).html).all("button")
    commands = [shlex.split(str(it["data-copy"])) for it in buttons if "data-copy" in it]
    monkeypatch.chdir(tmp_path)

    for command in commands:
        assert main(command[1:]) == 0

    pages = {it.name: ids_in(it.read_text(encoding="utf-8")) for it in tmp_path.iterdir()}
    assert {name: len(ids) for name, ids in pages.items()} == {
        "out-duplicates.html": 6,
        "out-no-caption.html": 259,
        "out-transcoded.html": 260,
    }
    again = ["id-002", "id-003", "id-007", "id-100", "id-101", "id-102"]
    assert sorted(pages["out-duplicates.html"]) == again


def test_a_filter_is_said_at_the_top(repeated: Path) -> None:
    text = Document(arrowimg.view(repeated, where="image_id < 'id-002'").html).text

    assert "Only rows where image_id < 'id-002': 2 of 260." in text
    assert "Of these 2 rows: nothing is wrong" in text


def test_errors_lead_to_what_is_wrong(varied: Path) -> None:
    html = arrowimg.view(varied).html

    assert '<div class="bad"><dt>errors</dt><dd><a href="#finding-0">1</a></dd></div>' in html
    assert '<div class="good"><dt>quick verify</dt><dd>sound</dd></div>' in html
    finding = html.partition('id="finding-0"')[2].partition("</li>")[0]
    assert "Error missing: 1 without a picture" in finding


def test_rows_are_drawn_by_lot_and_the_seed_says_which(varied: Path) -> None:
    first, again, other = (
        ids_in(arrowimg.view(varied, sample=8, seed=seed).html) for seed in (1, 1, 2)
    )

    assert first == again
    assert first != other


@pytest.mark.parametrize(("sort", "first"), [("score", "id-000"), ("-score", "id-059")])
def test_the_grid_is_sorted_by_a_column(varied: Path, sort: str, first: str) -> None:
    html = arrowimg.view(varied, sort=sort, sample=5).html
    labels = [str(it.get("aria-label")) for it in Document(html).all("button")]

    assert next(it for it in labels if "Show every column" in it).endswith(first)


@pytest.mark.parametrize("where", ["score < 0.1", pl.col("score") < 0.1])
def test_where_leaves_out_the_other_rows(varied: Path, where: str | pl.Expr) -> None:
    ids = ids_in(arrowimg.view(varied, where=where).html)

    assert sorted(ids) == [f"id-{at:03}" for at in range(6)]


@pytest.mark.parametrize("where", ["nothing < 1", "score +", "score", "LOWER(score)", 7])
def test_an_expression_that_cannot_be_is_refused(varied: Path, where: Any) -> None:  # noqa: ANN401
    with pytest.raises(errors.OptionError, match="where"):
        arrowimg.view(varied, where=where)


@pytest.mark.parametrize(
    "option",
    [
        {"sort": "nothing"},
        {"sample": -1},
        {"seed": "a"},
        {"thumbnail": 1},
        {"max_bytes": 10},
        {"samples": 10},
    ],
)
def test_an_option_that_cannot_be_is_refused(varied: Path, option: dict[str, Any]) -> None:
    with pytest.raises((errors.OptionError, errors.KeywordError)):
        arrowimg.view(varied, **option)


def test_only_the_bytes_of_shown_pictures_are_read_of_tars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = arrowimg.ImageBatch.from_arrays(photographs(300), [str(it) for it in range(300)])
    arrowimg.write_shards(batch, tmp_path, 100, progress=False)
    read = list[int]()
    read_ranges, open_file = LocalStorage.read_ranges, LocalStorage.open

    def counting(self: LocalStorage, name: str, starts: Any, sizes: Any, into: Any) -> None:  # noqa: ANN401
        read.append(int(sizes.sum()))
        read_ranges(self, name, starts, sizes, into)

    def unread(self: LocalStorage, name: str) -> Any:  # noqa: ANN401
        file = open_file(self, name)
        return WithoutRead(file) if name.endswith(".tar") else file

    monkeypatch.setattr(LocalStorage, "read_ranges", counting)
    monkeypatch.setattr(LocalStorage, "open", unread)
    page = arrowimg.view(tmp_path, sample=5)

    shown = pl.read_parquet(tmp_path / "*.parquet").filter(
        pl.col("image_id").is_in(ids_in(page.html))
    )
    assert 5 < len(shown) < 150
    assert sum(read) == shown["size"].sum()


def test_a_picture_stands_upright_in_its_colours(tmp_path: Path) -> None:
    pixels = np.zeros((600, 300, 3), np.uint8)
    pixels[:300] = (255, 0, 0)
    sink, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    Image.fromarray(pixels).save(sink, "JPEG", exif=exif, quality=95)
    batch = arrowimg.ImageBatch.from_table(
        pa.table({"image_id": ["a"], "image_data": [sink.getvalue()]})
    )
    arrowimg.write_shards(batch, tmp_path / "out", progress=False)

    html = arrowimg.view(tmp_path / "out", thumbnail=100).html
    (source,) = {str(it["src"]) for it in Document(html).all("img")}
    shown = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))

    assert shown.size == (100, 50)
    red, green, blue = shown.convert("RGB").getpixel((90, 25))  # type: ignore[misc]  # of RGB
    assert (red > 200, green < 60, blue < 60) == (True, True, True)
    assert max(shown.convert("RGB").getpixel((10, 25))) < 60  # type: ignore[arg-type]


def test_a_page_stays_within_its_bound(varied: Path) -> None:
    whole = arrowimg.view(varied, thumbnail=1024)
    noise = arrowimg.ImageBatch.from_arrays(
        np.random.default_rng(0).integers(0, 256, (300, 100, 100, 3), dtype=np.uint8)
    )
    folder = varied.parent / "noise"
    arrowimg.write_shards(noise, folder, progress=False)

    small = arrowimg.view(folder, max_bytes=500_000)

    assert len(whole.html.encode()) < 8_000_000
    assert 300_000 < len(small.html.encode()) <= 500_000
    assert "are left out, so that the page is not too large" in small.html


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    return arrowimg.view(write_hostile(tmp_path_factory.mktemp("hostile") / "out")).html


class TestHostileTexts:
    def test_they_add_no_elements_and_no_attributes(self, html: str) -> None:
        page = Document(html)

        assert len(page.all("script")) == 2
        assert "<" not in html.partition('id="data">')[2].partition("</script>")[0]
        assert all(str(it["src"]).startswith("data:image/jpeg;base64,") for it in page.all("img"))
        names = {name for _, attributes in page.tags for name in attributes}
        assert not {it for it in names if it.startswith("on") or it in {"style", "srcdoc"}}
        assert {str(it["href"])[0] for it in page.all("a")} == {"#"}

    def test_they_are_shown_as_text_on_one_line(self, html: str) -> None:
        page = Document(html)

        assert HOSTILE[0] in page.text
        assert "a\\x00b\\x1b[31m" in page.text
        assert not {"\0", "\x1b", "\u202e"} & set(html)

    def test_the_page_is_small_whatever_they_are(self, html: str) -> None:
        assert len(html.encode()) < 400_000

    def test_the_policy_names_the_only_script(self, html: str) -> None:
        policy = str(Document(html).all("meta")[1]["content"])
        script = html.rpartition("<script>")[2].partition("</script>")[0]
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

        assert policy.startswith("default-src 'none'; img-src data:;")
        assert f"script-src 'sha256-{digest}'" in policy
        assert "unsafe" not in policy


def test_a_dataset_without_rows_has_a_page(tmp_path: Path) -> None:
    batch = arrowimg.ImageBatch.from_arrays(photographs(2), ["a", "b"])
    arrowimg.write_shards(batch.data.slice(0, 0), tmp_path / "none", progress=False)
    arrowimg.write_shards(batch, tmp_path / "some", progress=False)

    for page in (arrowimg.view(tmp_path / "none"), arrowimg.view(tmp_path / "some", where="1 > 2")):
        assert page.num_pictures == 0
        assert "0 of 0 rows" in page.html


def test_a_stage_without_a_manifest_has_a_page(tmp_path: Path) -> None:
    stage = arrowimg.ImageWriterStage(tmp_path)
    stage.process(arrowimg.ImageBatch.from_arrays(photographs(3), ["a", "b", "c"]))

    assert sorted(ids_in(arrowimg.view(tmp_path).html)) == ["a", "b", "c"]


def test_two_datasets_stand_side_by_side(varied: Path, tmp_path: Path) -> None:
    batch = next(arrowimg.read_batches(varied, 60))
    table = batch.data.slice(20, 40).drop_columns(["label"])
    changed = table.set_column(
        table.column_names.index("image_data"),
        "image_data",
        [[table["image_data"][0].as_py()] * 2 + table["image_data"].to_pylist()[2:]],
    )
    arrowimg.write_shards(changed, tmp_path / "other", progress=False)

    html = arrowimg.view(varied, against=tmp_path / "other").html
    text = Document(html).text

    assert "Ids only in out: 20 id-000 id-001" in text
    assert "Ids only in other: 0" in text
    assert "Pictures of the same id whose bytes differ: 1 of 40" in text
    assert "column label String none" in text
    assert html.count('class="pair"') == 1
    assert 'rect class="second"' in html


class TestCommand:
    def test_it_writes_a_page_and_says_where(
        self, varied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        status = main(["view", str(varied), "-o", str(tmp_path / "page.html"), "--sample", "3"])

        assert (status, capsys.readouterr().out) == (0, f"{tmp_path / 'page.html'}\n")
        assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")

    def test_a_page_is_called_after_its_dataset(
        self, varied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)

        assert main(["view", str(varied)]) == 0
        assert [it.name for it in tmp_path.iterdir()] == ["out-view.html"]

    def test_a_page_that_is_there_is_replaced_as_a_whole(
        self, varied: Path, tmp_path: Path
    ) -> None:
        page = tmp_path / "page.html"
        page.write_text("before", encoding="utf-8")

        arrowimg.view(varied, page)

        assert page.read_text(encoding="utf-8").endswith("</html>")
        assert list(tmp_path.iterdir()) == [page]

    @pytest.mark.parametrize(
        ("arguments", "status"),
        [(["--where", "nothing = 1"], 1), (["--sample", "-1"], 2), (["--sort", "nothing"], 1)],
    )
    def test_what_cannot_be_is_a_line(
        self,
        varied: Path,
        capsys: pytest.CaptureFixture[str],
        arguments: Sequence[str],
        status: int,
    ) -> None:
        assert main(["view", str(varied), *arguments]) == status
        assert capsys.readouterr().err.startswith(f"arrowimg: error: {arguments[0]}: expected")

    def test_open_opens_the_page(
        self, varied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened = list[str]()
        monkeypatch.setattr("webbrowser.open", opened.append)

        main(["view", str(varied), "-o", str(tmp_path / "a.html"), "--open", "-q"])

        assert opened == [(tmp_path / "a.html").as_uri()]


def test_a_notebook_shows_the_page_in_a_frame_of_its_own(varied: Path) -> None:
    page = arrowimg.view(varied, sample=2)
    (frame,) = Document(page._repr_html_()).all("iframe")

    assert frame["sandbox"] == "allow-scripts"
    assert frame["srcdoc"] == page.html
