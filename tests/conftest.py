"""What every test module shares."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from arrowimg._images.codec.opencv import encode_jpegs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fault_tools import Writers
    from reader_data import Dataset
    from store_servers import Servers

# A slow machine is not a failure. In CI the same examples are tried every time, so that a red run
# is about the change at hand; elsewhere new ones are.
settings.register_profile(
    "local", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("ci", settings.get_profile("local"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by one for each picture that is encoded."""
    pictures: list[int] = []

    def counting(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401  # passed on
        made = [*encode_jpegs(*arguments, **options)]
        pictures.extend([1] * len(made))
        return iter(made)

    monkeypatch.setattr("arrowimg._images.encode.encode_jpegs", counting)
    return pictures


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Forgive others what they leave to the garbage collector, and readers all they warn of."""
    for item in items:
        if any(item.get_closest_marker(name) for name in ("curator", "ray", "ray_faults")):
            for kind in ("ResourceWarning", "pytest.PytestUnraisableExceptionWarning"):
                item.add_marker(pytest.mark.filterwarnings(f"ignore::{kind}"))
        if item.get_closest_marker("readers"):
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Write the dataset that tests/readers read, once; who adds files to it takes a copy."""
    from reader_data import write_dataset

    return write_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.fixture(scope="module")
def writers() -> Iterator[Writers]:
    """Start the parent of the writers that tests/faults hurts; it ends with their module."""
    from fault_tools import Writers

    with Writers() as made:
        yield made


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Give out object stores that run here; they end with the session."""
    from store_servers import Servers

    with Servers(tmp_path_factory.mktemp("servers")) as made:
        yield made


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """Start a local Ray cluster that says nothing, and shut it down with the session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
        # Without it, Ray warns that it will leave CUDA_VISIBLE_DEVICES alone one day.
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        tests = str(Path(__file__).parent / "data")
        patch.setenv("PYTHONPATH", tests, prepend=os.pathsep)  # for what workers are to call
        import ray.data

        import arrowimg.ray  # noqa: F401  # so that tests find it in arrowimg

        # Short, since sockets stand below it.
        folder = tempfile.mkdtemp(prefix="ray")
        ray.init(
            num_cpus=2,
            object_store_memory=200 * 2**20,
            include_dashboard=False,
            logging_level=logging.ERROR,
            log_to_driver=False,
            _temp_dir=folder,
        )
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        yield
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
