"""`run`: the bot itself, and `db upgrade`, which a release runs before it."""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack

from bot import traces
from bot.app import Bot, Roles
from bot.cli.console import (
    FAILED,
    OK,
    Commands,
    complain,
    database,
    must_be_current,
    plainly,
    read_settings,
    say,
)
from bot.errors import StorageError
from bot.logs import configure, get_logger, log_crashes
from bot.settings import Settings, SettingsError
from bot.store import disk, schema

log = get_logger(__name__)

SMALL = 100 * 2**20
"""Bytes of a database file that is looked through before anything else: that takes a quarter of a second."""
_CANNOT_LISTEN = {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES}


def add(commands: Commands) -> None:
    run = commands.add_parser("run", help="the bot itself")
    run.add_argument("--role", choices=("all", "web", "worker"), default="all")
    run.add_argument("--transport", choices=("auto", "socket", "http"), default="auto")
    run.set_defaults(command=_run)

    db = commands.add_parser("db", help="the database").add_subparsers(required=True, metavar="WHAT")
    db.add_parser("upgrade", help="bring it to the newest schema").set_defaults(command=_upgrade)


def _run(given: argparse.Namespace) -> int:
    _on_signals(lambda *_: sys.exit(OK))  # until `_serve` does better
    settings = read_settings()
    for variable in ("SLACK_BOT_TOKEN", "SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET"):
        os.environ.pop(variable, None)  # Bolt would take these on its own account, and complain or install
    configure(settings.log_level, settings.log_format, settings.secret_values())
    log_crashes()
    no_traces = traces.begin(os.environ)
    for warning in filter(None, [*settings.warnings, no_traces]):
        log.warning("settings", advice=warning)
    roles = Roles(web=given.role != "worker", worker=given.role != "web")
    if forgetful := disk.forgets(settings.database_url, os.environ):
        raise SettingsError([forgetful])
    with ExitStack() as held:
        with plainly():
            if roles.worker:
                # Two workers on one SQLite file would each take the other's unfinished work for left behind.
                held.enter_context(schema.sole_process(settings.database_url))
            is_whole = make_ready(settings.database_url)
        bot = Bot(settings, transport=_transport(given.transport, settings), roles=roles)
        held.callback(traces.end)
        try:
            asyncio.run(_serve(bot, "" if is_whole else settings.database_url))
        except OSError as problem:
            if problem.errno not in _CANNOT_LISTEN:
                raise
            where = f"{settings.host}:{settings.port}"
            complain(f"The bot cannot listen on {where}: {os.strerror(problem.errno)}.", FAILED)
    return OK


def _transport(wanted: str, settings: Settings) -> str:
    """As told, if there is what it takes."""
    if wanted == "socket" and settings.slack_app_token is None:
        raise SettingsError(["SLACK_APP_TOKEN is missing; --transport socket needs it."])
    if wanted == "http" and not settings.signing_secrets:
        raise SettingsError(["SLACK_SIGNING_SECRET is missing; --transport http needs it."])
    return wanted


async def _serve(bot: Bot, unseen: str) -> None:
    """Until SIGTERM or SIGINT. The signal may come more than once, and while the bot still starts.

    `unseen`: a database that was not looked through to its end. Raises `StorageError` when it is damaged.
    """
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    _on_signals(lambda *_: loop.call_soon_threadsafe(told.set))
    try:
        await _run_until(told, bot, unseen)
    finally:
        # Nothing is left to be told. Python's own answer would make a failure of the very last moment.
        _on_signals(signal.SIG_IGN)


async def _run_until(told: asyncio.Event, bot: Bot, unseen: str) -> None:
    starting = asyncio.create_task(bot.start())
    stopping = asyncio.create_task(told.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return
    await starting
    looking = asyncio.create_task(_look_through(unseen, told))
    await stopping
    await bot.stop()
    await looking


async def _look_through(unseen: str, told: asyncio.Event) -> None:
    """Beside the bot, which is told to stop when something is found."""
    try:
        problem = await asyncio.to_thread(schema.damage, unseen, told.is_set) if unseen else None
    except schema.Unfinished:
        return
    except StorageError as trouble:
        log.error("database_not_looked_through", why=trouble.advice)
        return
    if problem:
        told.set()
        raise StorageError(f"{problem} The bot has stopped. Restore a backup.")


def _on_signals(answer: Callable[..., object] | signal.Handlers) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, answer)


def _upgrade(_given: argparse.Namespace) -> int:
    url = database()
    with plainly(), schema.one_at_a_time(url):
        problem = schema.problem(url)
        if problem and "db upgrade" not in problem:
            # Not ours, or newer than we are: an upgrade would write into it all the same.
            raise StorageError(problem)
        schema.upgrade(url)
        must_be_current(url)
    say("The database is at the newest schema.")
    return OK


def make_ready(url: str) -> bool:
    """Fill a new database; refuse one that is not what this version works with. Returns whether all of it
    was looked through for damage, for which people need not wait where it is large."""
    with schema.one_at_a_time(url):
        schema.prepare(url)
        if schema.is_empty(url):
            schema.upgrade(url)
        must_be_current(url)
        if not schema.is_small(url, SMALL):
            return False
        if problem := schema.damage(url):
            raise StorageError(f"{problem} Restore a backup; nothing was changed.")
        return True
