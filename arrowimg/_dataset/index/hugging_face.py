"""The dataset card that tells Hugging Face which files are pictures and which are metadata.

Without it, ``datasets`` takes the files that most have one extension, and on a tie the Parquet:
https://huggingface.co/docs/hub/datasets-manual-configuration
"""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING

from arrowimg._core.option_checks import check_option
from arrowimg._dataset.index.source import Format
from arrowimg._dataset.index.text import file_patterns
from arrowimg._format.names import README
from arrowimg.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arrowimg._dataset.index.source import File, Source
    from arrowimg._format.layout import Layout

_MOST_NBYTES = 2**24
_FENCE = b"---"
_KEY = b"configs:"
_OURS = b'configs: [{"config_name": "default", "default": true, "data_files": '

_BODY = b"""
# Pictures in tar shards

`images-*.tar` hold the pictures in [WebDataset](https://github.com/webdataset/webdataset) format.
Beside each is a Parquet file with one row per picture.

```python
from datasets import load_dataset

pictures = load_dataset(".", split="train")
rows = load_dataset(".", "metadata", data_files="images-*.parquet", split="train")
```

`datasets` reads all configurations of a folder with the reader of the first one, tars here; that is
why the second call names the files once more.
"""


def _hugging_face_index(source: Source) -> list[File]:
    """Return the card with ``configs`` for pictures and metadata; all else in it stays.

    Raises
    ------
    OptionError
        When the card that is there has other ``configs`` already, the tars are elsewhere, or
        samples differ in what members they have.
    """
    expected = 'no "hf" of tars in another place, which a card cannot name'
    check_option(not source.has_tars_elsewhere, "formats", expected, "hf")
    _check_alike(source)
    shards, card = source.listing.shards, _card(source)
    split = source.listing.split or "train"
    configs = _OURS + _data_files((it.tar for it in shards), split) + b'}, {"config_name": '
    configs += b'"metadata", "data_files": '
    configs += _data_files((it.parquet for it in shards), split) + b"}]\n"
    body = _body(split) if source.listing.adopted is None else b""
    return [(README, [_with_configs(card, configs) if card else _fenced(configs) + body])]


def _check_alike(source: Source) -> None:
    """Refuse samples of different extensions: the reader of tars takes those of the first for all.

    Raises
    ------
    OptionError
        When some differ.
    """
    if not (source.listing.kept or source.listing.pictures):
        return
    found = set[str]()
    for extensions, are_alike in source.of_each_tar(_extensions):
        found |= {extensions}
        expected = '"hf" only where every sample has a member of each extension; others are'
        check_option(are_alike and len(found) == 1, "formats", f"{expected} in the sidecars", "hf")


def _extensions(layout: Layout) -> tuple[str, bool]:
    return " ".join(layout.extensions), bool(layout.is_there.all())


def _card(source: Source) -> bytes:
    """Return the card that is there; nothing where there is none.

    Raises
    ------
    StorageError
        When it cannot be read, or is too large for a text that a person wrote.
    """
    path = source.storage.path_of(README)
    try:
        with source.storage.open(README) as file:
            card = file.read(_MOST_NBYTES + 1)
    except FileNotFoundError:
        return b""
    except OSError as error:
        reason, code = error.strerror or str(error), error.errno or 0
        raise StorageError(path, reason, code, None, None) from error
    if len(card) > _MOST_NBYTES:
        raise StorageError(path, f"more than {_MOST_NBYTES:,} bytes", errno.EFBIG, None, None)
    return card


def _body(split: str) -> bytes:
    return _BODY.replace(b'"train"', json.dumps(split).encode())


def _data_files(names: Iterable[str], split: str) -> bytes:
    paths = file_patterns(names)
    files = [{"split": split, "path": paths[0] if len(paths) == 1 else paths}]
    return json.dumps(files).encode()


def _with_configs(card: bytes, configs: bytes) -> bytes:
    lines = card.splitlines(keepends=True)
    fences = [at for at, line in enumerate(lines) if line.rstrip() == _FENCE]
    if len(fences) < 2 or fences[0]:
        return _fenced(configs) + card
    there = [at for at in range(1, fences[1]) if lines[at].startswith(_KEY)]
    if not there:
        return b"".join([lines[0], configs, *lines[1:]])
    expected = f'no "hf" where {README} has configs of its own; add {configs.decode().rstrip()!r}'
    are_ours = all(lines[at].startswith(_OURS) for at in there)
    check_option(are_ours, "formats", expected, lines[there[0]].decode(errors="replace").rstrip())
    return b"".join(configs if at == there[0] else line for at, line in enumerate(lines))


def _fenced(configs: bytes) -> bytes:
    return _FENCE + b"\n" + configs + _FENCE + b"\n"


HUGGING_FACE = Format(_hugging_face_index, tells_of_others=True)
