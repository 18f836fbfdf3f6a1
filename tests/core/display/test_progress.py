from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from arrowimg._core.display.progress import is_notebook, progress_bar


def as_notebook(monkeypatch: pytest.MonkeyPatch, shell: object) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))


@pytest.mark.parametrize(("progress", "is_drawn"), [(None, False), (True, True), (False, False)])
def test_a_bar_is_drawn_on_a_terminal_or_where_it_is_asked_for(
    capsys: pytest.CaptureFixture[str],
    progress: bool | None,  # noqa: FBT001  # as callers have it
    is_drawn: bool,  # noqa: FBT001
) -> None:
    with progress_bar(3, " images", progress) as bar:
        bar.update(3)

    assert ("3/3" in capsys.readouterr().err) is is_drawn


@pytest.mark.parametrize(("progress", "is_drawn"), [(None, True), (True, True), (False, False)])
def test_a_notebook_draws_it_as_text(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    progress: bool | None,  # noqa: FBT001
    is_drawn: bool,  # noqa: FBT001
) -> None:
    as_notebook(monkeypatch, SimpleNamespace(kernel=object()))

    with progress_bar(3, " images", progress) as bar:
        bar.update(3)

    assert ("3/3" in capsys.readouterr().err) is is_drawn


@pytest.mark.parametrize("shell", [None, SimpleNamespace()])
def test_a_shell_without_a_kernel_is_no_notebook(
    monkeypatch: pytest.MonkeyPatch, shell: object
) -> None:
    as_notebook(monkeypatch, shell)

    assert not is_notebook()
