"""Indexes of WebDataset, of its library wids, and of open_clip: shards and their counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arrowimg._dataset.index.source import Format
from arrowimg._dataset.index.text import brace_ranges, json_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arrowimg._dataset.index.source import File, Source

_WEBDATASET_NAME = "webdataset.json"
_WIDS_NAME = "wids.json"
_SIZES_NAME = "sizes.json"


def _webdataset_index(source: Source) -> Iterator[File]:
    """Yield the shards with their counts, and as brace ranges.

    ``::`` between ranges is how ``webdataset.WebDataset`` takes several in one string:
    https://github.com/webdataset/webdataset/blob/main/src/webdataset/shardlists.py
    """
    shards = source.listing.shards
    index = {
        "urls": "::".join(map(source.address_of, brace_ranges(it.tar for it in shards))),
        "num_shards": len(shards),
        "num_samples": source.listing.num_samples,
        "shards": _shard_list(source),
    }
    yield _WEBDATASET_NAME, [json_bytes(index)]


def _wids_index(source: Source) -> Iterator[File]:
    """Yield the index of ``wids.ShardListDataset``.

    Its fields: https://github.com/webdataset/webdataset/blob/main/wids/wids_specs.py. wids keeps
    copies of shards under the dataset's name and takes them again, so the name is one of content.
    """
    index = {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "name": f"arrowimg-{source.listing.uuid}",
        "shardlist": _shard_list(source),
    }
    yield _WIDS_NAME, [json_bytes(index)]


def _shard_list(source: Source) -> list[dict[str, object]]:
    return [
        {
            "url": source.address_of(shard.tar),
            "nsamples": shard.num_images,
            "filesize": shard.tar_nbytes,
        }
        for shard in source.listing.shards
    ]


def _sizes_index(source: Source) -> Iterator[File]:
    """Yield the number of samples of each tar, which open_clip looks for beside the tars.

    https://github.com/mlfoundations/open_clip/blob/main/src/open_clip_train/data.py
    """
    sizes = {shard.tar: shard.num_images for shard in source.listing.shards}
    yield _SIZES_NAME, [json_bytes(sizes)]


WEBDATASET = Format(_webdataset_index, (_WEBDATASET_NAME,), tells_of_others=True)
WIDS = Format(_wids_index, (_WIDS_NAME,), tells_of_others=True)
SIZES = Format(_sizes_index, (_SIZES_NAME,), tells_of_others=True)
