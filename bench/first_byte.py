"""How long it takes from the last approval to the first byte at the provider."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

from bench.figures import PAIRS, QUICK_PAIRS, Figure, Say, quantile
from bench.process import running
from bench.script import record
from bench.stage import Stage, on_stage
from sandbox.slack.model import View
from sandbox.vendors.vendor import Call

ROW = "first-byte"
EACH = 5
"""Cancellations in each half of a pair; the middle one counts."""


async def measure(say: Say, quick: bool) -> list[Figure]:
    pairs = QUICK_PAIRS if quick else PAIRS
    taken: dict[str, list[float]] = {"bot": [], "": [], "--bare": []}
    async with on_stage() as stage, AsyncExitStack() as held:
        bot = await held.enter_async_context(running("bench.unpaced", stage.environment(), stage.folder))
        stage.talk_to(bot.url)
        form = await stage.form()
        await stage.workspace.person("dan").open_home(60)  # somebody's is always open
        script = str(await record(stage, form))
        processes = {"bot": bot}
        for option in ("", "--bare"):
            arguments = (script, *filter(None, [option]))
            floor = running("bench.floors.byhand", stage.environment(), stage.folder, *arguments)
            processes[option] = await held.enter_async_context(floor)
        for number in range(pairs):
            for name, process in processes.items():
                stage.talk_to(process.url)
                taken[name].append(quantile([await _one(stage, form) for _ in range(EACH)], 0.5))
            say(f"{ROW}: pair {number + 1} of {pairs}")
    what = "last approval to first byte at the provider"
    return [
        Figure(ROW, f"{what}; floor: {floor}", "ms", taken["bot"], taken[option], at_most=1.5)
        for floor, option in (("two commits and one call", "--bare"), ("and the same look-ups", ""))
    ]


async def _one(stage: Stage, form: View) -> float:
    vendor = stage.town.vendors["digicert"]
    reference = vendor.new_order()
    await stage.send(form, reference)
    card = await stage.card(reference)
    await stage.click("bob", card, "approve")
    await stage.calm()  # approvals come minutes apart
    arrived: list[float] = []

    def heard(call: Call, *_: object) -> None:
        if call.kind == "cancel":
            arrived.append(time.perf_counter())

    vendor.on_call.append(heard)
    began = await stage.clicked_at("carol", card, "approve")
    await vendor.wait_until(lambda: bool(arrived))
    vendor.on_call.remove(heard)
    await stage.outcome(card)
    return 1000 * (arrived[0] - began)
