"""A provider whose calls are measured. Nothing else about them changes."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from bot.traces import span
from providers.contract import Attempt, Credentials, Facts, OrderState, Outcome, Provider

T = TypeVar("T")
Watch = Callable[[str, str, str, float], None]
"""Told the provider, the call, its result and the seconds it took."""


class Measured:
    """Keeps to `Provider`, but that its facts are those of one account's provider."""

    def __init__(self, provider: Provider, watch: Watch) -> None:
        self._provider = provider
        self._watch = watch

    @property
    def facts(self) -> Facts:
        return self._provider.facts

    @property
    def account(self) -> str:
        return self._provider.account

    def turn(self) -> AbstractAsyncContextManager[None]:
        return self._provider.turn()

    async def look_up(self, reference: str) -> OrderState:
        return await self._timed("look_up", self._provider.look_up(reference), lambda order: order.standing)

    async def cancel(self, reference: str, note: str, before: OrderState) -> Outcome:
        work = self._provider.cancel(reference, note, before)
        return await self._timed("cancel", work, lambda outcome: outcome.result)

    async def follow_up(self, reference: str, attempt: Attempt) -> Outcome:
        work = self._provider.follow_up(reference, attempt)
        return await self._timed("follow_up", work, lambda outcome: outcome.result)

    async def check(self) -> Credentials:
        return await self._provider.check()

    async def close(self) -> None:
        await self._provider.close()

    async def _timed(self, call: str, work: Awaitable[T], result_of: Callable[[T], str]) -> T:
        """Also of a call that was given up."""
        result, began = "gave_up", time.monotonic()
        try:
            with span(f"{call} at {self._provider.facts.name}"):
                answer = await work
            result = str(result_of(answer))
        finally:
            self._watch(self._provider.facts.name, call, result, time.monotonic() - began)
        return answer
