"""What was acknowledged is there after a power cut, wherever in a write it comes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.disk.experiments import (
    EMPTY,
    WHOLE,
    lose_power_while_creating,
    lose_power_while_writing,
)
from tests.disk.judge import Effort
from tests.disk.trace import needs_strace
from tests.disk.writer import SAFE, UNSAFE


@pytest.fixture
def traced() -> None:
    needs_strace()


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("variant", SAFE)
def test_what_was_acknowledged_survives_a_power_cut_and_nothing_is_half(tmp_path: Path, variant: str) -> None:
    score, _ = lose_power_while_writing(tmp_path / "disk", variant, Effort(share=0.02, fates=2))
    assert score.wrong == []
    assert score.different > 50, "too few to prove anything"


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("variant", UNSAFE)
def test_settings_that_sqlite_would_choose_by_itself_lose_what_was_acknowledged(
    tmp_path: Path, variant: str
) -> None:
    """So that one can see the experiment fail."""
    score, _ = lose_power_while_writing(tmp_path / "disk", variant, Effort(share=0, fates=0), (0, 0))
    lost = [wrong for wrong in score.wrong if "acknowledged and lost: " in wrong]
    assert lost
    assert any("permit" in wrong for wrong in lost)


@pytest.mark.usefixtures("traced")
def test_a_power_cut_while_the_database_is_made_leaves_nothing_or_all_of_it(tmp_path: Path) -> None:
    score, found = lose_power_while_creating(tmp_path / "disk", Effort(share=0.2, fates=2))
    assert score.wrong == []
    assert {EMPTY, WHOLE} <= found.keys()
