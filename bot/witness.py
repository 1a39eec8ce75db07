"""The witness: what Slack knows that this machine may have wrong, the time and its own past.

Every outcome is posted with the head of the history at that moment. A database that lacks an event of
which the channel knows is a restored backup, a copy, or another one: what it believes is still to be
done may have been done. And a clock that is wrong makes requests live too long, or too short.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from bot.anchors import Anchor, forgotten, remember
from bot.delivery import OUTCOME
from bot.errors import StorageError
from bot.logs import get_logger
from bot.slack import Posted, SlackProblem
from bot.store import Store
from bot.store.chain import Head
from providers import fence

log = get_logger(__name__)

WRONG_BY = timedelta(seconds=60)
"""Clocks that differ by more are not believed."""
COMPARE_EVERY = 300.0
COUNTS_FOR = 900.0
"""Seconds for which a comparison with the channel counts. Slack may be away for a moment."""
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 15.0
NEWEST = 200
AT_MOST = 1000
"""Messages that are read in search of a first anchor, in a channel where people talk as well."""


class Source(Protocol):
    clock_offset: timedelta | None

    async def history(self, channel: str, *, limit: int, latest: str | None = None) -> list[Posted]: ...


async def read_anchors(source: Source, channels: Iterable[str]) -> list[Anchor]:
    """The anchors in the newest part of these channels. Raises `SlackProblem` if one cannot be read."""
    found: list[Anchor] = []
    for channel in channels:
        messages = await source.history(channel, limit=NEWEST)
        here = _anchors(messages)
        if not here and len(messages) == NEWEST:
            here = _anchors(await source.history(channel, limit=AT_MOST - NEWEST, latest=messages[-1].ts))
        found += here
    return found


def _anchors(messages: Iterable[Posted]) -> list[Anchor]:
    ours = [message for message in messages if message.is_ours and message.event_type == OUTCOME]
    if any(not message.payload for message in ours):
        raise SlackProblem("metadata_withheld")  # nothing would look the same as "nothing to fear"
    return [anchor for anchor in map(_anchor, ours) if anchor is not None]


def _anchor(message: Posted) -> Anchor | None:
    head = Head.read(message.payload.get("audit_head"))
    if head is None:
        return None
    request_id, state = (str(message.payload.get(name, "")) for name in ("request_id", "state"))
    posted_at = datetime.fromtimestamp(float(message.ts), UTC)
    return Anchor(head, request_id, state, posted_at)


class Witness:
    """Compares this machine with what Slack knows. `doubt` tells at once what is known by now."""

    def __init__(
        self,
        source: Source,
        store: Store,
        channels: Iterable[str],
        clock: Callable[[], datetime],
        elapsed: Callable[[], float] = fence.elapsed,
    ) -> None:
        self._source = source
        self._store = store
        self._channels = tuple(dict.fromkeys(channels))
        self._clock = clock
        self._elapsed = elapsed
        self._forgotten: list[Anchor] = []
        self._compared_at: float | None = None
        self._problem = ""
        """Why the latest comparison failed."""
        self._wait = 0.0
        """Seconds that Slack wants to be left alone."""
        self._database_ahead = timedelta(0)
        """Of this machine's clock. Its time counts where several machines share it."""
        self._told: dict[str, timedelta] = {}

    def doubt(self) -> str:
        """Why nothing may be executed now, in one sentence; empty when nothing speaks against it."""
        return self.clock_doubt() or self._history_doubt()

    def clock_doubt(self) -> str:
        """The part of it that needs no comparison with the channel."""
        ahead = self._source.clock_offset
        if ahead is None:
            return ""
        for whose, by in (("this machine", ahead), ("the database", ahead + self._database_ahead)):
            if abs(by) > WRONG_BY:
                return self._clock_is_wrong(whose, by)
        return ""

    async def run(self) -> None:
        """Compare again and again, for ever."""
        failed = 0
        while True:
            failed = failed + 1 if self._problem or self._forgotten else 0
            pause = min(FIRST_PAUSE * 2 ** min(failed - 1, 9), LONGEST_PAUSE) if failed else COMPARE_EVERY
            await asyncio.sleep(max(pause, self._wait))
            await self.compare()

    async def compare(self) -> None:
        """Hold the history and the database's clock against Slack's. What fails is tried again by `run`."""
        self._wait = 0.0
        try:
            anchors = await read_anchors(self._source, self._channels)
            lacking, now = await self._store.read(lambda unit: (forgotten(unit, anchors), unit.now))
            if lacking and lacking != self._forgotten:
                log.error("history_is_behind", events=[anchor.head.seq for anchor in lacking])
                await self._store.write(lambda unit: remember(unit, lacking))
        except SlackProblem as problem:
            self._problem = problem.code
            self._wait = problem.retry_after.total_seconds() if problem.retry_after else 0.0
            log.warning("channel_not_read", why=problem.code)
            return
        except StorageError as problem:
            self._problem = "the database cannot be used"
            log.warning("history_not_compared", why=problem.advice)
            return
        self._problem, self._forgotten, self._compared_at = "", lacking, self._elapsed()
        self._database_ahead = now - self._clock()

    def _clock_is_wrong(self, whose: str, by: timedelta) -> str:
        # The same number for as long as it is about right: a new one would be news on every card.
        if abs(by - self._told.get(whose, timedelta(0))) > timedelta(seconds=5):
            self._told[whose] = by
        by = self._told[whose]
        side = "ahead of" if by > timedelta(0) else "behind"
        return (
            f"The clock of {whose} is {abs(by).total_seconds():.0f} s {side} Slack's; an operator has to set "
            "it right."
        )

    def _history_doubt(self) -> str:
        if self._forgotten:
            newest = self._forgotten[0].head.seq
            return (
                f"The channel knows of event {newest}, and this database does not: it is an older copy, or "
                "another one. An operator has to look, and to run python -m bot audit acknowledge."
            )
        if self._compared_at is not None and self._elapsed() - self._compared_at < COUNTS_FOR:
            return ""
        why = f" ({self._problem})" if self._problem else " yet"
        return f"The history has not been compared with the channel{why}."
