"""Which rows go in which shard: arithmetic only."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def plan_shards(
    tar_nbytes: Sequence[int], images_per_tar: int, max_members_nbytes: int | None = None
) -> list[slice]:
    """Return the rows of each shard: consecutive, in order, every row in exactly one.

    A shard is as full as the limits allow; only the last may be short. Rows without members
    (`tar_nbytes` 0) take no room and stay with the members before them, so that where one shard
    ends does not depend on how the rows arrived.

    Parameters
    ----------
    tar_nbytes
        Bytes that each row's members take in a tar, headers and padding included; 0 for a row
        without members.
    images_per_tar
        Most rows with members in one shard.
    max_members_nbytes
        Most bytes of members in one shard. A row that is larger gets a shard of its own.
    """
    if not tar_nbytes:
        return []
    starts, num_images, nbytes = [0], 0, 0
    for row, size in enumerate(tar_nbytes):
        over = max_members_nbytes is not None and nbytes + size > max_members_nbytes
        if size and num_images and (num_images == images_per_tar or over):
            starts.append(row)
            num_images = nbytes = 0
        num_images += size > 0
        nbytes += size
    return [
        slice(start, stop)
        for start, stop in zip(starts, [*starts[1:], len(tar_nbytes)], strict=True)
    ]
