"""`audit`: the chained history, by itself and against the channel."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from bot import acknowledge
from bot.anchors import accept, forgotten
from bot.audit import history
from bot.cli import channel, exported, report
from bot.cli.console import FAILED, OK, Commands, complain, database, opened, plainly, read_settings, say
from bot.logs import one_line
from bot.slack import SlackProblem
from bot.store.chain import Head
from bot.store.reading import reading


def add(commands: Commands) -> None:
    audit = commands.add_parser("audit", help="the history").add_subparsers(required=True, metavar="WHAT")
    verified = audit.add_parser("verify", help="walk the whole chain; exit 4 at the first wrong row")
    verified.add_argument("--export", metavar="FILE", type=Path, help="check this export by itself instead")
    verified.add_argument(
        "--channel", action="store_true", help="hold the channel against the history as well"
    )
    verified.add_argument(
        "--since", metavar="TIME", type=exported.moment, help="with --channel: requests made since then"
    )
    verified.set_defaults(command=_verify)
    exported.add(audit)
    report.add(audit)
    acknowledged = audit.add_parser(
        "acknowledge", help="go on with a database that is older than the channel, or another one"
    )
    acknowledged.add_argument("--yes", action="store_true", help="write it down; without it, only show")
    acknowledged.set_defaults(command=_acknowledge)


def _verify(given: argparse.Namespace) -> int:
    if given.export:
        return exported.verify(given.export)
    if given.channel:
        return channel.verify(given.since)
    with plainly(), reading(database()) as connection:
        head = history.verify(connection)
    say(f"The history verifies: {head.seq} events, head {head.hash}.")
    return OK


def _acknowledge(given: argparse.Namespace) -> int:
    settings = read_settings()
    with opened() as store:
        store.read_now(lambda unit: unit.verify(Head()))
        try:
            anchors = asyncio.run(acknowledge.ask_channels(settings))
        except SlackProblem as problem:
            complain(f"The channel cannot be read ({problem.code}). Nothing was written.", FAILED)
        lacking = store.read_now(lambda unit: forgotten(unit, anchors))
        if not lacking:
            say(acknowledge.NOTHING)
            return OK
        for line in store.read_now(lambda unit: acknowledge.report(unit, lacking)):
            say(one_line(line))
        if not given.yes:
            complain(acknowledge.HOW, FAILED)
        store.write_now(lambda unit: accept(unit, lacking))
    say(acknowledge.DONE)
    return OK
