"""Is another bot connected to the same Slack app? Then each click reaches one of the two, whichever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from bot.logs import get_logger

log = get_logger(__name__)

PATIENCE = 120.0
"""Seconds for which two may be connected: longer than the old process of a deploy takes to end, and than
Slack takes to notice that a connection is dead."""
ANOTHER = (
    "another bot is connected to the same Slack app: Slack hands each click and command to either of the "
    "two, and one does not know the requests of the other; stop one, or give each an app of its own"
)


class Twins:
    """Slack tells a bot that connects how many connections the app has by then, and nobody else."""

    def __init__(self, others: Callable[[], Awaitable[int | None]]) -> None:
        """`others` asks how many connections are not ours; None: it could not be found out now."""
        self._others = others
        self._suspected = asyncio.Event()
        self.problem = ""

    def connected(self, connections: int | None) -> None:
        """`connections`: how many there were when this bot connected, itself included."""
        if connections is not None and connections > 1:
            self._suspected.set()

    async def watch(self) -> None:
        """Look again after a while wherever another one was seen, and from then on until it is gone."""
        while True:
            await self._suspected.wait()
            await asyncio.sleep(PATIENCE)
            others = await self._others()
            if others is None:
                continue
            if others and not self.problem:
                log.error("another_bot_connected", advice=ANOTHER)
            self.problem = ANOTHER if others else ""
            if not others:
                self._suspected.clear()
