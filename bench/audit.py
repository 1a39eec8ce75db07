"""How fast the whole history is verified and exported, and how much memory that takes."""

from __future__ import annotations

import asyncio
import filecmp
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import history
from bench.figures import PAIRS, QUICK_PAIRS, Figure, Say
from sandbox.process import KEPT, ROOT

ROW = "audit"
REQUESTS = 8_000
REQUESTS_QUICK = 500
TIMES = 8
"""How many times more events the larger of two databases has, between which memory must not grow."""

COMMANDS = ("audit verify", "audit export --format jsonl", "audit export --format csv")

Measured = tuple[float, float]
"""Seconds and MiB."""


async def measure(say: Say, quick: bool) -> list[Figure]:
    requests, pairs = (REQUESTS_QUICK, QUICK_PAIRS) if quick else (REQUESTS, PAIRS)
    with TemporaryDirectory(prefix="countersign-bench-") as folder:
        small, large = Path(folder, "small.db"), Path(folder, "large.db")
        history.build(f"sqlite:///{small}", requests // TIMES)
        history.build(f"sqlite:///{large}", requests)
        figures = []
        for command in COMMANDS:
            figures += await _one(command, small, large, requests * history.EVENTS, pairs)
            say(f"{ROW}: {command}")
    return figures


async def _one(command: str, small: Path, large: Path, events: int, pairs: int) -> list[Figure]:
    form = command.rpartition(" ")[2] if "export" in command else ""
    ours, floor = large.with_name(f"ours.{form}"), large.with_name(f"floor.{form}")
    options = [*command.split(), *(["--output", str(ours)] if form else [])]
    rates: tuple[list[float], list[float]] = ([], [])
    memory: tuple[list[float], list[float]] = ([], [])
    for _ in range(pairs):
        memory[1].append((await _run("bench.timed", small, *options))[1])
        seconds, most = await _run("bench.timed", large, *options)
        memory[0].append(most)
        rates[0].append(events / seconds)
        by_hand = [str(large), *([str(floor)] if form else [])]
        rates[1].append(events / (await _run("bench.floors.seal", large, *by_hand))[0])
        if form and not filecmp.cmp(ours, floor, shallow=False):
            raise RuntimeError(f"the floor of {command} writes something else")
    return [
        Figure(ROW, f"`{command}`", "events/s", *rates, at_least=0.5),
        Figure(ROW, f"memory of `{command}`; floor: {TIMES}x fewer events", "MiB", *memory, at_most=1.1),
    ]


async def _run(module: str, file: Path, *arguments: str) -> Measured:
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", module, *arguments),
        env=kept | {"PYTHONPATH": str(ROOT), "DATABASE_URL": f"sqlite:///{file}"},
        cwd=file.parent,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{module} ended with {process.returncode}")
    seconds, most = said.decode().split()
    return float(seconds), float(most)
