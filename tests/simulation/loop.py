"""An event loop whose time passes only when nobody has anything to do, and the same way every time.

Work done in threads elsewhere is done at once here, so there are no threads. Each handle belongs to the
`Owner` in whose context it was made, one simulated process: one that is dead runs no more, and one that
is stopped runs on when it is continued, as the operating system would have it.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
MANY = 200
"""Tasks of one process, after which those that are done are forgotten."""


class Owner:
    """What a loop has to know about a process."""

    def __init__(self) -> None:
        self.is_dead = False
        self.is_stopped = False
        self.slept = 0.0
        """Seconds for which the machine was suspended: its timers do not count them."""
        self.tasks: list[tuple[asyncio.Task[Any], Context]] = []
        self.held: list[Handle] = []
        """What became due while it was stopped."""


OWNER: ContextVar[Owner | None] = ContextVar("owner", default=None)


class Handle(asyncio.TimerHandle):
    """A callback, at once or later, and whose it is."""

    __slots__ = ("due", "owner", "slept")

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: Loop,
        context: Context | None,
    ) -> None:
        context = copy_context() if context is None else context
        super().__init__(when, callback, args, loop, context)
        self.owner = context.get(OWNER)
        self.slept = self.owner.slept if self.owner else 0.0
        self.due = when + self.slept
        """By the loop's own time; `when` is by the owner's."""


class Loop(asyncio.AbstractEventLoop):
    """Virtual time in seconds from 0. `shuffle`: what is ready runs in any order, not the first first."""

    def __init__(self, shuffle: Random | None = None) -> None:
        self.now = 0.0
        self.problems: list[str] = []
        """What asyncio itself complained about."""
        self._shuffle = shuffle
        self._ready: deque[Handle] = deque()
        self._timers: list[tuple[float, int, Handle]] = []
        self._count = 0

    # --- running ----------------------------------------------------------------------------------

    def run_while(self, busy: Callable[[], bool], until: float) -> None:
        """Run for as long as `busy` says so; at most until the time `until`, or until nothing is left."""
        with self._running():
            while busy() and self._has_ready(until):
                self._run_one()

    @contextmanager
    def _running(self) -> Iterator[None]:
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            asyncio._set_running_loop(before)

    def _has_ready(self, until: float) -> bool:
        while not self._ready:
            if not self._timers or self._timers[0][0] > until:
                return False
            self.now = max(self.now, self._timers[0][0])
            while self._timers and self._timers[0][0] <= self.now:
                self._ring(heapq.heappop(self._timers)[2])
        return True

    def _ring(self, timer: Handle) -> None:
        """A timer is due, unless it did not count while the machine was suspended."""
        if timer.cancelled():
            return
        missed = timer.owner.slept - timer.slept if timer.owner else 0.0
        if missed > 0 and timer.owner:
            timer.slept = timer.owner.slept
            timer.due += missed
            self._push(timer)
        else:
            self._ready.append(timer)

    def _run_one(self) -> None:
        if self._shuffle is not None and len(self._ready) > 1:
            self._ready.rotate(-self._shuffle.randrange(len(self._ready)))
        handle = self._ready.popleft()
        owner = handle.owner
        if owner is not None and (owner.is_dead or owner.is_stopped):
            if not owner.is_dead:
                owner.held.append(handle)
            return
        if not handle.cancelled():
            handle._run()

    def continue_(self, owner: Owner, slept: float = 0.0) -> None:
        """Let a stopped process go on. `slept`: for so many seconds its whole machine was suspended."""
        owner.is_stopped = False
        owner.slept += slept
        held, owner.held = owner.held, []
        for handle in held:
            self._ring(handle) if handle.when() else self._ready.append(handle)

    def bury(self, owner: Owner) -> None:
        """Remove what is left of a dead process. It cannot do anything any more, and none of it counts."""
        with self._running():
            while owner.tasks:
                task, context = owner.tasks.pop()
                if not task.done():
                    setattr(task, "_log_destroy_pending", False)  # noqa: B010
                    context.run(_close, task.get_coro())
        owner.held.clear()

    # --- what asyncio asks of a loop ----------------------------------------------------------------

    def time(self) -> float:
        owner = OWNER.get()
        return self.now - owner.slept if owner else self.now

    def call_soon(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        handle = Handle(0.0, callback, args, self, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = Handle(when, callback, args, self, context)
        self._push(handle)
        return handle

    def _push(self, timer: Handle) -> None:
        self._count += 1
        heapq.heappush(self._timers, (timer.due, self._count, timer))

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are dropped when their time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
        **_: Any,
    ) -> asyncio.Task[T]:
        context = copy_context() if context is None else context
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        owner = context.get(OWNER)
        if owner is not None:
            if len(owner.tasks) > MANY:
                owner.tasks = [(each, its) for each, its in owner.tasks if not each.done()]
            owner.tasks.append((task, context))
        return task

    async def run_in_executor(  # type: ignore[override]
        self, _executor: Any, func: Callable[[*Ts], T], *args: *Ts
    ) -> T:
        """At once, in this thread."""
        return func(*args)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.problems.append(f"{context.get('message')}: {context.get('exception')!r}")

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False


def _close(coroutine: Any) -> None:
    """Some code waits for something once more when it is closed; then it is closed once more."""
    while True:
        try:
            coroutine.close()
            return
        except RuntimeError:
            continue
