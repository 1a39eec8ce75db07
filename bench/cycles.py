"""How many cancellations a second: form, card, two approvals, send, outcome posted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

from bench.figures import PAIRS, QUICK_PAIRS, Figure, Say
from bench.process import Process, running
from bench.script import record
from bench.stage import Stage, all_of, on_stage
from sandbox.slack.model import View

ROW = "cycles"
CYCLES = 96
AT_ONCE = 8


async def measure(say: Say, quick: bool) -> list[Figure]:
    pairs = QUICK_PAIRS if quick else PAIRS
    figures = await _on("SQLite", "", "", say, pairs, quick)
    with two_databases() as given:
        if given:
            figures += await _on("Postgres", *given, say, pairs, quick)
        else:
            say(f"{ROW}: no Postgres here, left out")
    return figures


@contextmanager
def two_databases() -> Iterator[tuple[str, str] | None]:
    """Of a server that is started for it; the second is empty. None where there is no Postgres."""
    from tests import postgres

    if postgres.why_not():
        yield None
        return
    with postgres.new_database() as ours, postgres.new_database(empty=True) as floors:
        yield ours, floors


async def _on(where: str, ours: str, floors: str, say: Say, pairs: int, quick: bool) -> list[Figure]:
    rates: tuple[list[float], list[float]] = ([], [])
    costs: tuple[list[float], list[float]] = ([], [])
    async with on_stage() as stage, AsyncExitStack() as held:
        start = held.enter_async_context
        bot = await start(running("bench.unpaced", stage.environment(ours), stage.folder))
        stage.talk_to(bot.url)
        form = await stage.form()
        script = str(await record(stage, form))
        floor = await start(running("bench.floors.byhand", stage.environment(floors), stage.folder, script))
        for number in range(pairs):
            for process, rate, cost in zip((bot, floor), rates, costs, strict=True):
                before = process.processor_seconds()
                rate.append(await _rate(stage, process, form, 8 if quick else CYCLES))
                cost.append(1000 * (process.processor_seconds() - before) / (8 if quick else CYCLES))
            say(f"{ROW}: pair {number + 1} of {pairs} on {where}")
    return [
        Figure(ROW, f"full cycles on {where}", "/s", *rates, at_least=0.6),
        Figure(ROW, f"processor time of one on {where}", "ms", *costs),
    ]


async def _rate(stage: Stage, process: Process, form: View, cycles: int) -> float:
    stage.talk_to(process.url)
    began = time.perf_counter()
    await all_of([_one(stage, form) for _ in range(cycles)], AT_ONCE)
    return cycles / (time.perf_counter() - began)


async def _one(stage: Stage, form: View) -> None:
    reference = stage.town.vendors["digicert"].new_order()
    await stage.send(form, reference)
    card = await stage.card(reference)
    await stage.click("bob", card, "approve")
    await stage.click("carol", card, "approve")
    await stage.outcome(card)
