"""Progress over the shards of a dataset, in bytes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from arrowimg._format.names import shard_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arrowimg._storage.base import Storage


def shards_with_progress(
    storage: Storage, sidecars: list[str], *, progress: bool | None
) -> Iterator[str]:
    """Yield each sidecar; a bar counts the bytes of its shard when the next is asked for."""
    from tqdm.auto import tqdm  # noqa: PLC0415  # only here is a bar drawn

    nbytes: Counter[str] = Counter()
    for page in storage.pages():
        for file in page:
            nbytes[shard_of(file.name)] += file.nbytes
    disable = None if progress is None else not progress
    total = sum(nbytes[shard_of(name)] for name in sidecars)
    with tqdm(total=total, unit="B", unit_scale=True, disable=disable) as bar:
        for name in sidecars:
            yield name
            bar.update(nbytes[shard_of(name)])
