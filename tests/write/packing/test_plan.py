from __future__ import annotations

import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from arrowimg._write.packing.plan import plan_shards

sizes = st.lists(st.one_of(st.just(0), st.integers(1, 40)), max_size=60)
caps = st.integers(1, 9)
byte_caps = st.one_of(st.none(), st.integers(1, 120))


def filled_incrementally(
    tar_nbytes: list[int], ends: list[int], images_per_tar: int, max_nbytes: int | None
) -> list[list[int]]:
    """Plan the rows batch by batch, keeping back the last shard, as `ShardWriter` does."""
    shards: list[list[int]] = []
    pending: list[int] = []
    bounds = sorted({0, len(tar_nbytes), *(end for end in ends if end < len(tar_nbytes))})
    for start, stop in itertools.pairwise(bounds):
        pending = [*pending, *range(start, stop)]
        *full, last = plan_shards([tar_nbytes[row] for row in pending], images_per_tar, max_nbytes)
        shards += [pending[rows] for rows in full]
        pending = pending[last]
    return [*shards, pending] if pending else shards


def test_no_rows_need_no_shard() -> None:
    assert plan_shards([], 10) == []


def test_rows_without_members_stay_with_those_before_them() -> None:
    assert plan_shards([5, 5, 0, 0, 5], 2) == [slice(0, 4), slice(4, 5)]


def test_rows_without_any_member_are_one_shard() -> None:
    assert plan_shards([0, 0, 0], 1) == [slice(0, 3)]


def test_a_row_that_fills_the_byte_limit_exactly_still_fits() -> None:
    assert plan_shards([5, 5, 5], 10, 10) == [slice(0, 2), slice(2, 3)]


@given(sizes, caps, byte_caps)
@example([41], 1, 40)
def test_every_row_is_in_exactly_one_shard_and_in_order(
    tar_nbytes: list[int], images_per_tar: int, max_nbytes: int | None
) -> None:
    plan = plan_shards(tar_nbytes, images_per_tar, max_nbytes)

    rows = [row for shard in plan for row in range(shard.start, shard.stop)]
    assert rows == list(range(len(tar_nbytes)))
    assert all(shard.start < shard.stop for shard in plan)


@given(sizes, caps, byte_caps)
def test_no_shard_exceeds_a_limit_unless_one_row_alone_does(
    tar_nbytes: list[int], images_per_tar: int, max_nbytes: int | None
) -> None:
    plan = plan_shards(tar_nbytes, images_per_tar, max_nbytes)

    for shard in plan:
        members = [size for size in tar_nbytes[shard] if size]
        assert len(members) <= images_per_tar
        assert max_nbytes is None or sum(members) <= max_nbytes or len(members) == 1


@given(sizes, caps)
def test_only_the_last_shard_is_short_without_a_byte_limit(
    tar_nbytes: list[int], images_per_tar: int
) -> None:
    plan = plan_shards(tar_nbytes, images_per_tar)

    assert all(sum(size > 0 for size in tar_nbytes[shard]) == images_per_tar for shard in plan[:-1])


@given(sizes, caps, st.integers(1, 120))
def test_each_shard_is_as_full_as_the_limits_allow(
    tar_nbytes: list[int], images_per_tar: int, max_nbytes: int
) -> None:
    plan = plan_shards(tar_nbytes, images_per_tar, max_nbytes)

    for shard, after in itertools.pairwise(plan):
        members = [size for size in tar_nbytes[shard] if size]
        next_size = tar_nbytes[after.start]
        assert len(members) == images_per_tar or sum(members) + next_size > max_nbytes


@given(sizes, st.lists(st.integers(0, 60), max_size=8), caps, byte_caps)
def test_shards_do_not_depend_on_how_the_rows_arrive(
    tar_nbytes: list[int], ends: list[int], images_per_tar: int, max_nbytes: int | None
) -> None:
    plan = plan_shards(tar_nbytes, images_per_tar, max_nbytes)

    one_by_one = filled_incrementally(tar_nbytes, ends, images_per_tar, max_nbytes)

    assert one_by_one == [list(range(shard.start, shard.stop)) for shard in plan]
