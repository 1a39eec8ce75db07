"""Background loops that must not die quietly: started again with back-off, and seen when they fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from bot.logs import get_logger

log = get_logger(__name__)

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 5.0
"""Seconds between two attempts, at most: when a database is back after minutes, nobody should have to wait
any longer for the bot."""
STEADY = 5.0
"""Seconds after which a loop that was started again is taken for mended."""


class Supervisor:
    """Owns the bot's loops and its short-lived tasks."""

    def __init__(self) -> None:
        self._loops: list[asyncio.Task[None]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self.failing: dict[str, str] = {}
        """Loops that failed and have not run well for a while since, with the class of the failure: for
        `/readyz`."""

    def keep_running(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        self._loops.append(asyncio.create_task(self._keep(name, loop), name=name))

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run `work` beside everything else; a failure is logged, never lost."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    async def stop(self, grace: float) -> None:
        """Stop the loops, give running tasks `grace` seconds to end, then cancel what is left."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        pause = FIRST_PAUSE
        while True:
            started = asyncio.get_running_loop().time()
            await self._run(name, loop)
            lived = asyncio.get_running_loop().time() - started
            pause = FIRST_PAUSE if lived > STEADY else min(pause * 2, LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _run(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        """Once, until it fails. A loop that ends by itself has failed as well."""
        well = asyncio.get_running_loop().call_later(STEADY, self.failing.pop, name, None)
        try:
            await loop()
            self.failing[name] = "it ended"
            log.error("loop_ended", loop=name)
        except asyncio.CancelledError as problem:
            if _is_told_to_stop():
                raise
            # Something that it waited for was cancelled by somebody else.
            self.failing[name] = type(problem).__name__
            log.exception("loop_failed", loop=name)
        except Exception as problem:
            self.failing[name] = type(problem).__name__
            log.exception("loop_failed", loop=name)
        finally:
            well.cancel()

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (problem := task.exception()):
            log.error("task_failed", task=task.get_name(), exc_info=problem)


def _is_told_to_stop() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
