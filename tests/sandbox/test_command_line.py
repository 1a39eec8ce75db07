"""`make sandbox` as it is started, and the command line beside it."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


async def line_with(process: Process, text: str) -> str:
    assert process.stdout
    async with asyncio.timeout(30):
        while line := (await process.stdout.readline()).decode():
            if text in line:
                return line.strip()
    raise AssertionError(f"it ended without a line with {text!r}")


async def test_the_printed_command_asks_the_bot_that_runs_in_the_sandbox() -> None:
    sandbox = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sandbox", "--port", "0", cwd=ROOT, stdin=DEVNULL, stdout=PIPE
    )
    try:
        command = await line_with(sandbox, "-m bot requests list")
        assert command.startswith("set -a; . /")
        here = command.replace(".venv/bin/python", sys.executable)
        asked = await asyncio.create_subprocess_exec("sh", "-c", here, cwd=ROOT, stdout=PIPE, stderr=STDOUT)
        said, _ = await asked.communicate()
        assert asked.returncode == 0, said.decode()
    finally:
        sandbox.send_signal(signal.SIGINT)
        await sandbox.wait()
