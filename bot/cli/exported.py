"""`audit export`, and `audit verify --export`: the history as a file, and such a file checked by itself."""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from bot.audit.export import check, export
from bot.audit.formats import FORMATS
from bot.audit.history import Choice
from bot.cli.console import BAD_CHAIN, FAILED, OK, Commands, complain, database, plainly, say
from bot.errors import ChainBroken
from bot.model import State
from bot.store.reading import reading
from providers import ADAPTERS


def add(audit: Commands) -> None:
    exporting = audit.add_parser("export", help="write the history to a file, or to standard output")
    exporting.add_argument("--format", choices=list(FORMATS), default="jsonl")
    exporting.add_argument("--output", metavar="FILE", type=Path, help="appears when it is complete")
    exporting.add_argument("--since", metavar="TIME", type=moment, help="a date, or a date and time, in UTC")
    exporting.add_argument("--until", metavar="TIME", type=moment, help="what happened before that")
    exporting.add_argument("--provider", choices=[adapter.facts.name for adapter in ADAPTERS])
    exporting.add_argument("--person", metavar="USER", type=_person, help="events that name this person")
    exporting.add_argument(
        "--state", choices=[state.value for state in State], help="of requests that are in it now"
    )
    exporting.set_defaults(command=_export)


def moment(text: str) -> datetime:
    """A date, or a date and a time; UTC unless it says otherwise."""
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("must be like 2026-11-21 or 2026-11-21T17:00") from None
    return given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)


def _person(text: str) -> str:
    if not re.fullmatch(r"[UW][A-Z0-9]{1,30}", text, re.ASCII):
        raise argparse.ArgumentTypeError("must be the Slack ID of a person, such as U012ABCDEF")
    return text


def _export(given: argparse.Namespace) -> int:
    choice = Choice(given.since, given.until, given.provider, given.person, given.state)
    with plainly(), reading(database()) as connection:
        lines = export(connection, choice, FORMATS[given.format])
        if given.output is None:
            sys.stdout.buffer.writelines(lines)
            return OK
        with written(given.output) as file:
            file.writelines(lines)
    say(f"The export is in {given.output.resolve()}.")
    return OK


@contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """A file that has its name only when it is complete and on the disk; only its owner may read it."""
    part = ""
    try:
        number, part = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with os.fdopen(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as problem:
        complain(f"{path} cannot be written: {problem.strerror}.", FAILED)
    finally:
        with suppress(OSError):
            os.unlink(part)


def verify(path: Path) -> int:
    """Check one file, without a database."""
    try:
        with path.open("rb") as file:
            found = check(file)
    except OSError as problem:
        complain(f"{path} cannot be read: {problem.strerror}.", FAILED)
    except ChainBroken as broken:
        complain(f"The export does not verify: {broken.advice}.", BAD_CHAIN)
    if found.is_whole:
        say(f"The export verifies: {found.rows} events, head {found.last.hash}.")
    else:
        say(
            f"The export verifies: {found.rows} of the events {found.first} to {found.last.seq}, each by its "
            "own hash. Others were left out when it was made."
        )
    return OK
