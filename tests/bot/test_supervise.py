"""Background loops do not die quietly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bot import supervise
from bot.supervise import Supervisor


@pytest.fixture
async def supervisor(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Supervisor]:
    monkeypatch.setattr(supervise, "FIRST_PAUSE", 0.005)
    monkeypatch.setattr(supervise, "LONGEST_PAUSE", 0.04)
    monkeypatch.setattr(supervise, "STEADY", 0.2)
    supervisor = Supervisor()
    yield supervisor
    await supervisor.stop(1)


class Loop:
    """Fails as often as it is told, each time as it is told; then runs."""

    def __init__(self, *failures: BaseException | None) -> None:
        self._failures = list(failures)
        self.starts: list[float] = []
        self.well = asyncio.Event()

    async def run(self) -> None:
        self.starts.append(asyncio.get_running_loop().time())
        if not self._failures:
            self.well.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0.01)  # it works for a while
        if (failure := self._failures.pop(0)) is not None:
            raise failure


async def is_well(supervisor: Supervisor, loop: Loop) -> None:
    async with asyncio.timeout(5):
        await loop.well.wait()
        while supervisor.failing:  # noqa: ASYNC110
            await asyncio.sleep(0.005)  # a timer ends it


@pytest.mark.parametrize("failure", [ValueError("odd"), asyncio.CancelledError(), TimeoutError(), None])
async def test_a_loop_that_ends_however_it_ends_is_started_again(
    supervisor: Supervisor, failure: BaseException | None
) -> None:
    loop = Loop(failure, failure)
    supervisor.keep_running("a loop", loop.run)
    await is_well(supervisor, loop)
    assert len(loop.starts) == 3


async def test_a_loop_that_fails_again_and_again_waits_longer_and_shows_all_the_while(
    supervisor: Supervisor,
) -> None:
    loop = Loop(*[ValueError("odd")] * 6)
    supervisor.keep_running("a loop", loop.run)
    while not loop.well.is_set():
        assert supervisor.failing == {"a loop": "ValueError"} or len(loop.starts) <= 1
        await asyncio.sleep(0)
    assert supervisor.failing == {"a loop": "ValueError"}
    pauses = [later - earlier for earlier, later in zip(loop.starts, loop.starts[1:], strict=False)]
    for pause, least in zip(pauses, [0.01, 0.02, 0.04, 0.04, 0.04, 0.04], strict=True):
        assert pause >= least * 0.9
    await is_well(supervisor, loop)


async def test_one_that_fails_does_not_disturb_the_others(supervisor: Supervisor) -> None:
    bad, good = Loop(*[ValueError("odd")] * 3), Loop()
    supervisor.keep_running("bad", bad.run)
    supervisor.keep_running("good", good.run)
    await is_well(supervisor, bad)
    assert len(good.starts) == 1


async def test_loops_end_when_they_are_told_to(supervisor: Supervisor) -> None:
    loops = [Loop(), Loop(*[ValueError("odd")] * 1000)]
    for loop in loops:
        supervisor.keep_running("a loop", loop.run)
    await loops[0].well.wait()
    async with asyncio.timeout(1):
        await supervisor.stop(5)
    starts = [len(loop.starts) for loop in loops]
    await asyncio.sleep(0.1)  # nothing is to happen
    assert [len(loop.starts) for loop in loops] == starts


async def test_work_is_given_time_to_end_and_then_cut_off(supervisor: Supervisor) -> None:
    ended: list[str] = []

    async def work(name: str, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
            ended.append(name)
        except asyncio.CancelledError:
            ended.append(f"{name} was cut off")
            raise

    supervisor.start(work("short", 0.01), "short")
    supervisor.start(work("long", 60), "long")
    await supervisor.stop(0.1)
    assert ended == ["short", "long was cut off"]
