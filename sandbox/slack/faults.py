"""Things that go wrong between the bot and Slack, on demand."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One call that will not go well."""

    kind: str  # "error", "status", "hang", "drop", "lose_answer"
    error: str = ""
    status: int = 200
    retry_after: int | None = None


class Faults:
    def __init__(self) -> None:
        self.outage = False
        self.hanging = 0  # calls that wait to be released
        self._planned: dict[str, deque[Fault]] = {}
        self._released = asyncio.Event()

    def plan(self, method: str, error: str, retry_after: int | None, status: int | None, times: int) -> None:
        queue = self._planned.setdefault(method, deque())
        queue.extend([_fault(error, retry_after, status)] * times)
        self._released.clear()

    def take(self, method: str) -> Fault | None:
        """The fault for this call, if one is planned for its method or for any ("*")."""
        if self.outage:
            return Fault("drop", error="outage")
        for name in (method, "*"):
            if queue := self._planned.get(name):
                return queue.popleft()
        return None

    @property
    def planned(self) -> list[tuple[str, Fault]]:
        """What has not happened yet: the method ("*": any), and how it will fail."""
        return [(method, fault) for method, queue in self._planned.items() for fault in queue]

    def clear(self) -> None:
        self._planned.clear()
        self.outage = False

    def release(self) -> None:
        self._released.set()

    async def hold(self, changed: Callable[[], None]) -> None:
        self.hanging += 1
        changed()
        await self._released.wait()
        self.hanging -= 1


def _fault(error: str, retry_after: int | None, status: int | None) -> Fault:
    if error in {"hang", "drop", "lose_answer"}:
        return Fault(error, error=error)
    if error in {"ratelimited", "rate_limited"} or status == 429:
        # Slack never leaves Retry-After out, and the SDK's handler relies on it.
        seconds = 1 if retry_after is None else retry_after
        return Fault("status", error="ratelimited", status=429, retry_after=seconds)
    if status is not None and status >= 500:
        return Fault("status", error=error, status=status, retry_after=retry_after)
    return Fault("error", error=error, status=status or 200)
