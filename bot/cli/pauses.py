"""`pause` and `resume`: stop sending cancels, from where the bot runs."""

from __future__ import annotations

import argparse
import getpass

from bot import pauses, typed
from bot.blocks.pauses import where, why
from bot.cli.console import BAD_SETTINGS, FAILED, OK, Commands, complain, opened, read_settings, say
from bot.logs import one_line
from bot.settings import Settings
from providers import ADAPTERS
from providers.contract import Facts

KNOWN = {adapter.facts.name: adapter.facts for adapter in ADAPTERS}


def add(commands: Commands) -> None:
    paused = commands.add_parser("pause", help="send nothing more to a provider, or to any")
    paused.add_argument("provider", nargs="?", metavar="PROVIDER", help="all of them when left out")
    paused.add_argument("--reason", default="No reason was given")
    paused.set_defaults(command=_pause)
    resumed = commands.add_parser("resume", help="end a pause")
    resumed.add_argument("provider", nargs="?", metavar="PROVIDER", help="the pause of all when left out")
    resumed.set_defaults(command=_resume)


def _pause(given: argparse.Namespace) -> int:
    if problem := typed.complaint("reason", given.reason):
        complain(problem, BAD_SETTINGS)
    facts, channels = _meant(given, read_settings())
    with opened() as store:
        if store.read_now(lambda unit: pauses.reveals(unit, given.reason, KNOWN)):
            complain(typed.reveals("reason"), BAD_SETTINGS)
        now, is_new = store.write_now(
            lambda unit: pauses.pause(unit, facts, _who(), one_line(given.reason), channels)
        )
    if is_new:
        say(one_line(f"{why(now, facts)}. The channel is told by the running bot."))
    else:
        since = f"since {now.since:%Y-%m-%d %H:%M} UTC by {now.by}"
        say(one_line(f"Cancelling {where(facts)} is paused already, {since}: {now.reason}"))
    return OK


def _resume(given: argparse.Namespace) -> int:
    facts, channels = _meant(given, read_settings())
    with opened() as store:
        told = store.write_now(lambda unit: pauses.resume(unit, facts, _who(), channels, KNOWN))
    say(one_line(told))
    return OK


def _meant(given: argparse.Namespace, settings: Settings) -> tuple[Facts | None, list[str]]:
    """The provider, or None for all, and the channels that have to know."""
    accounts = [one for one in settings.accounts if given.provider in (None, one.provider)]
    if not accounts:
        names = ", ".join(dict.fromkeys(one.provider for one in settings.accounts))
        complain(f"There is no provider {one_line(given.provider)!r} set up here, only: {names}.", FAILED)
    channels = [one.channel or settings.approval_channel for one in accounts]
    return KNOWN.get(given.provider or ""), list(dict.fromkeys(channels))


def _who() -> str:
    """Whoever is logged in on this machine, as far as it says."""
    try:
        return f"{getpass.getuser()} on the command line"
    except (KeyError, OSError):
        return "the command line"
