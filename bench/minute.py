"""Five hundred approvals within a minute, and how soon all that they lead to is done and told.

The floor is what Slack allows: one post a second and channel, after a burst. It is counted from the posts
that Slack took in the channel that got the most of them. Takes about four minutes.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

from bench.figures import Figure, Say
from bench.process import GLANCE, running
from bench.stage import SETTLED, Stage, all_of, button, is_outcome, on_stage
from sandbox.slack.example import BOT_USER
from sandbox.slack.model import Call, Channel, Message
from sandbox.vendors.payvalida import PayvalidaVendor

ROW = "minute"
CLICKS, CLICKS_QUICK = 500, 40
A_SECOND = 500 / 60
PLACES = 8
"""Accounts, each with a provider, a channel and requesters of its own."""
REQUESTERS = 2
"""Of each account, in turns."""
BURST = 3
"""Posts that Slack takes at once."""
SLACK_WAITS = 3.0
"""Seconds, for the answer to a click."""
AT_ONCE = 8
OWED = "SELECT 1 FROM message WHERE NOT delivered LIMIT 1"
PATIENCE = 900.0
"""Seconds after which an outcome that is not posted is lost."""


@dataclass
class Place:
    account: str
    vendor: PayvalidaVendor
    channel: Channel
    requesters: list[str]
    cards: list[Message] = field(default_factory=list)

    @property
    def references(self) -> list[str]:
        """Of the orders that are to be cancelled."""
        return [card.text.partition("`")[2].partition("`")[0] for card in self.cards]


async def measure(say: Say, quick: bool, clicks: int = CLICKS) -> list[Figure]:
    clicks = CLICKS_QUICK if quick else clicks
    async with on_stage() as stage, AsyncExitStack() as held:
        places = [await held.enter_async_context(_place(stage, number)) for number in range(PLACES)]
        file = stage.folder / "minute.db"
        environment = _environment(stage, places, file)
        async with running("bench.unpaced", environment, stage.folder) as bot:
            stage.talk_to(bot.url)
            await _ask(stage, places, clicks // 2)
            await _nothing_owed(file)
        await _slack_rests(stage)
        say(f"{ROW}: {clicks // 2} requests wait in {PLACES} channels")
        stage.workspace.rate_limits, stage.workspace.burst = True, BURST
        async with running("bot", environment, stage.folder, "run", "--transport", "http") as bot:
            stage.talk_to(bot.url)
            began = stage.workspace.clock()
            answers = await _approve(stage, places)
            say(f"{ROW}: all approved, after {stage.workspace.clock() - began:.0f} s")
            await _told(stage, places)
            await _nothing_owed(file)
            took = stage.workspace.clock() - began
        _nothing_lost(places)
        posts = _posts(stage, began)
        say(f"{ROW}: Slack took {posts.total()} posts, and refused {_refused(stage, began)}")
    what = f"{clicks} approvals within {clicks / A_SECOND:.0f} s"
    told = f"{what}, until all is done and told; floor: Slack's limit"
    slowest = f"{what}, slowest answer; floor: how long Slack waits"
    return [
        Figure(ROW, told, "s", [took], [max(posts.values()) - BURST], at_most=1.1),
        Figure(ROW, slowest, "s", [max(answers)], [SLACK_WAITS], at_most=1),
    ]


@asynccontextmanager
async def _place(stage: Stage, number: int) -> AsyncIterator[Place]:
    requesters = stage.newcomers(REQUESTERS)
    people = [*(member.id for member in requesters), "U0BOB", "U0CAROL", BOT_USER]
    channel = Channel(f"C0SHOP{number}", f"shop{number}", people)
    stage.workspace.channels[channel.id] = channel
    place = Place(channel.name, PayvalidaVendor(), channel, [member.name for member in requesters])
    await place.vendor.start()
    try:
        yield place
    finally:
        await place.vendor.stop()


def _environment(stage: Stage, places: Sequence[Place], file: Path) -> dict[str, str]:
    """Of a bot with these accounts."""
    accounts = stage.folder / "accounts.toml"
    accounts.write_text("\n".join(map(_account, places)), "utf-8")
    given = stage.environment(
        f"sqlite:///{file}", ACCOUNTS_FILE=str(accounts), FIXED_HASH=PayvalidaVendor.fixed_hash
    )
    return {name: value for name, value in given.items() if not name.startswith("PAYVALIDA_")}


def _account(place: Place) -> str:
    settings = {
        "PAYVALIDA_BASE_URL": place.vendor.base_url,
        "PAYVALIDA_MERCHANT": place.vendor.merchant,
        "APPROVAL_CHANNEL": place.channel.id,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    return "\n".join(
        [f"[payvalida.{place.account}]", *lines, 'PAYVALIDA_FIXED_HASH = { env = "FIXED_HASH" }', ""]
    )


async def _ask(stage: Stage, places: Sequence[Place], requests: int) -> None:
    """Spread over the places, and wait until they can be approved."""
    work = []
    for number, place in enumerate(places):
        form = await stage.form("payvalida", place.account)
        mine = range(number, requests, len(places))
        who = cycle(place.requesters)
        work += [stage.send(form, place.vendor.new_order(), next(who)) for _ in mine]
    await all_of(work, AT_ONCE)
    waiting = await stage.workspace.wait_until(lambda: _waiting(places, requests), SETTLED)
    for place, cards in zip(places, waiting, strict=True):
        place.cards = cards


def _waiting(places: Sequence[Place], requests: int) -> list[list[Message]]:
    """The cards of each place that can be approved, once all can."""
    found = [[card for card in place.channel.messages if button(card, "approve")] for place in places]
    return found if sum(map(len, found)) == requests else []


async def _approve(stage: Stage, places: Sequence[Place]) -> list[float]:
    """Twice each, now here and now there. Returns the seconds of each answer."""

    async def click(who: str, card: Message, at: float) -> float:
        await asyncio.sleep(at - time.monotonic())
        return await stage.click(who, card, "approve")

    most = max(len(place.cards) for place in places)
    cards = [card for number in range(most) for place in places for card in place.cards[number : number + 1]]
    clicks = [(who, card) for card in cards for who in ("bob", "carol")]
    began = time.monotonic()
    return await asyncio.gather(
        *(click(who, card, began + number / A_SECOND) for number, (who, card) in enumerate(clicks))
    )


async def _told(stage: Stage, places: Sequence[Place]) -> None:
    """Every outcome is posted."""
    cards = [card for place in places for card in place.cards]
    await stage.workspace.wait_until(
        lambda: all(any(map(is_outcome, card.thread)) for card in cards), PATIENCE
    )


async def _nothing_owed(file: Path) -> None:
    """Slack has taken every message, and the bot has noted it."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        async with asyncio.timeout(SETTLED):
            while database.execute(OWED).fetchone():  # noqa: ASYNC110  (nobody tells)
                await asyncio.sleep(GLANCE)


async def _slack_rests(stage: Stage) -> None:
    """Until it takes a burst again everywhere."""
    posted = max(call.at for call in stage.workspace.calls if call.method == "chat.postMessage")
    await asyncio.sleep(posted + BURST - stage.workspace.clock())


def _nothing_lost(places: Sequence[Place]) -> None:
    """Raises unless each order was cancelled by one call, and its outcome told once."""
    for place in places:
        expected = Counter(place.references)
        outcomes = [sum(map(is_outcome, card.thread)) for card in place.cards]
        if Counter(place.vendor.sends) != expected or Counter(place.vendor.performed) != expected:
            raise AssertionError(f"{place.account}: sent {place.vendor.sends}, expected {place.references}")
        if set(outcomes) - {1}:
            raise AssertionError(f"{place.account}: outcomes told {outcomes}")


def _posts(stage: Stage, since: float) -> Counter[str]:
    """What Slack took, by channel; direct messages have theirs."""
    return Counter(str(call.args["channel"]) for call in _posting(stage, since) if call.ok)


def _refused(stage: Stage, since: float) -> int:
    """How many posts came too soon, and had to come again."""
    return sum(not call.ok for call in _posting(stage, since))


def _posting(stage: Stage, since: float) -> list[Call]:
    calls = stage.workspace.calls
    return [call for call in calls if call.method == "chat.postMessage" and call.at >= since]
