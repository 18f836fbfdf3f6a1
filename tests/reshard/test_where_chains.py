"""Chains of conditions: the same rows, at a depth that Polars can take."""

from __future__ import annotations

import polars as pl
import pytest

from arrowimg._reshard.where import balanced

FRAME = pl.DataFrame({"a": [*range(60), None], "b": [None, *range(60)]})


def depth(expression: pl.Expr) -> int:
    return 1 + max((depth(it) for it in expression.meta.pop()), default=0)


@pytest.mark.parametrize("word", ["OR", "AND"])
@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_a_chain_means_the_same_and_is_shallow(word: str, count: int) -> None:
    terms = [f"a = {it}" if word == "OR" else f"a < {it + 9}" for it in range(count)]
    chain = pl.sql_expr(f" {word} ".join(terms))

    found = balanced(chain)

    assert FRAME.select(found.alias("it")).equals(FRAME.select(chain.alias("it")))
    assert depth(found) <= 2 + max(1, (count - 1).bit_length())


@pytest.mark.parametrize(
    "text", ["a = 1 OR b = 2 AND a = 3", "NOT a = 1", "a = 1 OR (b = 2 OR b IS NULL) OR a > 5", "a"]
)
def test_what_is_no_chain_means_the_same(text: str) -> None:
    expression = pl.sql_expr(text)

    found = balanced(expression)

    assert FRAME.select(found.alias("it")).equals(FRAME.select(expression.alias("it")))
