"""How fast the whole history is verified and exported, and how much memory that takes."""

from __future__ import annotations

import asyncio
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

Measured = tuple[float, float]
"""Seconds and MiB."""


async def measure(say: Say, quick: bool) -> list[Figure]:
    requests, pairs = (REQUESTS_QUICK, QUICK_PAIRS) if quick else (REQUESTS, PAIRS)
    with TemporaryDirectory(prefix="countersign-bench-") as folder:
        small, large = Path(folder, "small.db"), Path(folder, "large.db")
        history.build(f"sqlite:///{small}", requests // TIMES)
        history.build(f"sqlite:///{large}", requests)
        figures = []
        for name in ("verify", "export"):
            figures += await _one(name, small, large, requests * history.EVENTS, pairs)
            say(f"{ROW}: {name}")
    return figures


async def _one(name: str, small: Path, large: Path, events: int, pairs: int) -> list[Figure]:
    output = large.with_suffix(".out")
    options = ["--output", str(output)] if name == "export" else []
    rates: tuple[list[float], list[float]] = ([], [])
    memory: tuple[list[float], list[float]] = ([], [])
    for _ in range(pairs):
        seconds, most = await _run("bench.timed", large, "audit", name, *options)
        rates[0].append(events / seconds)
        memory[0].append(most)
        memory[1].append((await _run("bench.timed", small, "audit", name, *options))[1])
        by_hand = [str(large), *([str(output)] if options else [])]
        rates[1].append(events / (await _run("bench.floors.seal", large, *by_hand))[0])
    return [
        Figure(ROW, f"`audit {name}`", "events/s", *rates, at_least=0.5),
        Figure(ROW, f"memory of `audit {name}`; floor: {TIMES}x fewer events", "MiB", *memory, at_most=1.1),
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
