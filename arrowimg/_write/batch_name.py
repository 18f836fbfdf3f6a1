"""Digests of batches: the same batch has the same one, in any process, on any machine."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from arrowimg._core.binary import value_bytes, value_offsets
from arrowimg._core.checksums import new_hasher
from arrowimg._images.columns import ImageView, image_views
from arrowimg._images.identity import Identity
from arrowimg.errors import Problem

if TYPE_CHECKING:
    from arrowimg._images.batch import ImageBatch

_DIGEST_NBYTES = 12
_SCHEME = 1


def batch_digest(batch: ImageBatch, image_column: str, recorded_options: dict[str, Any]) -> str:
    """Return 96 bits in hexadecimal that tell this batch from others.

    Order, ids, paths, dataset name, task id and the options that change bytes count. The picture
    counts in rows that have neither id nor path only: hashing all pixels would cost several per
    cent of the writing.

    Parameters
    ----------
    recorded_options
        Those that change bytes, see `WriteOptions.recorded`.
    """
    identity = Identity.of(batch.data, image_column)
    names = (identity.image_ids, identity.original_paths)
    unnamed = pc.and_(*(texts.is_null() for texts in names)).to_numpy(zero_copy_only=False)
    pictures = image_views(batch.data, image_column) if unnamed.any() else []
    content = (
        _SCHEME,
        batch.dataset_name,
        batch.task_id,
        recorded_options,
        [_texts_digest(texts) for texts in names],
        [_picture_digest(pictures[row]) for row in np.flatnonzero(unnamed).tolist()],
    )
    encoded = msgspec.msgpack.encode(content, order="deterministic")
    return hashlib.blake2b(encoded, digest_size=_DIGEST_NBYTES).hexdigest()


def _texts_digest(texts: pa.StringArray) -> bytes:
    filled = texts.fill_null("") if texts.null_count else texts
    offsets = value_offsets(filled)
    hasher = hashlib.blake2b(digest_size=2 * _DIGEST_NBYTES)
    hasher.update(texts.is_null().to_numpy(zero_copy_only=False))
    hasher.update(np.diff(offsets).astype("<i8"))
    hasher.update(value_bytes(filled)[offsets[0] : offsets[-1]])
    return hasher.digest()


def _picture_digest(view: ImageView) -> bytes:
    hasher = new_hasher("xxh3_128")
    if isinstance(view, Problem):
        hasher.update(f"{view.code} {view.found}".encode())
    elif isinstance(view, memoryview):
        hasher.update(b"file ")
        hasher.update(view)
    else:
        hasher.update(f"{view.dtype} {view.shape} ".encode())
        hasher.update(np.ascontiguousarray(view).reshape(-1).view(np.uint8))
    return hasher.digest()
