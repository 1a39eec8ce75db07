"""What a long past costs: the same clicks, commands and starts beside an empty database."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import cycle
from pathlib import Path

from bench import history
from bench.figures import PAIRS, QUICK_PAIRS, Figure, Say, quantile
from bench.process import Process
from bench.stage import Stage, button, on_stage
from sandbox.slack.model import Message, View

ROW = "growth"
REQUESTS = history.REQUESTS
REQUESTS_QUICK = 1_000
LONG_START = 600.0
"""Seconds within which it is ready and has walked all of its past."""
FEW = 1_000
"""Requests with which every list that people look at is full."""
HOME, HOME_AGAIN = "App Home after a change", "App Home again"
"""The first has to be read anew, the second is as it was for whoever looked before."""
PAST_PEOPLE = history.PEOPLE[2:]
"""Each of them has asked for as much as everybody else."""
EACH = 12
"""Times that each thing is done in each half of a pair; the middle one counts."""

Acts = dict[str, Callable[[], Awaitable[float]]]


async def measure(say: Say, quick: bool, requests: int = REQUESTS) -> list[Figure]:
    requests, pairs = (REQUESTS_QUICK, QUICK_PAIRS) if quick else (requests, PAIRS)
    async with on_stage() as stage:
        file = stage.folder / "past.db"
        say(f"{ROW}: building {requests} requests with {history.EVENTS * requests} events")
        history.build(f"sqlite:///{file}", requests)
        figures = await _starts(stage, file, pairs, say)
        figures += await _acts_in_pairs(stage, file, requests, pairs, say)
    return figures


async def _starts(stage: Stage, file: Path, pairs: int, say: Say) -> list[Figure]:
    taken: tuple[list[float], list[float]] = ([], [])
    verified: tuple[list[float], list[float]] = ([], [])
    empty = stage.folder / "empty.db"
    history.build(f"sqlite:///{empty}", 0)
    for number in range(pairs):
        for database, seconds, more in zip((file, empty), taken, verified, strict=True):
            process = _bot(stage, database)
            seconds.append(await process.start())
            began = time.perf_counter()
            await process.verified()
            more.append(seconds[-1] + time.perf_counter() - began)
            await process.stop()
        say(f"{ROW}: start {number + 1} of {pairs}")
    floor = "floor: an empty database"
    return [
        Figure(ROW, f"start with a long past; {floor}", "s", *taken, at_most=2),
        Figure(ROW, f"from start until something may be executed; {floor}", "s", *verified),
    ]


def _bot(stage: Stage, file: Path, *command: str) -> Process:
    environment = stage.environment(f"sqlite:///{file}", APPROVALS_REQUIRED="3")
    command = command or ("bot", "run", "--transport", "http")
    return Process(command[0], environment, stage.folder, *command[1:], patience=LONG_START)


async def _acts_in_pairs(stage: Stage, file: Path, requests: int, pairs: int, say: Say) -> list[Figure]:
    async with AsyncExitStack() as held:
        sides = []
        few = stage.folder / "few.db"
        history.build(f"sqlite:///{few}", FEW)
        for database in (file, stage.folder / "empty.db", few):
            process = _bot(stage, database, "bench.unpaced")  # asking posts more than Slack bears
            await process.start()
            held.push_async_callback(process.stop)
            await process.verified()
            card = await _card(stage, process)
            known = history.id_of(requests // 2)[:12] if database == file else _id(card)
            sides.append((process, _acts(stage, card, known, await stage.form())))
        taken: dict[str, tuple[list[float], ...]] = {name: ([], [], []) for name in sides[0][1]}
        for number in range(pairs):
            for side, (process, acts) in enumerate(sides):
                stage.talk_to(process.url)
                for name, act in acts.items():
                    taken[name][side].append(1000 * quantile([await act() for _ in range(EACH)], 0.5))
            say(f"{ROW}: pair {number + 1} of {pairs}")
    figures = [
        Figure(ROW, f"{name} with a long past; floor: an empty database", "ms", ours, empty, at_most=1.2)
        for name, (ours, empty, _) in taken.items()
    ]
    figures += [
        Figure(
            ROW,
            f"{name} with a long past; floor: {FEW} requests, so that it shows as much",
            "ms",
            taken[name][0],
            taken[name][2],
            at_most=1.2,
        )
        for name in (HOME, HOME_AGAIN)
    ]
    return figures


async def _card(stage: Stage, process: Process) -> Message:
    """A card that Carol has approved, so that its buttons are all there."""
    stage.talk_to(process.url)
    form = await stage.form()
    reference = stage.references(form)[0]
    await stage.send(form, reference)
    card = await stage.card(reference)
    await stage.click("carol", card, "approve")
    await stage.workspace.wait_until(lambda: button(card, "take_back"), 30)
    return card


def _id(card: Message) -> str:
    found = button(card, "approve")
    return str(found[1]["value"])[:12] if found else ""


def _acts(stage: Stage, card: Message, known: str, form: View) -> Acts:
    people = cycle(stage.people(PAST_PEOPLE))  # nobody may have more than twenty open requests

    async def ask() -> float:
        reference, who = stage.town.vendors["digicert"].new_order(), next(people).id
        began = time.perf_counter()
        await stage.send(form, reference, who)
        taken = time.perf_counter() - began
        await stage.card(reference)
        return taken

    async def vote() -> float:
        return await stage.click("bob", card, "approve") + await stage.click("bob", card, "take_back")

    async def home() -> float:
        began = time.perf_counter()
        await stage.workspace.person("alice").open_home(60)
        return time.perf_counter() - began

    async def changed_home() -> float:
        await vote()
        return await home()

    return {
        "`status`": lambda: stage.type("alice", f"status {known}"),
        "`mine`": lambda: stage.type("alice", "mine"),
        "`pending`": lambda: stage.type("carol", "pending"),
        "`history`": lambda: stage.type("carol", "history"),
        "`history` of a provider that was never asked": lambda: stage.type("carol", "history payvalida"),
        "asking": ask,
        "approve and take back": vote,
        HOME: changed_home,
        HOME_AGAIN: home,
    }
