"""No secret leaves the bot: one bad day with canaries for secrets, and then a search of everything.

The bot is a process of its own and everything that it writes is kept: its output, its database, what
it sent to Slack, what its commands print and what its pages answer.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import io
import itertools
import json
import logging
import re
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from html import escape
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock
from urllib.parse import quote, urlencode

import aiohttp
import httpx
import pytest
import structlog
from aiohttp import web
from sqlalchemy import text as sql
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError

from bot.logs import Redactor, configure, get_logger, log_crashes
from bot.settings import Settings, SettingsError
from bot.slack import Slack, SlackProblem
from bot.store import Store, schema
from bot.store.database import is_sqlite
from providers import ADAPTERS
from providers.contract import Attempt, OrderState, Provider, Standing
from providers.http import HttpLimits, Pace
from providers.text import clean_text
from sandbox.process import BotProcess
from sandbox.slack.model import Json, Message
from sandbox.town import Town
from sandbox.vendors import VENDORS
from sandbox.vendors.cpanel import CPanelOrder
from sandbox.vendors.digicert import DigiCertOrder
from sandbox.vendors.payvalida import PurchaseOrder
from sandbox.vendors.servertastic import SslOrder
from sandbox.vendors.tradernet import MarketOrder
from sandbox.vendors.vendor import Call, Fault, Vendor
from tests import postgres
from tests.canaries import Scanner
from tests.conftest import QUICK, World
from tests.past_the_bot import dumped, rows

ODD = "\"\\/+&=%<>'"
"""Characters that each way of writing a secret down writes differently."""
SLACK = {
    "bot_token": "xoxb-1010-C4n4ryB0tToken/+17",
    "app_token": "xapp-1-A0SANDBOX-C4n4ryAppT0ken/+23",
    "signing_secret": "c4a4e9d1f00dbabe17deadbeef4242aa",
    "verification_token": "C4n4ryVer1ficati0n",
}
KEYS = {
    "cpanel": ("token", f"C4n4ryCpanel5t0k{ODD}"),
    "digicert": ("key", f"C4n4ryD1giCertKey{ODD}"),
    "payvalida": ("fixed_hash", f"C4n4ryF1xedHash42{ODD}ñ"),
    "tradernet": ("private_key", f"C4n4ryPr1vateKey9{ODD}ñ"),
    "servertastic": ("api_key", f"C4n4ryAp1KeyServer{ODD}"),
}
WRONG_TOKENS = {
    "SLACK_BOT_TOKEN": "xoxb-2020-C4n4ryWr0ngB0tToken",
    "SLACK_APP_TOKEN": "xapp-1-A0X-C4n4ryWr0ngAppToken",
}
DATABASE = f"C4n4ryDatabaseS3cret {ODD}@:#?"
"""The password of the server."""
REQUESTERS = {"cpanel": "alice", "digicert": "bob", "payvalida": "carol", "tradernet": "dan"}
FORGED = '{"event": "forged", "level": "info", "logger": "bot", "timestamp": "2026-01-01T00:00:00Z"}'
NASTY = f"first\n{FORGED}\r\n{FORGED}\u2028{FORGED}\n\x1b[31mred\x1b[0m\x1b]0;title\x07\u202e"
UNPACED = """
import bot.cli, bot.outbox, providers.http
async def at_once(self, channel=None): pass
bot.outbox.SlackPace.turn = providers.http.Pace.turn = at_once
bot.cli.main()
"""
"""The bot as it is, except that it does not wait for its turn: the day is long and nobody here minds."""


# --- the bot, its town and its papers -----------------------------------------------------------------


class Bot(BotProcess):
    """The bot as a process whose whole output is kept."""

    async def run(self, output: Path, *arguments: str) -> None:
        with output.with_suffix(".out").open("ab") as out, output.with_suffix(".err").open("ab") as err:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                UNPACED,
                *arguments,
                cwd=self._folder,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    def command_line(self) -> bytes:
        """What every user of the machine can see."""
        return Path(f"/proc/{self.pid}/cmdline").read_bytes()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._environment['PORT']}"


@dataclass
class Aftermath:
    """What is left of the day."""

    format: str
    secrets: set[str] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)
    """Order tokens: each is a secret, and is in the database while its request is open."""
    ended: set[str] = field(default_factory=set)
    """Tokens whose requests have ended."""
    waiting: set[str] = field(default_factory=set)
    """Tokens that the database still needs."""
    papers: dict[str, bytes] = field(default_factory=dict)
    databases: dict[str, bytes] = field(default_factory=dict)
    log: bytes = b""
    posts: list[Json] = field(default_factory=list)
    updates: list[Json] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    """Where the providers are: host and port."""
    unmet: dict[str, list[Fault]] = field(default_factory=dict)
    """Faults that no call ran into."""
    exits: list[int] = field(default_factory=list)


class Day:
    """A town full of canaries, and the bot in it."""

    def __init__(self, town: Town, folder: Path, transport: str, format: str, database: str = "") -> None:
        """`database`: a setting; a SQLite file in the bot's folder unless it is given."""
        self.town = town
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        self.world = World(town, self.home, transport, database)
        self.after = Aftermath(format)
        self.format = format
        self.bot: Bot | None = None
        self._numbers = itertools.count(1)
        self._tagged: dict[str, Message] = {}
        self._read = 0
        self._turns = {name: asyncio.Lock() for name in ("alice", "bob", "carol", "dan", "gina")}
        self._arm()

    def _arm(self) -> None:
        workspace, after = self.town.workspace, self.after
        for name, canary in SLACK.items():
            setattr(workspace, name, canary)
            after.secrets.add(canary)
        for vendor in self.town.vendors.values():
            name, canary = KEYS[vendor.name]
            assert hasattr(vendor, name)
            setattr(vendor, name, canary)
            after.secrets.add(canary)
            vendor.redirect_to = f"http://127.0.0.1:1/elsewhere?key={quote(canary, safe='')}"
            echo(vendor)
            overhear(vendor, self._hear)
        servertastic = self.town.vendors["servertastic"]
        del servertastic.orders[servertastic.samples["cancellable"]]  # it is the example in the form
        tradernet: Any = self.town.vendors["tradernet"]
        tradernet.settle_after = 0.1
        overhear_tickets(workspace.delivery.hub, after.secrets.add)

    def _hear(self, vendor: Vendor[Any], call: Call) -> None:
        self.after.secrets |= carried(vendor, call) - self.after.tokens

    # The process

    @property
    def environment(self) -> dict[str, str]:
        changes = QUICK | {"LOG_LEVEL": "DEBUG", "LOG_FORMAT": self.format}
        changes["DATABASE_URL"] = self.world.database
        return self.town.environment(self.home / "bot.db", **changes)

    async def start(self) -> None:
        self.bot = Bot(self.environment, self.home)
        await self.bot.run(self.folder / "bot", "run", "--transport", self.world.transport)
        if self.world.transport == "http":
            self.town.workspace.deliver_to_http(f"{self.bot.url}/slack/events")
        await self.town.workspace.bot_connected(timeout=30)
        self.keep("command line", self.bot.command_line())

    async def kill(self) -> None:
        assert self.bot is not None
        self.after.exits.append(await self.bot.kill())
        self.keep_database("after the kill")

    async def stop(self) -> None:
        assert self.bot is not None
        self.after.exits.append(await self.bot.stop())
        self.bot = None
        self.keep_database("after the stop")

    async def fails_to_start(self, name: str, *arguments: str, **changes: str) -> None:
        """A start that cannot work; what it says is kept."""
        home = self.folder / name
        home.mkdir()
        environment = self.environment | {"DATABASE_URL": f"sqlite:///{home}/bot.db"} | changes
        bot = Bot(environment, home)
        await bot.run(home / "said", *arguments)
        code = await bot.ended()
        assert code in {1, 2, 3}, (home / "said.err").read_text()
        assert (home / "said.err").read_text(), "it says why"
        self.keep(f"{name}, its files", b"".join(file.read_bytes() for file in sorted(home.iterdir())))

    async def command(self, *arguments: str) -> bytes:
        bot = Bot(self.environment, self.home)
        said = self.folder / f"command{next(self._numbers)}"
        await bot.run(said, *arguments)
        assert await bot.ended() == 0, said.with_suffix(".err").read_text()
        out = said.with_suffix(".out").read_bytes()
        self.keep(" ".join(arguments), out + said.with_suffix(".err").read_bytes())
        return out

    def keep(self, name: str, content: bytes) -> None:
        assert content, f"{name} is empty: nothing was looked at"
        self.after.papers[name] = self.after.papers.get(name, b"") + content

    def keep_database(self, when: str) -> None:
        for file in sorted(self.home.iterdir()):
            self.after.databases[f"{file.name} {when}"] = file.read_bytes()
        if not is_sqlite(self.world.database):
            self.after.databases[f"Postgres {when}"] = dumped(self.world.database)

    # What people do

    async def ask(self, who: str, provider: str, reference: str) -> Message:
        """A card, once the order was looked up."""
        tag, person = f"case-{next(self._numbers):04d}", self.world.person(who)
        async with self._turns[who]:
            await person.command("/cancel-order", f"{provider} {reference}")
            form = await person.modal(timeout=20)
            form.fill({"Reason": f"{tag} {NASTY}"})
            sent = await form.submit()
            assert sent.ok, sent.errors
        card = await self.town.workspace.wait_until(lambda: self._cards().get(tag), 30)
        return await self.town.workspace.wait_until(
            lambda: card if can_approve(card) or has_ended(card) else None, 30
        )

    def _cards(self) -> dict[str, Message]:
        """By the tag in the reason; each card is looked at once, for there are many."""
        every = self.world.cards
        for card in every[self._read :]:
            if found := re.search(r"case-\d{4}", str(card.blocks)):
                self._tagged[found[0]] = card
        self._read = len(every)
        return self._tagged

    async def approve(self, asked_by: str, card: Message) -> None:
        for who in [name for name in ("bob", "carol", "dan") if name != asked_by][:2]:
            await self.click(who, card, "Approve")

    async def click(self, who: str, card: Message, button: str) -> None:
        """Nobody clicks behind the form that they are filling in."""
        async with self._turns[who]:
            await self.world.person(who).click(card, button)

    async def decided(self, card: Message) -> None:
        """Until nobody is asked any more."""
        await self.town.workspace.wait_until(lambda: not can_approve(card), 30)

    async def cancel(self, provider: str, reference: str, fault: Fault | None = None) -> Message:
        """Ask and approve, with one fault on the way of the cancel."""
        vendor, who = self.town.vendors[provider], REQUESTERS.get(provider, "gina")
        card = await self.ask(who, provider, reference)
        if fault is not None:
            vendor.fail_next(fault)
        if can_approve(card):
            await self.approve(who, card)
        await self.decided(card)
        await self.town.workspace.wait_until(lambda: reference in vendor.sends or has_ended(card), 30)
        return card

    async def look(self, provider: str, reference: str, fault: Fault | None = None) -> None:
        """Ask with a fault on the way of the look-up, and withdraw."""
        vendor, who = self.town.vendors[provider], REQUESTERS.get(provider, "gina")
        if fault is not None:
            vendor.fail_next(fault, on="read", times=3 if fault in {Fault.DROP, Fault.LOSE_ANSWER} else 1)
        card = await self.ask(who, provider, reference)
        if can_approve(card):
            await self.click(who, card, "Withdraw")
        await self.decided(card)

    def fresh(self, provider: str, **details: Any) -> str:
        """One more order that can be cancelled; `details` as its provider calls them."""
        number = next(self._numbers)
        orders: dict[str, Callable[[], Any]] = {
            "cpanel": lambda: CPanelOrder(f"77{number:06d}", order_id=f"66{number:06d}"),
            "digicert": lambda: DigiCertOrder(f"88{number:06d}"),
            "payvalida": lambda: PurchaseOrder(f"order-{number:04d}"),
            "tradernet": lambda: MarketOrder(f"99{number:06d}"),
            "servertastic": lambda: SslOrder(
                f"C4n4ryT0ken{number:05d}", "Awaiting Provider Approval", f"STR_2_{number:05d}"
            ),
        }
        reference = self.town.vendors[provider].add_order(replace(orders[provider](), **details))
        if provider == "servertastic":
            self.after.tokens.add(reference)
        return reference

    # Gathering it all

    def gather(self) -> Aftermath:
        after, workspace = self.after, self.town.workspace
        payvalida: Any = self.town.vendors["payvalida"]
        after.tokens |= set(self.town.vendors["servertastic"].orders)
        after.secrets |= {payvalida.checksum(order) for order in payvalida.orders}
        after.secrets |= set(workspace.views._triggers) | set(workspace.response_urls._known)
        after.places = [vendor.base_url.split("/")[2] for vendor in self.town.vendors.values()]
        after.log = (self.folder / "bot.err").read_bytes()
        self.keep("stderr", after.log)
        after.papers["stdout"] = (self.folder / "bot.out").read_bytes()
        calls = [(call.method, unasked(call.method, call.args)) for call in workspace.calls]
        self.keep("Slack calls", as_json(calls))
        self.keep("Slack messages", as_json(messages(self.town)))
        self.keep(
            "Slack views", as_json([unasked("views", v.content) for v in workspace.views.views.values()])
        )
        after.posts = [call.args for call in workspace.calls if call.method == "chat.postMessage"]
        after.waiting = {value for (value,) in rows(self.world.database, "SELECT value FROM reference")}
        assert rows(self.world.database, "SELECT count(*) FROM request") != [(0,)]
        return after


def can_approve(card: Message) -> bool:
    return any(button.startswith("Approve") for button in card.buttons)


def has_ended(card: Message) -> bool:
    return "Outcome:" in card.text


def as_json(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")


def unasked(method: str, args: Json) -> Json:
    """Without what must be in there: Slack's own trigger in the call that it was given for, and, in the
    form, what the very person who looks at it had typed into its field."""
    if not method.startswith("views"):
        return args
    kept = json.loads(json.dumps({key: value for key, value in args.items() if key != "trigger_id"}))
    for block in (kept.get("view") or kept).get("blocks", []):
        if block.get("element", {}).get("action_id") == "reference":
            block["element"].pop("initial_value", None)
    return dict(kept)


def messages(town: Town) -> list[Json]:
    """Everything that was ever said, edited away, deleted or shown to one person."""
    channels = town.workspace.channels.values()
    top = [m for c in channels for m in (*c.messages, *c.ephemerals, *c.deleted)]
    every = [m for message in top for m in (message, *message.thread)]
    every += [old for message in every for old in message.history]
    return [{"text": m.text, "blocks": m.blocks, "metadata": m.metadata, "to": m.only_for} for m in every]


# --- providers that repeat what they were sent --------------------------------------------------------


def carried(vendor: Vendor[Any], call: Call) -> set[str]:
    """The secrets in this call, besides the vendor's key."""
    found = {call.headers.get("x-ntapi-sig", ""), call.query.get("checksum", "")}
    if vendor.name == "servertastic":
        found.add(call.query.get("order_token", ""))
    return found - {""}


def writings(secret: str) -> list[str]:
    """How a provider might repeat a secret."""
    pair = f"someone:{secret}".encode()
    return [
        secret,
        secret.swapcase(),
        f"GET /x?key={quote(secret, safe='')}&more=1",
        f"GET /x?key={quote(quote(secret, safe=''), safe='')}",
        f"Basic {base64.b64encode(pair).decode()}",
        f"Basic {base64.urlsafe_b64encode(pair).decode()}",
        base64.b64encode(secret.encode()).decode(),
        secret.encode().hex(),
        secret.encode().hex().upper(),
        json.dumps({"key": secret}),
        json.dumps(json.dumps([secret])),
        repr({"key": secret}),
        escape(secret),
        f"\u200b{secret[:5]}\u200b{secret[5:]}",
        "long " * 56 + secret,
    ]


def echoes(vendor: Vendor[Any], call: Call) -> list[str]:
    """Everything that a careless provider could say about a call."""
    secrets = {getattr(vendor, KEYS[vendor.name][0]), *carried(vendor, call)}
    url = f"{vendor.base_url}{call.path}?{urlencode(call.query, quote_via=quote)}"
    said = [f"{call.method} {url}", f"see {url.removeprefix('http://')}", f"headers {dict(call.headers)}"]
    said += [f"{name}: {value}" for name, value in call.headers.items() if name.startswith(("x-", "auth"))]
    return [*said, NASTY, *(text for secret in sorted(secrets) for text in writings(secret))]


def refusal(vendor: Vendor[Any], words: str) -> web.Response:
    """A no in the form in which this vendor's words are passed on to people."""
    match vendor.name:
        case "cpanel":
            failure = {"status": 0, "data": {"error_type": words}, "errors": [words], "messages": [words]}
            return web.json_response(failure)
        case "digicert":
            return web.json_response({"errors": [{"code": words, "message": words}]}, status=400)
        case "payvalida":
            return web.json_response({"CODE": "0019", "DESC": words, "DATA": words})
        case "tradernet":
            return web.json_response({"code": 12, "errorMsg": words, "error": words})
        case _:
            return web.json_response({"error": {"code": 400, "message": words}}, status=400)


def echo(vendor: Vendor[Any]) -> None:
    """Let the vendor's no repeat what it was sent, another way each time."""
    turn = itertools.count()

    def rejection(call: Call) -> web.Response:
        said = echoes(vendor, call)
        return refusal(vendor, said[next(turn) % len(said)])

    vendor.rejection = rejection  # type: ignore[method-assign]


def overhear(vendor: Vendor[Any], hear: Callable[[Vendor[Any], Call], None]) -> None:
    """Learn the secrets of each call, also of those that go wrong."""
    read = vendor._call_of

    async def call_of(request: web.Request) -> Call:
        call = await read(request)
        hear(vendor, call)
        return call

    vendor._call_of = call_of  # type: ignore[method-assign]


def overhear_tickets(hub: Any, hear: Callable[[str], None]) -> None:
    """The address of a socket is a key to it."""
    issue = hub.open

    def opened() -> str:
        url = str(issue())
        hear(re.findall(r"ticket=([^&]+)", url)[0])
        return url

    hub.open = opened


# --- the day ------------------------------------------------------------------------------------------


async def a_bad_day(folder: Path, transport: str, format: str, database: str = "") -> Aftermath:
    async with AsyncExitStack() as opened:
        day = Day(await opened.enter_async_context(Town()), folder, transport, format, database)
        try:
            if transport == "socket":
                await false_starts(day)
            await day.start()
            await all_goes_well(day)
            await (everything_fails(day) if transport == "socket" else strangers_knock(day))
            if database:
                await the_database_fails(day)
            await the_pages_answer(day)
            if transport == "socket":
                await the_commands_answer(day)
            await day.stop()
        except BaseException:
            log = folder / "bot.err"
            sys.stderr.write(log.read_text(errors="replace")[-4000:] if log.exists() else "no log\n")
            raise
        finally:
            if day.bot is not None:
                await day.bot.kill()
        return day.gather()


async def false_starts(day: Day) -> None:
    """Tokens that Slack refuses, and settings with secrets in all the wrong places."""
    day.after.secrets |= {*WRONG_TOKENS.values(), "C4n4ryDatabasePassw0rd"}
    keys = {name: key for name, (_, key) in KEYS.items()}
    all_wrong = {
        "APPROVAL_CHANNEL": SLACK["signing_secret"],
        "APPROVERS": f"{SLACK['bot_token']},U0BOB",
        "CPANEL_BASE_URL": f"https://user:{keys['cpanel']}@host.example",
        "DATABASE_URL": "postgresql://bot:C4n4ryDatabasePassw0rd@127.0.0.1/bot",
        "DIGICERT_CANCEL_STATUS": keys["digicert"],
        "HOST": keys["servertastic"],
        "LOG_LEVEL": keys["payvalida"],
        "PAGERDUTY_API_KEY": keys["tradernet"],
        "PORT": keys["tradernet"],
        "PROVIDER_TIMEOUT": f"https://x/?key={keys['cpanel']}",
        "SERVERTASTIC_API_KEY_FILE": keys["servertastic"],
        "SLACK_APP_TOKEN": SLACK["bot_token"],
        "SLACK_SIGNINGSECRET": SLACK["signing_secret"],
        "TRADERNET_PRIVATE_KEY": f"{keys['tradernet']}\nmore",
    }
    await asyncio.gather(
        day.fails_to_start("settings", "run", **all_wrong),
        *(day.fails_to_start(name, "run", **{name: token}) for name, token in WRONG_TOKENS.items()),
    )


async def all_goes_well(day: Day) -> None:
    references = {name: day.fresh(name) for name in day.town.vendors}
    cards = await asyncio.gather(*(day.cancel(name, each) for name, each in references.items()))
    for card in cards:
        await day.world.reads(card, "Outcome: cancelled", timeout=30)
    day.after.ended.add(references["servertastic"])


async def everything_fails(day: Day) -> None:
    slack_fails(day)
    on_duty = asyncio.create_task(resumes_whatever_pauses_itself(day))
    await asyncio.gather(*(the_provider_fails(day, name) for name in day.town.vendors))
    on_duty.cancel()
    await asyncio.gather(*(day.look(name, day.fresh(name, **hidden(name))) for name in day.town.vendors))
    await the_power_fails(day)
    for vendor in day.town.vendors.values():
        setattr(vendor, KEYS[vendor.name][0], "another key by now")
    await asyncio.gather(*(day.look(name, day.fresh(name)) for name in day.town.vendors))


async def resumes_whatever_pauses_itself(day: Day) -> None:
    """More answers are lost here than the bot goes on with by itself."""
    while True:
        for (provider,) in rows(day.world.database, "SELECT provider FROM pause WHERE since IS NOT NULL"):
            await day.command("resume", provider)
        await asyncio.sleep(0.3)  # the pause may be announced long after this, for Slack fails as well


def slack_fails(day: Day) -> None:
    """Each of these hits some message or question of the bot's while providers fail as well."""
    slack = day.town.workspace
    slack.fail_next("chat.postMessage", "ratelimited", retry_after=1)
    slack.fail_next("chat.postMessage", status=500)
    for method in ("chat.postMessage", "chat.update", "users.info", "usergroups.users.list"):
        slack.fail_next(method, "invalid_auth")
        slack.fail_next(method, f"no: {SLACK['bot_token']} {NASTY}")
        slack.fail_next(method, "drop")
    slack.fail_next("chat.update", "lose_answer")


async def the_provider_fails(day: Day, name: str) -> None:
    """Each trouble comes once on a look-up and once on a cancel, at one provider or another."""
    place = list(KEYS).index(name)
    mine = [fault for number, fault in enumerate(Fault) if number % len(KEYS) == place]
    looked_up = [day.fresh(name) for _ in (*mine, Fault.REJECT)]
    day.after.ended |= day.after.tokens.intersection(looked_up)
    looks = zip(looked_up, (*mine, Fault.REJECT), strict=True)
    await asyncio.gather(*(day.look(name, reference, fault) for reference, fault in looks))
    await asyncio.gather(*(day.cancel(name, day.fresh(name), fault) for fault in (*mine, Fault.REJECT)))
    vendor = day.town.vendors[name]
    vendor.release()
    day.after.unmet[name] = [plan.fault for plan in vendor._planned]


def hidden(name: str) -> dict[str, Any]:
    """Our own key where the order's description should be."""
    _, key = KEYS[name]
    details: dict[str, dict[str, Any]] = {
        "cpanel": {"domains": (key, f"{key}.example")},
        "digicert": {"common_name": key, "other_names": (key,)},
        "payvalida": {"description": key, "method": key},
        "tradernet": {"instrument": key},
        "servertastic": {"domain": key, "product": key},
    }
    return details[name]


async def the_power_fails(day: Day) -> None:
    """Killed with two cancels on their way, started again."""
    vendors = [day.town.vendors[name] for name in ("payvalida", "servertastic")]
    for vendor in vendors:
        vendor.fail_next(Fault.HANG)
    cards = await asyncio.gather(*(day.cancel(vendor.name, day.fresh(vendor.name)) for vendor in vendors))
    await day.kill()
    for vendor in vendors:
        vendor.release()
    await day.start()
    await day.world.reads(cards[0], "Outcome: cancelled", timeout=30)


async def strangers_knock(day: Day) -> None:
    """What is not Slack's, or not understood, is turned away and not repeated."""
    assert day.bot is not None
    token, key = SLACK["bot_token"], KEYS["cpanel"][1]
    headers = {"Authorization": f"Bearer {token}", "X-Slack-Signature": f"v0={SLACK['signing_secret']}"}
    body = json.dumps({"token": token, "text": NASTY, "response_url": "https://hooks.slack.com/x/C4n4ry"})
    statuses = []
    async with aiohttp.ClientSession(trust_env=False) as session:
        for extra in ({}, {"X-Slack-Request-Timestamp": "1700000000"}):
            url = f"{day.bot.url}/slack/events?token={quote(token, safe='')}"
            async with session.post(url, data=body, headers=headers | extra) as answer:
                statuses.append(answer.status)
                day.keep("401", f"{dict(answer.headers)}".encode() + await answer.read())
    assert statuses == [401, 401]
    reader, writer = await asyncio.open_connection("127.0.0.1", int(day.bot.url.rpartition(":")[2]))
    writer.write(f"GET /{key}\x00 HTTP/9.9\r\n{FORGED}\r\n\r\n".encode())
    assert b" 400 " in await reader.readline()
    writer.close()
    trigger = day.town.workspace.views.trigger("U0ALICE")
    for odd in (
        {"callback_id": NASTY},
        {"actions": [{"action_id": NASTY}]},
        {"view": 7},
        {"nonsense": token},
    ):
        await day.town.workspace.raw_interaction(
            {"type": "block_actions", "trigger_id": trigger, "user": {"id": "U0ALICE"}, **odd}
        )
    await asyncio.gather(
        *(day.cancel(name, day.fresh(name), fault) for name in day.town.vendors for fault in (Fault.REJECT,))
    )


async def the_database_fails(day: Day) -> None:
    """The server hangs up on everybody, and some try with other passwords and at other places."""
    url = make_url(day.world.database)
    day.after.secrets |= {DATABASE, f"{DATABASE}mistyped"}
    with postgres.admin() as connection:
        assert postgres.hang_up(connection, "datname = %s", postgres.name_in(day.world.database)) >= 3
    card = await day.cancel("payvalida", day.fresh("payvalida"))
    await day.world.reads(card, "Outcome: cancelled", timeout=30)
    mistyped = url.set(password=f"{DATABASE}mistyped")
    elsewhere = url.set(host="127.0.0.1", port=1, query={})
    for number, wrong in enumerate((mistyped, elsewhere, url.update_query_dict({"colour": "red"}))):
        setting = {"DATABASE_URL": wrong.render_as_string(hide_password=False)}
        await day.fails_to_start(f"run{number}", "run", **setting)
        await day.fails_to_start(f"verify{number}", "audit", "verify", **setting)
    await day.command("audit", "verify")
    await day.command("requests", "list", "--json")


async def the_pages_answer(day: Day) -> None:
    assert day.bot is not None
    async with aiohttp.ClientSession(trust_env=False) as session:
        for path in ("/livez", "/readyz", "/slack/events", f"/{quote(SLACK['bot_token'], safe='')}"):
            async with session.get(day.bot.url + path) as answer:
                day.keep(
                    f"page {path[:8]}",
                    f"{answer.status} {dict(answer.headers)}".encode() + await answer.read(),
                )


async def the_commands_answer(day: Day) -> None:
    listed = json.loads(await day.command("requests", "list", "--json", "--limit", "1000"))
    assert len({request["provider"] for request in listed}) == 5
    told = [request["id"] for request in listed if "refused" in json.dumps(request)][:2]
    await asyncio.gather(
        *(day.command("requests", "show", request, "--json") for request in told),
        day.command("requests", "list", "--limit", "1000"),
        day.command("requests", "show", listed[0]["id"]),
        day.command("audit", "verify"),
        day.command("providers"),
    )


@pytest.fixture(scope="module", params=[("socket", "json"), ("http", "console")], ids="-".join)
def after(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Aftermath:
    transport, format = request.param
    folder = tmp_path_factory.mktemp("day")
    if transport == "socket":
        return asyncio.run(a_bad_day(folder, transport, format))
    with ExitStack() as made:
        owned = made.enter_context(postgres.new_database())
        database = made.enter_context(postgres.somebody(owned, password=DATABASE))
        return asyncio.run(a_bad_day(folder, transport, format, database))


# --- what is found afterwards -------------------------------------------------------------------------


def test_no_secret_is_in_anything_that_people_or_programs_can_read(after: Aftermath) -> None:
    scanner = Scanner(after.secrets | after.tokens)
    leaks = [f"{name}: {found}" for name, paper in after.papers.items() for found in scanner.scan(paper)]
    assert not leaks, "\n".join(leaks[:20])


def test_no_secret_is_in_the_database_and_no_token_that_is_not_needed_any_more(after: Aftermath) -> None:
    last = {name: content for name, content in after.databases.items() if "stop" in name}
    gone = after.tokens - after.waiting
    assert after.ended
    assert after.ended <= gone
    leaks = [
        f"{name}: {f}" for name, file in after.databases.items() for f in Scanner(after.secrets).scan(file)
    ]
    leaks += [f"{name}: {found}" for name, file in last.items() for found in Scanner(gone).scan(file)]
    assert not leaks, "\n".join(leaks[:20])


def test_the_secrets_were_really_there_to_be_leaked(after: Aftermath) -> None:
    shapes = {
        "a trigger": r"\d+\.\d+\.[0-9a-f]{32}",
        "a checksum": r"[0-9A-F]{128}",
        "a signature": r"[0-9a-f]{64}",
        "a response URL": r"[\w-]{24}",
    }
    for what, shape in shapes.items():
        assert any(re.fullmatch(shape, secret) for secret in after.secrets), what
    assert len(after.tokens) > 10
    assert not any(after.unmet.values()), after.unmet
    assert set(after.exits) <= {0, -9}
    assert any(name.startswith(("bot.db ", "Postgres ")) for name in after.databases)


def test_no_address_of_a_provider_is_in_a_message_or_in_the_log(after: Aftermath) -> None:
    """Origins may be shown; an address with a path may be enough to cancel an order."""
    for name, paper in after.papers.items():
        for place in after.places:
            pattern = rf"{re.escape(place)}(/|\\/|%2f|&#x2f;)".encode()
            assert not re.search(pattern, paper, re.IGNORECASE), f"{place} in {name}"


def test_links_in_messages_are_never_previewed(after: Aftermath) -> None:
    assert after.posts
    for post in after.posts:
        assert (post["unfurl_links"], post["unfurl_media"]) == (False, False)


def test_every_record_of_the_log_is_one_line_and_none_is_forged(after: Aftermath) -> None:
    lines = after.log.decode().split("\n")
    assert lines.pop() == ""
    assert len(lines) > 20
    for line in lines:
        assert line.isprintable(), line
        if after.format == "json":
            record = json.loads(line)
            assert {"timestamp", "level", "logger", "event"} <= record.keys(), line
            assert record["event"] != "forged"
        else:
            assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z \w+ +[\w.]+ - ", line), line
    assert after.papers["stdout"] == b""


def test_nothing_that_was_typed_steers_a_terminal(after: Aftermath) -> None:
    for name, paper in after.papers.items():
        if name.startswith(("requests", "audit", "page")):
            assert b"\x1b" not in paper
            assert b"\xe2\x80\xae" not in paper or "--json" in name, name
            assert not any(line.startswith(b'{"event": "forged"') for line in paper.splitlines())


# --- what the day does not reach ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", VENDORS, ids=lambda kind: kind.name)
async def test_an_adapter_hands_on_no_secret_whatever_its_provider_says(
    kind: type[Vendor[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pace, "turn", AsyncMock())
    canaries = {KEYS[kind.name][1]}
    handed_on: list[str] = []
    places: list[str] = []

    async def hear(ask: Callable[[Vendor[Any], Provider], AsyncIterator[object]], patience: float) -> None:
        vendor = kind()
        setattr(vendor, *KEYS[kind.name])
        overhear(vendor, lambda it, call: canaries.update(carried(it, call)))
        await vendor.start()
        handed_on.extend([repr(each) async for each in ask(vendor, connected(vendor, patience))])
        await vendor.stop()
        places.append(vendor.base_url.split("/")[2])

    await asyncio.gather(hear(_echoed, 5.0), *(hear(partial(_asked, fault), 0.4) for fault in Fault))
    assert not [place for place in places if f"{place}/" in "\n".join(handed_on)]
    found = Scanner(canaries).scan("\n".join(handed_on).encode())
    assert not found, "\n".join(map(str, found[:9]))


def connected(vendor: Vendor[Any], patience: float) -> Provider:
    adapter = next(adapter for adapter in ADAPTERS if adapter.facts.name == vendor.name)
    given = vendor.settings()
    values = {each.name: given.get(each.name, each.default or "") for each in adapter.facts.settings}
    return adapter.from_settings(values, HttpLimits(patience))


async def _asked(fault: Fault, vendor: Vendor[Any], provider: Provider) -> AsyncIterator[object]:
    reference = vendor.samples["another"]
    vendor.redirect_to = f"{vendor.base_url}/?key={quote(KEYS[vendor.name][1], safe='')}"
    before = await provider.look_up(reference)
    vendor.fail_next(fault)
    yield await provider.cancel(reference, "a note", before)
    vendor.fail_next(fault, on="read", times=6)
    yield await provider.check()
    yield await provider.follow_up(reference, Attempt(before, timedelta(minutes=1), accepted=False))
    vendor.release()


async def _echoed(vendor: Vendor[Any], provider: Provider) -> AsyncIterator[object]:
    """Every echo, in every call, and hidden in every text of a good answer."""
    turn, reference = 0, vendor.samples["another"]
    lengths: list[int] = []

    def said(call: Call) -> str:
        words = echoes(vendor, call)
        lengths.append(len(words))
        return words[turn % len(words)]

    def answer(call: Call) -> web.Response:
        good = Vendor._handled(vendor, call)
        body = json.loads(good.body) if isinstance(good.body, bytes) and good.body[:1] in b"{[" else None
        if turn % 2 or body is None:
            return refusal(vendor, said(call))
        words = said(call)
        return web.json_response(_tainted(body, words), status=good.status)

    vendor._handled = answer  # type: ignore[method-assign]
    before = OrderState(Standing.CANCELLABLE)
    while turn < 2 * max(lengths, default=1) + 2:
        yield await provider.look_up(reference)
        yield await provider.cancel(reference, "a note", before)
        yield await provider.check()
        turn += 1


def _tainted(body: Any, words: str) -> Any:
    """The same answer with these words in each text that is not a name or a number of something."""
    match body:
        case dict():
            return {key: _tainted(value, words) for key, value in body.items()}
        case list():
            return [_tainted(value, words) for value in body]
        case str() if not body.isalnum() or body.isalpha():
            return f"{body} {words}"
    return body


def test_the_scanner_finds_every_spelling(tmp_path: Path) -> None:
    secret, file = KEYS["payvalida"][1], tmp_path / "artefact"
    pair = f"user:{secret}:more".encode()
    planted = {
        "raw": secret,
        "swapped case": secret.swapcase(),
        "percent": quote(secret, safe=""),
        "percent, small": quote(secret, safe="").lower(),
        "base64": base64.b64encode(secret.encode()).decode(),
        "base64 in a pair": base64.b64encode(pair).decode(),
        "base64 in a pair, shifted": base64.b64encode(b"x" + pair).decode(),
        "base64 in a pair, shifted again": base64.b64encode(b"xx" + pair).decode(),
        "base64 for URLs": base64.urlsafe_b64encode(pair).decode(),
        "hex": secret.encode().hex(),
        "HEX": secret.encode().hex().upper(),
        "JSON": json.dumps({"key": secret}),
        "JSON in JSON": json.dumps(json.dumps({"key": secret})),
        "repr": repr({"key": secret}),
        "HTML": escape(secret),
        "backwards": secret[::-1],
        "cut": f"{secret[:17]}…",
        "disguised": secret.replace("&", " and "),
    }
    scanner = Scanner([secret])
    for how, text in planted.items():
        file.write_bytes(b"\x00\xffbefore " + text.encode() + b" after\n")
        assert scanner.scan(file.read_bytes()), how
    file.write_text("nothing to see here, " * 1000)
    assert scanner.scan(file.read_bytes()) == []


def test_the_scanner_finds_hexadecimal_secrets_in_either_case() -> None:
    for secret in (SLACK["signing_secret"], SLACK["signing_secret"].upper()):
        assert Scanner([secret]).scan(secret.swapcase().encode())


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The log at its most talkative; afterwards everything is as it was."""
    root, libraries = logging.getLogger(), [logging.getLogger(name) for name in ("httpx", "httpcore")]
    before = root.handlers[:], root.level, [each.level for each in libraries]
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    stream = io.StringIO()
    configure("DEBUG", "json", [*SLACK.values(), *(key for _, key in KEYS.values())], stream)
    log_crashes()
    yield stream
    logging.captureWarnings(False)
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks
    root.handlers[:], levels = before[0], before[2]
    root.setLevel(before[1])
    for each, level in zip(libraries, levels, strict=True):
        each.setLevel(level)
    structlog.reset_defaults()


def no_canary_in(log: io.StringIO) -> None:
    text = log.getvalue()
    assert text, "nothing was logged"
    assert not (
        found := Scanner([*SLACK.values(), *(key for _, key in KEYS.values())]).scan(text.encode())
    ), found
    assert all(json.loads(line) for line in text.splitlines())


@pytest.mark.parametrize("name", KEYS)
def test_a_traceback_shows_no_secret_of_its_locals_arguments_or_past(log: io.StringIO, name: str) -> None:
    key = KEYS[name][1]

    def fail(given: str) -> None:
        headers = {"Authorization": f"cpanel user:{given}"}
        try:
            raise KeyError(given, headers, [quote(given)])
        except KeyError as first:
            first.add_note(f"sent {headers}")
            raise RuntimeError(f"GET https://host/?key={quote(given, safe='')}", given.encode()) from first

    try:
        fail(key)
    except RuntimeError:
        get_logger("bot").exception("failed", key=key, nested={key: [key.encode()]})
    sys.excepthook(ValueError, ValueError(key), None)
    no_canary_in(log)


@pytest.mark.filterwarnings("default")
def test_what_python_can_only_print_is_logged_and_masked(
    log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken:
        def __del__(self) -> None:
            raise ValueError(f"could not close {KEYS['cpanel'][1]}")

    broken = Broken()
    del broken
    gc.collect()
    assert capsys.readouterr().err == ""
    assert "could not close ***" in log.getvalue()
    no_canary_in(log)


async def test_what_slack_says_is_not_repeated_unless_it_is_the_name_of_an_error() -> None:
    async with Town() as town:
        slack = Slack(town.workspace.bot_token, town.environment(Path("unused"))["SLACK_API_URL"])
        for said, code in {
            "is_archived": "is_archived",
            f"no: {SLACK['bot_token']}": "unnamed_error",
        }.items():
            town.workspace.fail_next("chat.postMessage", said)
            with pytest.raises(SlackProblem) as caught:
                await slack.post("C0APPROVALS", "text")
            assert caught.value.code == code
        await slack.close()


async def test_the_libraries_below_the_providers_say_nothing(log: io.StringIO) -> None:
    async with Town() as town:
        vendor = town.vendors["digicert"]
        setattr(vendor, *KEYS["digicert"])
        url = f"{vendor.base_url}/user/me?key={quote(KEYS['digicert'][1], safe='')}"
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.get(url, headers={"X-DC-DEVKEY": KEYS["digicert"][1]})
    loggers = {json.loads(line)["logger"] for line in log.getvalue().splitlines()}
    assert not {name for name in loggers if name.startswith(("httpx", "httpcore"))}
    get_logger("bot").info("something at all")
    no_canary_in(log)


def test_settings_and_their_problems_show_no_secret(tmp_path: Path) -> None:
    environment = {
        "SLACK_BOT_TOKEN": SLACK["bot_token"],
        "SLACK_APP_TOKEN": SLACK["app_token"],
        "SLACK_SIGNING_SECRET": SLACK["signing_secret"],
        "APPROVAL_CHANNEL": "C0APPROVALS",
        "APPROVERS": "S0ONCALL",
        "DIGICERT_API_KEY": KEYS["digicert"][1],
        "SERVERTASTIC_API_KEY": KEYS["servertastic"][1],
        "DATABASE_URL": f"sqlite:///{tmp_path}/bot.db",
    }
    scanner = Scanner([*SLACK.values(), *(key for _, key in KEYS.values())])
    settings = Settings.from_env(environment, ADAPTERS)
    assert not scanner.scan(f"{settings!r} {settings} {settings.fingerprint()}".encode())
    for name in (*environment, "LOG_LEVEL", "PORT", "REQUESTERS", "DIGICERT_CANCEL_STATUS", "SLACK_API_URL"):
        for secret in (SLACK["bot_token"], KEYS["digicert"][1], f"https://u:{SLACK['app_token']}@h"):
            try:
                shown = repr(Settings.from_env(environment | {name: secret}, ADAPTERS))
            except SettingsError as wrong:
                shown = repr(wrong.problems)
            assert not scanner.scan(shown.encode()), (name, shown)


@pytest.mark.parametrize("storage", ["sqlite", "postgres"])
@pytest.mark.parametrize("twice", ["'1'", "NULL"])
def test_an_error_of_the_database_shows_no_parameters(database: str, log: io.StringIO, twice: str) -> None:
    """Postgres by itself shows the whole row that it does not take."""
    key = KEYS["servertastic"][1]
    schema.upgrade(database)
    store = Store(database)

    def insert(number: str) -> None:
        statement = sql(f"INSERT INTO reference VALUES ({number}, :value)")  # noqa: S608
        store.write_now(lambda unit: unit._connection.execute(statement, {"value": key}))

    try:
        insert("'1'")
        with pytest.raises(IntegrityError) as caught:
            insert(twice)
    finally:
        store.close()
    logging.getLogger("bot").error("failed", exc_info=caught.value)
    assert not Scanner([key]).scan(f"{caught.value} {caught.value!r}".encode())
    no_canary_in(log)


@pytest.mark.parametrize("secret", [*SLACK.values(), *(key for _, key in KEYS.values())])
def test_every_spelling_is_masked_in_the_log_and_in_what_a_provider_said(secret: str) -> None:
    scanner, redactor = Scanner([secret]), Redactor([secret])
    for text in writings(secret):
        assert not scanner.scan(clean_text(f"no: {text}", secrets=[secret]).encode()), text
        if not text.startswith("GET /x?key=xo") and "\u200b" not in text:
            assert not scanner.scan(redactor.text(f"no: {text}").encode()), text


@pytest.mark.parametrize(
    "link",
    [
        "https://host.example/order/cancel?token=1",
        "127.0.0.1:8443/order/cancel",
        "host.example:2083/execute/Market",
        "host.example/order/cancel",
        "10.0.0.1/cancel?token=1",
    ],
)
def test_a_link_of_a_provider_is_taken_out_with_or_without_its_scheme(link: str) -> None:
    assert clean_text(f"see {link} now") == "see [link] now"


@pytest.mark.parametrize(
    "text", ["shop.example, www.shop.example", "20:05:28 and/or 1.5/2.0", "a@b.example", "N.A./none", "n/a?"]
)
def test_what_only_resembles_a_link_stays(text: str) -> None:
    assert clean_text(text) == text
