from __future__ import annotations

import io
import threading

import numpy as np
import pytest
from file_data import SMALL, save
from PIL import Image

from arrowimg._images.codec.libtiff import complaints


def broken() -> bytes:
    data = save(SMALL, "TIFF", compression="tiff_lzw")
    with Image.open(io.BytesIO(data)) as image:
        start = image.tag_v2[273][0]  # type: ignore[attr-defined]
    return data[: start + 99] + b"\xff" * 20 + data[start + 119 :]


def load(data: bytes) -> None:
    with pytest.raises(OSError, match="decoder error"):
        Image.open(io.BytesIO(data)).load()


def test_complaints_are_collected_and_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with complaints() as heard:
        load(broken())

    assert heard
    assert capfd.readouterr().err == ""


def test_outside_the_block_libtiff_says_what_it_always_said(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with complaints() as heard:
        pass
    load(broken())

    assert heard == []
    assert "Using code not yet in table" in capfd.readouterr().err


def test_each_thread_hears_its_own() -> None:
    found: dict[str, list[str]] = {}
    inside, done = threading.Event(), threading.Event()

    def wait() -> None:
        with complaints() as heard:
            inside.set()
            done.wait(60)
        found["other"] = heard

    thread = threading.Thread(target=wait)
    thread.start()
    inside.wait(60)
    with complaints() as heard:
        load(broken())
    done.set()
    thread.join()

    assert heard
    assert found == {"other": []}


def test_many_at_once() -> None:
    from concurrent.futures import ThreadPoolExecutor

    from arrowimg._images.codec.decode import Decoded, decode_image

    good = save(SMALL, "TIFF", compression="tiff_lzw")
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(decode_image, map(memoryview, [good, broken()] * 100)))

    assert [isinstance(it, Decoded) for it in results] == [True, False] * 100
    assert np.array_equal(results[0].pixels, np.asarray(SMALL))  # type: ignore[union-attr]
