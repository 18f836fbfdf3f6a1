"""A writer finds that the tar it relies on was collected, or was left without a mark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import storage_data
from fault_proxy import Rule
from storage_data import PAIR
from store_tools import bench

from arrowimg._storage.object_store import commit
from arrowimg._storage.open import open_storage

if TYPE_CHECKING:
    from store_servers import Servers


@pytest.mark.parametrize("is_left", [True, False])
def test_a_tar_that_is_collected_before_its_sidecar_is_there_is_put_again(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, *, is_left: bool
) -> None:
    # One that another writer left is looked at again in any case, an own one after a long time.
    monkeypatch.setattr(commit, "_LATE_SECONDS", 3600 if is_left else 0)
    with bench(servers, "moto") as made:
        # Without the mark of its writer, as in a bucket that was copied.
        prefix = made.new({"a.tar": PAIR["a.tar"]} if is_left else {})
        rule = Rule(
            kind="call_before",
            method="PUT",
            target=r"a\.parquet",
            call=lambda: made.bucket.delete(f"{prefix}/a.tar"),
        )
        with made.proxy.injecting(rule):
            storage_data.commit(open_storage(made.url(prefix), made.options()), PAIR)

        assert rule.hits == 1
        assert made.objects(prefix) == PAIR


def test_a_tar_without_a_mark_is_taken_for_what_its_bytes_are(servers: Servers) -> None:
    with bench(servers, "moto") as made:
        prefix = made.new({"a.tar": PAIR["a.tar"]})
        storage_data.commit(open_storage(made.url(prefix), made.options()), PAIR)

        assert made.objects(prefix) == PAIR
