"""Tars that img2dataset wrote, and its Parquet beside them, are adopted."""

from __future__ import annotations

import functools
import http.server
import json
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from adopt_data import picture
from adopted_check import adopt_and_check

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.readers(env="readers-img2dataset")

PROGRAM = """
import sys
from img2dataset import download

if __name__ == "__main__":
    download(
        url_list=sys.argv[1], output_folder=sys.argv[2], input_format="json", url_col="url",
        caption_col="caption", save_additional_columns=["score"], output_format="webdataset",
        processes_count=1, thread_count=4, number_sample_per_shard=4, resize_mode="no",
        encode_format=sys.argv[3],
        encode_quality=9 if sys.argv[3] == "png" else 95, disallowed_header_directives=[],
    )
"""


@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
def test_what_img2dataset_wrote_is_adopted(kind: str, tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for number in range(9):
        (files / f"{number}.jpg").write_bytes(picture(number, size=(64, 48)))
    (files / "7.jpg").unlink()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(files))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        rows = [
            {"url": f"{address}/{at}.jpg", "caption": f"picture {at}", "score": at / 4}
            for at in range(9)
        ]
        (tmp_path / "urls.json").write_text(json.dumps(rows))
        (tmp_path / "program.py").write_text(PROGRAM)
        arguments = [tmp_path / "program.py", tmp_path / "urls.json", tmp_path / "out", kind]
        subprocess.run([sys.executable, *map(str, arguments)], check=True, timeout=300)
        server.shutdown()

    found = adopt_and_check(tmp_path / "out").sort("url")

    assert len(found) == 8
    expected = [(f"picture {at}", at / 4, "success") for at in range(9) if at != 7]
    assert found.select("caption", "score", "status").rows() == expected
    assert found["txt"].to_list() == found["caption"].to_list()
    assert found["image_id"].n_unique() == 8
