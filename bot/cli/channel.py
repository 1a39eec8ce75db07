"""`audit verify --channel`: the approvals channel held against the history."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from bot.audit import history
from bot.audit.channel import Comparison
from bot.audit.promised import Promised, PromisedList, promised
from bot.cli.console import BAD_CHAIN, FAILED, OK, complain, plainly, read_settings, say
from bot.delivery import OUTCOME
from bot.logs import one_line
from bot.settings import Settings
from bot.slack import PAGE, Posted, Slack, SlackProblem
from bot.store.reading import reading
from providers import ADAPTERS

PATIENCE = 10
"""How often a rate limit of Slack's is waited out for one call."""

Channels = dict[str, dict[str, Posted]]
"""Of each channel the cards, by their `ts`."""
Threads = dict[str, list[Posted]]
"""Of each request or list the replies under its card."""


def verify(since: datetime | None) -> int:
    """Exit 4 for a history that does not verify, and for a channel that says otherwise."""
    settings = read_settings()
    with plainly(), reading(settings.database_url) as connection:
        head = history.verify(connection)
        wanted = list(promised(connection, since))
    try:
        channels, threads = asyncio.run(_read(settings, wanted))
    except SlackProblem as problem:
        complain(f"The channel cannot be read ({problem.code}). Nothing was compared.", FAILED)
    found = _compare(settings.database_url, wanted, channels, threads)
    say(f"The history verifies: {head.seq} events, head {head.hash}.")
    if found:
        complain("\n".join(one_line(line) for line in found), BAD_CHAIN)
    lists = sum(isinstance(one, PromisedList) for one in wanted)
    of_lists = f", {lists} of them of lists" if lists else ""
    say(f"The channel agrees with it: {len(wanted)} outcomes were compared{of_lists}.")
    return OK


def _compare(
    url: str, wanted: Sequence[Promised | PromisedList], channels: Channels, threads: Threads
) -> list[str]:
    """Against the database as it is now: it may have gone on while Slack was read."""
    facts = {adapter.facts.name: adapter.facts for adapter in ADAPTERS}
    with plainly(), reading(url) as connection:
        comparison = Comparison(connection, facts)
        found: list[str] = []
        for one in wanted:
            card = channels.get(one.channel, {}).get(one.posted.card)
            wrong = comparison.complaints(one, card, threads.get(one.id, []))
            found += [f"request {one.id}: {complaint}" for complaint in wrong]
        everything = [message for cards in channels.values() for message in cards.values()]
        everything += [message for thread in threads.values() for message in thread]
        return list(dict.fromkeys([*found, *comparison.strangers(everything)]))


async def _read(settings: Settings, wanted: Sequence[Promised | PromisedList]) -> tuple[Channels, Threads]:
    """Everything the bot posted in its channels, and under the cards of these."""
    slack = Slack(settings.slack_bot_token.get_secret_value(), settings.slack_api_url)
    named = [account.channel or settings.approval_channel for account in settings.accounts]
    try:
        channels = {
            channel: await _cards(slack, channel)
            for channel in dict.fromkeys([*named, *(one.channel for one in wanted)])
        }
        threads = {
            one.id: await _thread(slack, one.channel, one.posted.card)
            for one in wanted
            if one.posted.card in channels[one.channel]
        }
    finally:
        await slack.close()
    return channels, threads


async def _cards(slack: Slack, channel: str) -> dict[str, Posted]:
    found: dict[str, Posted] = {}
    latest: str | None = None
    while True:
        page = await _patiently(slack, channel, latest)
        found |= {message.ts: message for message in _ours(page)}
        if len(page) < PAGE:
            return found
        latest = page[-1].ts


async def _patiently(slack: Slack, channel: str, latest: str | None) -> list[Posted]:
    for _ in range(PATIENCE):
        try:
            return await slack.history(channel, limit=PAGE, latest=latest)
        except SlackProblem as problem:
            await _wait_out(problem)
    raise SlackProblem("ratelimited")


async def _thread(slack: Slack, channel: str, ts: str) -> list[Posted]:
    for _ in range(PATIENCE):
        try:
            return _ours(await slack.replies(channel, ts))
        except SlackProblem as problem:
            if problem.code == "thread_not_found":
                return []
            await _wait_out(problem)
    raise SlackProblem("ratelimited")


async def _wait_out(problem: SlackProblem) -> None:
    """Slack's rate limit; anything else is raised."""
    if problem.retry_after is None:
        raise problem
    await asyncio.sleep(problem.retry_after.total_seconds())


def _ours(messages: Sequence[Posted]) -> list[Posted]:
    ours = [message for message in messages if message.is_ours]
    if any(message.event_type == OUTCOME and not message.payload for message in ours):
        raise SlackProblem("metadata_withheld")
    return ours
