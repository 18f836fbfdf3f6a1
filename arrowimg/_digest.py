"""Digests of batches: the same batch has the same one, in any process, on any machine."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from arrowimg._checksums import new_hasher
from arrowimg._columns import ImageView, image_views
from arrowimg._identity import Identity
from arrowimg.errors import Problem

if TYPE_CHECKING:
    from arrowimg._options import WriteOptions
    from arrowimg._tasks import ImageBatch

_DIGEST_NBYTES = 12
_SCHEME = 1


def batch_digest(batch: ImageBatch, options: WriteOptions) -> str:
    """Return 96 bits in hexadecimal that tell this batch from every other.

    Order, ids, paths, dataset name, task id and the options that change bytes count. The picture
    counts in rows that have neither id nor path only: hashing all pixels would cost several per
    cent of the writing.
    """
    identity = Identity.of(batch.data, options.image_column)
    rows: list[Any] = list(zip(identity.image_ids, identity.original_paths, strict=True))
    if (None, None) in rows:
        views = image_views(batch.data, options.image_column)
        rows = [
            (*row, _picture_digest(view) if row == (None, None) else None)
            for row, view in zip(rows, views, strict=True)
        ]
    content = (_SCHEME, batch.dataset_name, batch.task_id, options.recorded(), rows)
    encoded = msgspec.msgpack.encode(content, order="deterministic")
    return hashlib.blake2b(encoded, digest_size=_DIGEST_NBYTES).hexdigest()


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
