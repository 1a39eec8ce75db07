"""The command line. Exit codes: 0 ok, 1 a check failed, 2 settings, 3 database, 4 audit chain."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from bot import __version__
from bot.app import SlackRefusesUs
from bot.cli import about, audit, doctor, pauses, requests, run, simulate
from bot.cli.console import BAD_CHAIN, BAD_DATABASE, BAD_SETTINGS, FAILED, INTERRUPTED, OK, complain
from bot.errors import ChainBroken, StorageError
from bot.logs import only_warnings
from bot.settings import SettingsError

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code."""
    try:
        try:
            given = _parser().parse_args(arguments)
            command: Command = given.command
            with only_warnings():  # `run` sets up a log of its own
                sys.exit(command(given))
        finally:
            sys.stdout.flush()
    except SettingsError as wrong:
        complain("\n".join(wrong.problems), BAD_SETTINGS)
    except ChainBroken as broken:
        complain(f"The history does not verify: {broken.advice}.", BAD_CHAIN)
    except StorageError as broken:
        complain(broken.advice, BAD_DATABASE)
    except SlackRefusesUs as refused:
        complain(str(refused), FAILED)
    except BrokenPipeError:
        # Whoever read has enough, as `head` does. Python would complain once more while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(OK)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bot", description="Countersign")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for each in (run, requests, audit, pauses, doctor, simulate, about):
        each.add(commands)
    return parser
