"""How long the bot takes from its start until it is ready, and how much memory it holds then."""

from __future__ import annotations

from bench import history
from bench.figures import PAIRS, QUICK_PAIRS, Figure, Say
from bench.process import Process
from bench.stage import on_stage

ROW = "start"


async def measure(say: Say, quick: bool) -> list[Figure]:
    pairs = QUICK_PAIRS if quick else PAIRS
    seconds: tuple[list[float], list[float]] = ([], [])
    memory: tuple[list[float], list[float]] = ([], [])
    async with on_stage() as stage:
        database = f"sqlite:///{stage.folder / 'bot.db'}"
        history.build(database, 0)
        environment = stage.environment(database)
        for number in range(pairs):
            bot = Process("bot", environment, stage.folder, "run", "--transport", "http")
            floor = Process("bench.floors.nothing", environment, stage.folder)
            for process, taken, held in zip((bot, floor), seconds, memory, strict=True):
                taken.append(await process.start())
                held.append(process.resident_mib())
                await process.stop()
            say(f"{ROW}: pair {number + 1} of {pairs}")
    floor_is = "floor: imports Bolt, httpx and SQLModel and listens"
    return [
        Figure(ROW, f"from start to ready; {floor_is}", "s", *seconds, at_most=1.5),
        Figure(ROW, f"memory once it is ready; {floor_is}", "MiB", *memory, at_most=1.5),
    ]
