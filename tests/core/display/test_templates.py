from __future__ import annotations

import sys

import pytest

from arrowimg import errors
from arrowimg._core.display.tables import table_html
from arrowimg._core.display.templates import shown_text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        (b"\xff\0", "ff00"),
        ("a\nb\0\x1b\u202e", "a\\nb\\x00\\x1b\\u202e"),
        ("x" * 200, "x" * 120 + "…"),
        (3.5, "3.5"),
        ("שלום", "שלום"),
    ],
)
def test_a_value_is_shown_on_one_line(value: object, expected: str) -> None:
    assert shown_text(value) == expected


def test_a_table_escapes_what_it_is_given() -> None:
    html = table_html("<b>", {"n": 1234}, ["<i>"], [{"<i>": "<script>"}, {}])

    assert html is not None
    assert "1,234" in html
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "&lt;i&gt;" in html


def test_a_long_table_says_how_many_rows_it_leaves_out() -> None:
    html = table_html("title", {}, ["a"], [{"a": at} for at in range(25)])

    assert html is not None
    assert html.count("<tr>") == 21
    assert "and 5 more" in html


def test_without_jinja_there_is_no_table_and_a_page_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from arrowimg._core.display import templates

    templates._environment.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)

    assert table_html("title", {}, [], []) is None
    with pytest.raises(errors.MissingDependencyError, match=r"\.\[view\]"):
        templates.render("arrowimg._core.display", "table.html", {})
