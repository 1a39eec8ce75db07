"""`simulate`: who could approve a request now. Changes nothing."""

from __future__ import annotations

import argparse
import asyncio
import re

from bot import pauses
from bot.accounts import Account
from bot.cli.console import FAILED, OK, Commands, complain, opened, read_settings, say
from bot.cli.pauses import KNOWN
from bot.cli.visit import Visit, visiting
from bot.directory import Directory
from bot.logs import one_line
from bot.model import Person
from bot.settings import Settings
from bot.simulate import Simulation, Style, in_words, simulate
from bot.slack import SlackProblem
from bot.store.transaction import utc_now

PLAIN = Style(str, lambda at: f"{at:%Y-%m-%d %H:%M} UTC", str)
_USER = re.compile(r"[UW][A-Z0-9]{1,20}", re.ASCII)


def add(commands: Commands) -> None:
    simulated = commands.add_parser("simulate", help="who could approve a request now")
    simulated.add_argument("--requester", required=True, type=_user, metavar="USER")
    simulated.add_argument("--provider", required=True, metavar="NAME")
    simulated.add_argument("--account", default="", metavar="NAME", help="where there are several")
    simulated.set_defaults(command=_simulate)


def _user(text: str) -> str:
    if not _USER.fullmatch(text):
        raise argparse.ArgumentTypeError("must be a Slack user ID such as U0123456789")
    return text


def _simulate(given: argparse.Namespace) -> int:
    settings = read_settings()
    if given.provider not in KNOWN:
        complain(f"There is no provider {one_line(given.provider)!r}.", FAILED)
    with opened() as store:
        facts = KNOWN[given.provider]
        paused = store.read_now(lambda unit: pauses.why_paused(unit, facts, KNOWN))
    try:
        found = asyncio.run(_ask(settings, given, paused))
    except SlackProblem as problem:
        complain(f"Slack cannot be asked ({problem.code}).", FAILED)
    for line in in_words(found, PLAIN):
        say(one_line(line))
    return OK if found.can_be_approved else FAILED


async def _ask(settings: Settings, given: argparse.Namespace, paused: str) -> Simulation:
    async with visiting(settings) as visit:
        account = _account(visit, given)
        identity = await visit.slack.whoami()
        directory = Directory(visit.people, identity.team)
        requester = Person(identity.team, given.requester)
        await asyncio.gather(directory.refresh(*visit.lists), directory.ask([requester]))
        if directory.is_nobody(requester):
            complain(f"There is no {requester.user} in this workspace.", FAILED)
        return simulate(
            directory,
            account,
            requester,
            requesters=settings.requesters,
            escalation=(settings.escalate_after, settings.escalate_to),
            paused=paused,
            now=utc_now(),
        )


def _account(visit: Visit, given: argparse.Namespace) -> Account:
    names = visit.accounts.names_of(given.provider)
    account = visit.accounts.find(given.provider, given.account or (names[0] if len(names) == 1 else ""))
    if account is None:
        known = ", ".join(filter(None, names)) or "none is set up"
        complain(f"Which account of {given.provider}? There are: {known}.", FAILED)
    return account
