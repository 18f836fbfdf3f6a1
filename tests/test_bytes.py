"""Same input, same options, same bytes, also in the next version: tars have the hashes they had."""

from __future__ import annotations

import json
from pathlib import Path

from bytes_data import INDEXES, digests, write_corpus

from arrowimg._cli.main import main

KNOWN = json.loads((Path(__file__).parent / "known_bytes.json").read_text(encoding="utf-8"))


def test_a_corpus_has_the_bytes_that_it_had(tmp_path: Path) -> None:
    write_corpus(tmp_path)

    found = digests(tmp_path, "*.tar", *INDEXES)
    # The manifest and one index name the versions that wrote them.
    found = {name: digest for name, digest in found.items() if name in KNOWN["corpus"]}
    assert found == KNOWN["corpus"]
    assert len(digests(tmp_path, "*.tar")) == sum(it.endswith(".tar") for it in found)


def test_the_demo_has_the_bytes_that_it_had(tmp_path: Path) -> None:
    assert main(["demo", str(tmp_path), "--quiet", "--json"]) == 0

    # The last digits of a score, a mean over pixels, depend on the version of NumPy.
    assert digests(tmp_path, "*.tar") in KNOWN["demo"]
