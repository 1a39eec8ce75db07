"""The command line. Exit codes: 0 ok, 1 a check failed, 2 settings, 3 database, 4 audit chain."""

from __future__ import annotations

import argparse
import asyncio
import errno
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any, NoReturn

from sqlalchemy.exc import DBAPIError

from bot import __version__, acknowledge, manifest
from bot.app import Bot, Roles, SlackRefusesUs
from bot.blocks.words import FINDINGS, in_words
from bot.errors import ChainBroken, StorageError
from bot.logs import configure, get_logger, log_crashes, one_line
from bot.model import (
    Answered,
    ApprovalTakenBack,
    ApprovalVerified,
    ApprovalVoided,
    Approved,
    AttemptRefused,
    Closed,
    ClosingProposed,
    Denied,
    Escalated,
    Event,
    FollowedUp,
    Held,
    Interrupted,
    OrderRead,
    Permitted,
    PersonCalled,
    Questioned,
    QuorumReached,
    Request,
    Requested,
    State,
    Withdrawn,
    digest,
)
from bot.settings import Settings, SettingsError, check_url, database_url, read_environment
from bot.slack import SlackProblem
from bot.store import Store, schema
from bot.store.chain import Head
from bot.store.database import said
from bot.witness import accept, forgotten
from providers import ADAPTERS
from providers.contract import Setting

log = get_logger(__name__)

OK, FAILED, BAD_SETTINGS, BAD_DATABASE, BAD_CHAIN = range(5)
INTERRUPTED = 130
"""What shells expect after Ctrl-C: a check that was not finished must not look like a good one."""

_CANNOT_LISTEN = {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES}

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code."""
    try:
        try:
            given = _parser().parse_args(arguments)
            command: Command = given.command
            sys.exit(command(given))
        finally:
            sys.stdout.flush()
    except SettingsError as wrong:
        _complain("\n".join(wrong.problems), BAD_SETTINGS)
    except ChainBroken as broken:
        _complain(f"The history does not verify: {broken.advice}.", BAD_CHAIN)
    except StorageError as broken:
        _complain(broken.advice, BAD_DATABASE)
    except SlackRefusesUs as refused:
        _complain(str(refused), FAILED)
    except BrokenPipeError:
        # Whoever read has enough, as `head` does. Python would complain once more while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(OK)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _complain(text: str, code: int) -> NoReturn:
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
    listing.add_argument("--limit", type=_count, default=50)
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
    acknowledged = audit.add_parser(
        "acknowledge", help="go on with a database that is older than the channel, or another one"
    )
    acknowledged.add_argument("--yes", action="store_true", help="write it down; without it, only show")
    acknowledged.set_defaults(command=_acknowledge)

    table = commands.add_parser("providers", help="which providers there are, and what they need")
    table.set_defaults(command=_providers)

    manifested = commands.add_parser("manifest", help="the Slack app as Slack should get it")
    manifested.add_argument("--json", action="store_true")
    manifested.add_argument(
        "--url", type=_url, help="where Slack reaches the bot over HTTP, instead of Socket Mode"
    )
    manifested.set_defaults(command=_manifest)
    return parser


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:10]) <= 1_000_000:
        raise argparse.ArgumentTypeError("must be a number from 1 to 1000000")
    return int(text)


def _url(text: str) -> str:
    try:
        return check_url(text)
    except ValueError as advice:
        raise argparse.ArgumentTypeError(str(advice)) from None


# --- run --------------------------------------------------------------------------------------------


def _run(given: argparse.Namespace) -> int:
    _on_signals(lambda *_: sys.exit(OK))  # until `_serve` does better
    settings = _settings()
    for variable in ("SLACK_BOT_TOKEN", "SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET"):
        os.environ.pop(variable, None)  # Bolt would take these on its own account, and complain or install
    configure(settings.log_level, settings.log_format, settings.secret_values())
    log_crashes()
    for warning in settings.warnings:
        log.warning("settings", advice=warning)
    roles = Roles(web=given.role != "worker", worker=given.role != "web")
    with ExitStack() as held:
        with _plainly():
            if roles.worker:
                # Two workers on one SQLite file would each take the other's unfinished work for left behind.
                held.enter_context(schema.sole_process(settings.database_url))
            _make_ready(settings.database_url)
        bot = Bot(settings, transport=_transport(given.transport, settings), roles=roles)
        try:
            asyncio.run(_serve(bot))
        except OSError as problem:
            if problem.errno not in _CANNOT_LISTEN:
                raise
            where = f"{settings.host}:{settings.port}"
            _complain(f"The bot cannot listen on {where}: {os.strerror(problem.errno)}.", FAILED)
    return OK


def _transport(wanted: str, settings: Settings) -> str:
    """As told, if there is what it takes."""
    if wanted == "socket" and settings.slack_app_token is None:
        raise SettingsError(["SLACK_APP_TOKEN is missing; --transport socket needs it."])
    if wanted == "http" and not settings.signing_secrets:
        raise SettingsError(["SLACK_SIGNING_SECRET is missing; --transport http needs it."])
    return wanted


async def _serve(bot: Bot) -> None:
    """Until SIGTERM or SIGINT. The signal may come more than once, and while the bot still starts."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    _on_signals(lambda *_: loop.call_soon_threadsafe(told.set))
    try:
        await _run_until(told, bot)
    finally:
        # Nothing is left to be told. Python's own answer would make a failure of the very last moment.
        _on_signals(signal.SIG_IGN)


async def _run_until(told: asyncio.Event, bot: Bot) -> None:
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


def _on_signals(answer: Callable[..., object] | signal.Handlers) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, answer)


def _settings() -> Settings:
    return Settings.from_env(read_environment(os.environ), ADAPTERS)


# --- the database and what is in it -----------------------------------------------------------------


def _upgrade(_given: argparse.Namespace) -> int:
    url = _database()
    with _plainly(), schema.one_at_a_time(url):
        problem = schema.problem(url)
        if problem and "db upgrade" not in problem:
            # Not ours, or newer than we are: an upgrade would write into it all the same.
            raise StorageError(problem)
        schema.upgrade(url)
        _must_be_current(url)
    _say("The database is at the newest schema.")
    return OK


def _make_ready(url: str) -> None:
    """Fill a new database; refuse one that is not what this version works with."""
    with schema.one_at_a_time(url):
        schema.prepare(url)
        if schema.is_empty(url):
            schema.upgrade(url)
        _must_be_current(url)
        if problem := schema.damage(url):
            raise StorageError(problem)


@contextmanager
def _plainly() -> Iterator[None]:
    """Say in a sentence what the disk and the database driver have to complain about."""
    try:
        yield
    except OSError as problem:
        where = f" ({problem.filename})" if problem.filename else ""
        raise StorageError(f"The database cannot be used{where}: {problem.strerror}.") from None
    except DBAPIError as problem:
        raise StorageError(f"The database cannot be used: {said(problem).rstrip('.')}.") from None


def _database() -> str:
    return database_url(read_environment(os.environ))


def _must_be_current(url: str) -> None:
    if problem := schema.problem(url):
        raise StorageError(problem)


@contextmanager
def _store() -> Iterator[Store]:
    url = _database()
    with _plainly():
        _must_be_current(url)
        store = Store(url)
        try:
            yield store
        finally:
            store.close()


def _list(given: argparse.Namespace) -> int:
    states = [given.state] if given.state else []
    with _store() as store:
        found = store.read_now(lambda unit: unit.requests(states=states, limit=given.limit))
    if given.json:
        _say(_json([_plain(request) for request in found]))
        return OK
    for request in found:
        _say(one_line(_row(request)))
    return OK


def _row(request: Request) -> str:
    return (
        f"{request.id[:8]}  {request.created_at:%Y-%m-%d %H:%M}  {request.provider:<13} "
        f"{request.reference:<24} {request.requester.user:<12} "
        f"{len(request.counted)}/{request.quorum}  {in_words(request)}"
    )


def _show(given: argparse.Namespace) -> int:
    prefix = given.id.lower().lstrip("#")
    with _store() as store:
        found = store.read_now(lambda unit: unit.find(prefix) if prefix else [])
        if len(found) != 1:
            advice = "Several requests begin with that ID." if found else "There is no request with that ID."
            _complain(advice, FAILED)
        history = store.read_now(lambda unit: unit.history(found[0].id))
    if given.json:
        events = [{"at": at.isoformat(), **asdict(event)} for event, at in history]
        _say(_json({**_plain(found[0]), "events": events}))
        return OK
    for line in (*_facts(found[0]), "", *(_told(event, f"{at:%Y-%m-%d %H:%M:%S}") for event, at in history)):
        _say(one_line(line))
    return OK


def _facts(request: Request) -> list[str]:
    """What there is to know about a request now, a line each."""
    outcome = request.outcome
    by = ", ".join(f"{a.by.user}{'' if a.verified else ' (not confirmed yet)'}" for a in request.approvals)
    return [
        f"Request    {request.id}",
        f"Order      {request.provider} {request.reference}",
        f"Outcome    {in_words(request)}",
        *([f"On hold    {request.held}"] if request.held else []),
        f"Requester  {request.requester.user}",
        f"Reason     {request.reason}",
        f"Approvals  {len(request.counted)} of {request.quorum}{f': {by}' if by else ''}",
        *([f"Decided by {request.decided_by.user}: {request.decision}"] if request.decided_by else []),
        f"Attempts   {request.attempts}",
        *([f"Provider   {outcome.result}: {outcome.said}"] if outcome else []),
        *_found(request),
        f"Expires    {request.expires_at:%Y-%m-%d %H:%M:%S} UTC",
        f"Digest     {digest(request)}",
    ]


def _found(request: Request) -> list[str]:
    """What people found out where the bot could not."""
    closing = request.closing
    if closing is None:
        return []
    by = closing.confirmed_by.user if closing.confirmed_by else "nobody yet"
    found = f"Found      {closing.by.user}: {FINDINGS[closing.finding]}: {closing.evidence}"
    return [found, f"Confirmed  {by}"]


def _told(event: Event, at: str) -> str:
    return f"{at}  {event.kind.replace('_', ' '):<17}  {_details(event)}".rstrip()


def _details(event: Event) -> str:
    """Who it was and what they said."""
    match event:
        case Requested(requester=who, reason=why) | Denied(by=who, reason=why):
            return f"{who.user}: {why}"
        case Approved(by=who, verified=False):
            return f"{who.user} (not confirmed yet)"
        case Approved(by=who, why=why) | ApprovalVerified(by=who, why=why) | ApprovalVoided(by=who, why=why):
            return f"{who.user} ({why})"
        case AttemptRefused(by=who, action=action, rule=rule):
            return f"{who.user} tried to {action} ({rule})"
        case Questioned(by=who, question=question):
            return f"{who.user}: {question}"
        case Withdrawn(by=who) | ApprovalTakenBack(by=who):
            return who.user
        case OrderRead(order=order):
            return f"{order.standing.replace('_', ' ')}: {order.status} {order.detail}".rstrip(": ")
        case Permitted(attempt=attempt):
            return f"attempt {attempt}"
        case Answered(outcome=outcome) | FollowedUp(outcome=outcome):
            return f"{outcome.result.replace('_', ' ')}: {outcome.said}"
        case Held(why=why) | PersonCalled(why=why):
            return why
        case ClosingProposed(by=who, finding=finding, evidence=evidence):
            return f"{who.user} found: {FINDINGS[finding]}: {evidence}"
        case Closed(by=who, finding=finding):
            return f"{who.user} found the same: {FINDINGS[finding]}"
        case Escalated() | QuorumReached() | Interrupted() | _:
            return ""


def _plain(request: Request) -> dict[str, Any]:
    """A request with what is worked out from it."""
    return {**asdict(request), "word": in_words(request), "digest": digest(request)}


def _json(data: object) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False, default=_text)


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _verify(_given: argparse.Namespace) -> int:
    with _store() as store:
        head = store.read_now(lambda unit: unit.verify(Head()))
    _say(f"The history verifies: {head.seq} events, head {head.hash}.")
    return OK


def _acknowledge(given: argparse.Namespace) -> int:
    settings = _settings()
    with _store() as store:
        store.read_now(lambda unit: unit.verify(Head()))
        try:
            anchors = asyncio.run(acknowledge.ask_channels(settings))
        except SlackProblem as problem:
            _complain(f"The channel cannot be read ({problem.code}). Nothing was written.", FAILED)
        lacking = store.read_now(lambda unit: forgotten(unit, anchors))
        if not lacking:
            _say(acknowledge.NOTHING)
            return OK
        for line in store.read_now(lambda unit: acknowledge.report(unit, lacking)):
            _say(one_line(line))
        if not given.yes:
            _complain(acknowledge.HOW, FAILED)
        store.write_now(lambda unit: accept(unit, lacking))
    _say(acknowledge.DONE)
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
        _say(f"  Settings: {', '.join(map(_setting, facts.settings))}")
    return OK


def _setting(setting: Setting) -> str:
    if setting.default is None:
        return setting.name
    return f"{setting.name} (optional)"


def _manifest(given: argparse.Namespace) -> int:
    try:
        _say(manifest.render(manifest.SOURCE, as_json=given.json, url=given.url))
    except FileNotFoundError:
        _complain(f"There is no {manifest.SOURCE}; the manifest is in the project's folder.", FAILED)
    return OK
