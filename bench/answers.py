"""How soon clicks and commands are answered while a provider hangs and Slack is slow."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from itertools import cycle, islice

from bench.figures import PAIRS, QUICK_PAIRS, Figure, Say, quantile
from bench.process import Process, running
from bench.slow import slowed
from bench.stage import Stage, button, on_stage
from sandbox.slack.model import Message
from sandbox.vendors.vendor import Fault

ROW = "answers"
A_SECOND = 20
"""How many clicks and commands arrive in each second, however long the answers take."""
SECONDS = 5
SLACK_TAKES = 0.2
HANGING = 4
"""Requests whose look-up hangs at the other provider."""

WAITS_FOR_SLACK = ("form", "details")
"""Those that open a view, which takes a call to Slack before the answer: in the floor as well."""

Acts = dict[str, Callable[[], Awaitable[float]]]


async def measure(say: Say, quick: bool) -> list[Figure]:
    pairs = QUICK_PAIRS if quick else PAIRS
    async with on_stage() as stage, AsyncExitStack() as held:
        address = await held.enter_async_context(slowed(stage.environment()["SLACK_API_URL"], SLACK_TAKES))
        bot = await held.enter_async_context(
            running(
                "bot",
                stage.environment(SLACK_API_URL=address, APPROVALS_REQUIRED="3"),
                stage.folder,
                *("run", "--transport", "http"),
            )
        )
        card, views = await _prepared(stage, bot)
        rounds: dict[str, list[dict[str, list[float]]]] = {"bot": [], "": [], "--commit": []}
        floors = {
            option: await held.enter_async_context(_floor(stage, address, views, option))
            for option in ("", "--commit")
        }
        for number in range(pairs):
            for name, process in (("bot", bot), *floors.items()):
                stage.talk_to(process.url)
                rounds[name].append(await _load(_acts(stage, card), 2 if quick else SECONDS))
            say(f"{ROW}: pair {number + 1} of {pairs}")
        for name in ("cpanel", "digicert"):
            stage.town.vendors[name].stop_failing()
            stage.town.vendors[name].release()
    return _figures(rounds)


def _floor(stage: Stage, address: str, views: str, option: str) -> AbstractAsyncContextManager[Process]:
    environment = stage.environment(SLACK_API_URL=address)
    return running("bench.floors.noop", environment, stage.folder, views, *filter(None, [option]))


async def _prepared(stage: Stage, bot: Process) -> tuple[Message, str]:
    """A card that waits for approvals, and a file with the views that the bot opens about it. From then on
    everything at another provider hangs."""
    stage.talk_to(bot.url)
    form = await stage.form()
    reference = stage.references(form)[0]
    await stage.send(form, reference)
    card = await stage.card(reference)
    await stage.click("bob", card, "details")
    await stage.click("carol", card, "approve")
    await stage.workspace.wait_until(lambda: button(card, "take_back"), 30)
    opened = [call.args["view"] for call in stage.workspace.calls if call.method == "views.open"]
    views = stage.folder / "views.json"
    views.write_text(json.dumps([opened[0], opened[-1]]), "utf-8")
    hanging = stage.town.vendors["cpanel"]
    form = await stage.form("cpanel")
    hanging.fail_next(Fault.HANG, on="read", times=1000)
    for _ in range(HANGING):
        await stage.send(form, hanging.new_order())
    await hanging.wait_until(lambda: hanging.hanging >= HANGING)
    return card, str(views)


def _acts(stage: Stage, card: Message) -> Acts:
    """What people do, in equal parts. Three have to approve; Carol has, and Bob does and takes it back
    in turns."""
    reference = card.text.partition("`")[2].partition("`")[0]
    return {
        "form": lambda: stage.type("alice", f"digicert {reference} ordered twice"),
        "help": lambda: stage.type("alice", "help"),
        "approve": lambda: stage.click("bob", card, "approve"),
        "mine": lambda: stage.type("alice", "mine"),
        "pending": lambda: stage.type("carol", "pending"),
        "details": lambda: stage.click("dan", card, "details"),
        "take_back": lambda: stage.click("bob", card, "take_back"),
        "history": lambda: stage.type("dan", "history"),
    }


async def _load(acts: Acts, seconds: float) -> dict[str, list[float]]:
    """The seconds of each answer, by what was done. What is slow to answer holds up nothing behind it."""
    taken: dict[str, list[float]] = {name: [] for name in acts}

    async def act(name: str, at: float) -> None:
        await asyncio.sleep(at - time.monotonic())
        taken[name].append(await acts[name]())

    began = time.monotonic()
    names = islice(cycle(acts), int(seconds * A_SECOND))
    await asyncio.gather(*(act(name, began + number / A_SECOND) for number, name in enumerate(names)))
    return taken


def _figures(rounds: dict[str, list[dict[str, list[float]]]]) -> list[Figure]:
    """Against a no-op; and, without what waits for Slack, against one that commits what was decided."""

    def of(name: str, share: float, left_out: Collection[str]) -> list[float]:
        kept = [[s for act, each in one.items() if act not in left_out for s in each] for one in rounds[name]]
        return [1000 * quantile(seconds, share) for seconds in kept]

    figures = []
    for what, floor, left_out in (
        ("answer to clicks and commands", "", ()),
        ("those that need no call to Slack", "--commit", WAITS_FOR_SLACK),
    ):
        middle = of("bot", 0.5, left_out), of(floor, 0.5, left_out)
        slowest = of("bot", 0.99, left_out), of(floor, 0.99, left_out)
        figures += [
            Figure(ROW, f"{what}, p50", "ms", *middle),
            Figure(ROW, f"{what}, p99", "ms", *slowest, at_most=1.5, ceiling=2500),
        ]
    return figures
