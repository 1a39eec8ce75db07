"""`doctor`: is everything set up so that the bot can do its work. Changes nothing."""

from __future__ import annotations

import argparse
import asyncio

from bot import doctor, manifest
from bot.cli.console import FAILED, OK, Commands, database, plainly, read_settings, say
from bot.cli.visit import Visit, visiting
from bot.directory import Directory
from bot.doctor import Finding
from bot.errors import ChainBroken, StorageError
from bot.logs import Redactor, one_line
from bot.settings import Settings
from bot.slack import Slack
from bot.store import Store, schema
from bot.store.chain import Head


def add(commands: Commands) -> None:
    checked = commands.add_parser("doctor", help="look at everything that the bot needs")
    checked.set_defaults(command=_doctor)


def _doctor(_given: argparse.Namespace) -> int:
    settings = read_settings()
    redactor = Redactor(settings.secret_values())
    findings = [_database(), *asyncio.run(_outside(settings))]
    for finding in findings:
        say(one_line(redactor.text(str(finding))))
    for warning in settings.warnings:
        say(one_line(redactor.text(f"note  {warning}")))
    return FAILED if any(finding.fix for finding in findings) else OK


async def _outside(settings: Settings) -> list[Finding]:
    async with visiting(settings) as visit:
        token, identity = await doctor.bot_token(visit.slack)
        found = [token, *await _app_token(settings)]
        if identity is not None:
            channels = dict.fromkeys(account.channel for account in visit.accounts)
            found += [
                doctor.scopes(visit.slack, _wanted_scopes()),
                *[await doctor.channel(visit.slack, one) for one in channels],
                *await _people(visit, identity.team),
                doctor.clock(visit.slack),
            ]
        return found + await doctor.credentials(visit.accounts, 2 * settings.provider_timeout.total_seconds())


async def _app_token(settings: Settings) -> list[Finding]:
    if settings.slack_app_token is None:
        return []
    slack = Slack(settings.slack_app_token.get_secret_value(), settings.slack_api_url)
    try:
        return [await doctor.app_token(slack)]
    finally:
        await slack.close()


async def _people(visit: Visit, team: str) -> list[Finding]:
    directory = Directory(visit.people, team)
    await directory.refresh(*visit.lists)
    names = sorted({*visit.accounts.approvers, *visit.settings.escalate_to})
    requesters = visit.settings.requesters
    return [
        *doctor.approvers(directory, names, team),
        *(doctor.quorum(directory, account, requesters, team) for account in visit.accounts),
    ]


def _wanted_scopes() -> list[str]:
    """Those of the manifest that this version comes with."""
    import yaml  # see bot/manifest.py

    try:
        given = yaml.safe_load(manifest.SOURCE.read_text("utf-8"))
    except FileNotFoundError:
        return []
    return list(given["oauth_config"]["scopes"]["bot"])


def _database() -> Finding:
    """Reachable, of this version, durable, and with a history that verifies."""
    what = "database"
    try:
        with plainly():
            url = database()
            if schema.is_empty(url):
                return Finding(what, "is empty; the first start sets it up")
            if problem := schema.problem(url):
                return Finding(what, problem, "The bot does not start before that.")
            if problem := schema.damage(url):
                return Finding(what, problem, "The bot does not start on it. Restore a backup.")
            store = Store(url)
            try:
                store.write_now(lambda _unit: None)  # opens it as the bot does, which insists on durability
                head = store.read_now(lambda unit: unit.verify(Head()))
            finally:
                store.close()
    except ChainBroken as broken:
        return Finding(what, f"the history does not verify: {broken.advice}", "Restore a backup.")
    except StorageError as problem:
        return Finding(what, problem.advice, "See DATABASE_URL.")
    return Finding(what, f"durable, at the newest schema, {head.seq} events in the history")
