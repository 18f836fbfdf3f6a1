"""The options of a dataset that a cluster writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from arrowimg import WriteOptions
from arrowimg._write.distributed.tasks import dataset_options, task_options
from arrowimg.errors import KeywordError, OptionError

if TYPE_CHECKING:
    from arrowimg._write.options import WriteKeywords


def test_bad_rows_are_quarantined_unless_told_otherwise() -> None:
    chosen = dataset_options(7, {"checksum": "sha256"}, remove_image_data=True)

    assert chosen == WriteOptions(
        images_per_tar=7,
        remove_image_data=True,
        checksum="sha256",
        on_error="quarantine",
        max_error_fraction=0.01,
    )


def test_where_bad_rows_are_refused_there_is_no_fraction_of_them() -> None:
    chosen = dataset_options(7, {"on_error": "raise"}, remove_image_data=True)

    assert (chosen.on_error, chosen.max_error_fraction) == ("raise", None)
    with pytest.raises(OptionError, match="max_error_fraction"):
        dataset_options(7, {"on_error": "raise", "max_error_fraction": 0.5}, remove_image_data=True)


@pytest.mark.parametrize("removed", [True, False])
def test_options_as_a_whole_are_taken_as_they_are(removed: bool) -> None:  # noqa: FBT001
    options = WriteOptions(images_per_tar=5, remove_image_data=removed)
    keywords: WriteKeywords = {"options": options}

    assert dataset_options(1000, keywords, remove_image_data=True) == options


def test_a_task_neither_judges_nor_refuses_its_own_shards() -> None:
    limits: Any = {"on_error": "quarantine", "max_error_fraction": 0.5, "if_exists": "error"}

    task = task_options(WriteOptions(**limits))

    assert task == WriteOptions(on_error="quarantine")


def test_a_misspelt_option_is_answered_with_its_name() -> None:
    keywords: Any = {"on_errors": "raise"}

    with pytest.raises(KeywordError, match="did you mean on_error"):
        dataset_options(1000, keywords, remove_image_data=True)
