"""`python -m sandbox`: a workspace to click in; `demo`: played by itself; `screenshots`: pictures of it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shlex
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from sandbox import demo, screenshots
from sandbox.process import BotProcess
from sandbox.town import Town

PORT = 8118
SETTINGS = {
    "PROVIDER_TIMEOUT": "5s",
    "RECONCILE_AFTER": "8s",
    "REMIND_AFTER": "2m",
    "LOG_FORMAT": "console",
    "LOG_LEVEL": "WARNING",
}
"""A newcomer should not wait long for what takes minutes at work. Everything else is the default."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("serve", "demo", "screenshots"), default="serve")
    parser.add_argument("--port", type=int, help=f"of the page; {PORT}, or any that is free")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        if given.what == "demo":
            sys.exit(asyncio.run(demo.play()))
        if given.what == "screenshots":
            sys.exit(asyncio.run(screenshots.take()))
        with tempfile.TemporaryDirectory(prefix="countersign-") as folder:
            port = _free(PORT) if given.port is None else given.port
            try:
                sys.exit(asyncio.run(_serve(port, Path(folder))))
            except OSError as problem:
                sys.exit(f"The page cannot be served on port {port}: {os.strerror(problem.errno or 0)}.")


async def _serve(port: int, folder: Path) -> int:
    """Start everything, print the address, stay until told to stop."""
    told = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, told.set)
    async with Town(port) as town:
        settings = town.environment(folder / "bot.db", **SETTINGS)
        bot = BotProcess(settings, folder)
        await bot.start("--transport", "socket")
        stopping = asyncio.create_task(told.wait())
        await town.workspace.bot_connected(timeout=60)
        _say(f"\n  Countersign is running in a pretend workspace:  {town.url}\n")
        _say("  Be Alice and type:  /cancel-order digicert 123456 ordered twice")
        _say("  Then be two of Bob, Carol and Dan, who are on call, and approve.")
        _say("  The command line, in another terminal:")
        _say(f"    set -a; . {_written(settings, folder)}; .venv/bin/python -m bot requests list")
        _say("  Ctrl-C ends it, and everything in it is gone; nothing here is real.\n")
        while not told.is_set():
            ended = asyncio.create_task(bot.ended())
            await asyncio.wait({stopping, ended}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done() and not told.is_set():
                _say("  The bot ended. It is started again, and goes on where it was.")
                await asyncio.sleep(1)
                await bot.start("--transport", "socket")
            ended.cancel()
        await bot.stop()
        stopping.cancel()
    return 0


def _written(settings: Mapping[str, str], folder: Path) -> Path:
    """The bot's settings as a file for a shell. Nothing in it is worth anything outside the sandbox."""
    file = folder / "env"
    file.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items()))
    return file


def _free(port: int) -> int:
    """The port, or any other where another sandbox has it already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
