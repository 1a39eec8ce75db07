"""The benchmark: its arithmetic, and that its floors and its bot run."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import history, start
from bench.figures import QUICK_PAIRS, Figure, as_json, quantile, table
from bot.model import State
from bot.store import Store
from bot.store.chain import Head


def figure(**limits: float) -> Figure:
    return Figure("row", "an answer", "ms", [30.0, 10.0, 20.0], [10.0, 10.0, 10.0], **limits)


def test_a_ratio_is_taken_within_each_pair_and_shown_with_its_spread() -> None:
    assert figure().ratios == [3.0, 1.0, 2.0]
    assert "| an answer | 20 ms | 10 ms | 2.00x (1.00 to 3.00) | - | - |" in table([figure()])


@pytest.mark.parametrize(
    ("limits", "reached"),
    [
        ({"at_most": 2.0}, True),
        ({"at_most": 1.9}, False),
        ({"at_least": 2.0}, True),
        ({"at_least": 2.1}, False),
        ({"at_most": 2.0, "ceiling": 30.0}, True),
        ({"at_most": 2.0, "ceiling": 29.0}, False),
        ({}, None),
    ],
)
def test_what_is_to_be_reached_is_held_against_the_median_and_the_ceiling_against_all(
    limits: dict[str, float], reached: bool | None
) -> None:
    assert figure(**limits).is_reached is reached
    assert as_json([figure(**limits)], quick=True, seconds=1)["figures"][0]["is_reached"] is reached


def test_a_quantile_is_one_of_the_values() -> None:
    assert quantile(range(1, 101), 0.99) == 99
    assert quantile([5.0], 0.5) == 5.0
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0


def test_the_raw_results_do_not_name_the_machine() -> None:
    machine = as_json([figure()], quick=False, seconds=1)["machine"]
    assert set(machine) == {"cores", "architecture", "python", "load_1m"}
    assert str(Path.home()) not in str(machine)


async def test_a_row_measures_the_real_process_beside_its_floor() -> None:
    said: list[str] = []
    ready, memory = await start.measure(said.append, quick=True)
    assert len(ready.ratios) == len(memory.ratios) == len(said) == QUICK_PAIRS
    assert all(0.1 < ratio < 10 for figure in (ready, memory) for ratio in figure.ratios)


def test_a_past_that_was_made_for_a_measurement_verifies_and_adds_up(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'past.db'}"
    history.build(url, 3)
    store = Store(url)
    try:
        assert store.read_now(lambda unit: unit.verify(Head())).seq == 3 * history.EVENTS
        for number in range(3):
            request = store.read_now(lambda unit, number=number: unit.request(history.id_of(number)))  # type: ignore[misc]
            assert request is not None
            store.read_now(lambda unit, request=request: unit.prove(request))  # type: ignore[misc]
            assert request.state is State.CANCELLED
    finally:
        store.close()
