"""The list of `make sabotage` fits the code it breaks. The command itself takes minutes."""

from __future__ import annotations

import pytest

from tests.sabotage.__main__ import ROOT
from tests.sabotage.ways import WAYS, Way


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_each_way_still_fits_the_code_and_changes_it(way: Way) -> None:
    texts = {edit.path: (ROOT / edit.path).read_text("utf-8") for edit in way.edits}
    for edit in way.edits:
        changed = edit.apply(texts[edit.path])
        assert changed != texts[edit.path]
        texts[edit.path] = changed
    for path, text in texts.items():
        compile(text, path, "exec")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_each_way_names_tests_that_exist(way: Way) -> None:
    assert all((ROOT / test.partition("::")[0]).is_file() for test in way.tests)


def test_no_way_is_listed_twice() -> None:
    assert len({way.name for way in WAYS}) == len(WAYS)
