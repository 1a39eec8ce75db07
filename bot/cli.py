"""The command line. Exit codes: 0 ok, 1 a check failed, 2 settings, 3 database, 4 audit chain."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bot import __version__, manifest
from bot.app import Bot, Roles, SlackRefusesUs, utc_now
from bot.blocks.words import word
from bot.errors import ChainBroken, StorageError
from bot.logs import configure
from bot.model import State
from bot.settings import Settings, SettingsError, database_url, read_environment
from bot.store import Store, schema
from bot.store.chain import Head
from providers import ADAPTERS

OK, FAILED, BAD_SETTINGS, BAD_DATABASE, BAD_CHAIN = range(5)

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    given = _parser().parse_args(arguments)
    command: Command = given.command
    try:
        sys.exit(command(given))
    except SettingsError as wrong:
        _complain("\n".join(wrong.problems), BAD_SETTINGS)
    except ChainBroken as broken:
        _complain(f"The history is broken at event {broken.seq}: {broken.advice}.", BAD_CHAIN)
    except StorageError as broken:
        _complain(broken.advice, BAD_DATABASE)
    except SlackRefusesUs as refused:
        _complain(str(refused), FAILED)
    except BrokenPipeError:
        sys.exit(OK)


def _complain(text: str, code: int) -> None:
    sys.stderr.write(text + "\n")
    sys.exit(code)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bot", description="Countersign")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="the bot itself")
    run.add_argument("--role", choices=("all", "web", "worker"), default="all")
    run.add_argument("--transport", choices=("auto", "socket", "http"), default="auto")
    run.set_defaults(command=_run)

    db = commands.add_parser("db", help="the database").add_subparsers(required=True, metavar="WHAT")
    db.add_parser("upgrade", help="bring it to the newest schema").set_defaults(command=_upgrade)

    requests = commands.add_parser("requests", help="what was asked for").add_subparsers(
        required=True, metavar="WHAT"
    )
    listing = requests.add_parser("list", help="the newest requests first")
    listing.add_argument("--state", choices=[state.value for state in State])
    listing.add_argument("--limit", type=int, default=50)
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(command=_list)
    show = requests.add_parser("show", help="one request and its history")
    show.add_argument("id", help="the request's ID, or the beginning of it")
    show.add_argument("--json", action="store_true")
    show.set_defaults(command=_show)

    audit = commands.add_parser("audit", help="the history").add_subparsers(required=True, metavar="WHAT")
    audit.add_parser("verify", help="walk the whole chain; exit 4 at the first wrong row").set_defaults(
        command=_verify
    )

    table = commands.add_parser("providers", help="which providers there are, and what they need")
    table.set_defaults(command=_providers)

    manifested = commands.add_parser("manifest", help="the Slack app as Slack should get it")
    manifested.add_argument("--json", action="store_true")
    manifested.add_argument("--url", help="where Slack reaches the bot over HTTP, instead of Socket Mode")
    manifested.set_defaults(command=_manifest)
    return parser


# --- run --------------------------------------------------------------------------------------------


def _run(given: argparse.Namespace) -> int:
    settings = _settings()
    configure(settings.log_level, settings.log_format, settings.secret_values())
    for warning in settings.warnings:
        sys.stderr.write(f"Warning: {warning}\n")
    roles = Roles(web=given.role != "worker", worker=given.role != "web")
    # Two workers on one SQLite file would each take the other's unfinished work for left behind.
    alone = schema.sole_process(settings.database_url) if roles.worker else nullcontext()
    with alone:
        if schema.is_empty(settings.database_url):
            schema.upgrade(settings.database_url)
        _must_be_current(settings.database_url)
        asyncio.run(_serve(Bot(settings, transport=given.transport, roles=roles)))
    return OK


async def _serve(bot: Bot) -> None:
    """Until SIGTERM or SIGINT. The signal may come more than once, and while the bot still starts."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, told.set)
    starting = asyncio.create_task(bot.start())
    stopping = asyncio.create_task(told.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return
    await starting
    await stopping
    await bot.stop()


def _settings() -> Settings:
    return Settings.from_env(read_environment(os.environ), ADAPTERS)


# --- the database and what is in it -----------------------------------------------------------------


def _upgrade(_given: argparse.Namespace) -> int:
    url = _database()
    schema.upgrade(url)
    _must_be_current(url)
    _say("The database is at the newest schema.")
    return OK


def _database() -> str:
    return database_url(read_environment(os.environ))


def _must_be_current(url: str) -> None:
    if problem := schema.problem(url):
        raise StorageError(problem)


def _store() -> Store:
    url = _database()
    _must_be_current(url)
    return Store(url, utc_now)


def _list(given: argparse.Namespace) -> int:
    states = [given.state] if given.state else []
    found = _store().read_now(lambda unit: unit.requests(states=states, limit=given.limit))
    if given.json:
        _say(json.dumps([_plain(request) for request in found], indent=2, ensure_ascii=False))
        return OK
    for request in found:
        approvals = f"{len(request.counted)}/{request.quorum}"
        _say(
            f"{request.id[:8]}  {request.created_at:%Y-%m-%d %H:%M}  {request.provider:<13} "
            f"{request.reference:<24} {request.requester.user:<12} {approvals}  {word(request.state)}"
        )
    return OK


def _show(given: argparse.Namespace) -> int:
    store = _store()
    found = store.read_now(lambda unit: unit.find(given.id.lower()))
    if len(found) != 1:
        advice = "Several requests begin with that ID." if found else "There is no request with that ID."
        _complain(advice, FAILED)
    request = found[0]
    history = store.read_now(lambda unit: unit.history(request.id))
    if given.json:
        events = [{"at": at.isoformat(), **_plain(event)} for event, at in history]
        _say(json.dumps({**_plain(request), "events": events}, indent=2, ensure_ascii=False))
        return OK
    _say(f"{request.id}\n{request.provider} {request.reference}: {word(request.state)}")
    _say(f"asked by {request.requester.user}: {_one_line(request.reason)}")
    if request.outcome:
        _say(f"the provider said: {_one_line(request.outcome.said)}")
    for event, at in history:
        by = getattr(event, "by", None)
        _say(f"  {at:%Y-%m-%d %H:%M:%S}  {event.kind:<18} {by.user if by else ''}".rstrip())
    return OK


def _one_line(text: str) -> str:
    """What somebody typed, without what a terminal would obey."""
    return "".join(character if character.isprintable() else " " for character in text)


def _plain(record: Any) -> dict[str, Any]:
    """A record as JSON can say it."""
    data: dict[str, Any] = json.loads(json.dumps(asdict(record), default=str))
    return data


def _verify(_given: argparse.Namespace) -> int:
    head = _store().read_now(lambda unit: unit.verify(Head()))
    _say(f"The history verifies: {head.seq} events, head {head.hash}.")
    return OK


# --- what the bot is --------------------------------------------------------------------------------


def _providers(_given: argparse.Namespace) -> int:
    environment = read_environment(os.environ)
    for adapter in ADAPTERS:
        facts = adapter.facts
        needed = [setting.name for setting in facts.settings if setting.default is None]
        enabled = all(environment.get(name) or environment.get(f"{name}_FILE") for name in needed)
        _say(f"{facts.label} ({facts.name}): {'enabled' if enabled else 'not enabled'}")
        _say(f"  {facts.reference_label}: {facts.reference_form}")
        _say(f"  Cancelling: {facts.consequence}")
        _say(f"  Limits: {facts.limits}")
        _say(f"  Settings: {', '.join(setting.name for setting in facts.settings)}")
    return OK


def _manifest(given: argparse.Namespace) -> int:
    _say(manifest.render(Path("manifest.yml"), as_json=given.json, url=given.url))
    return OK
