"""What waits for a thread is done in one transaction: to begin one, to end it and to wait for the disk costs
more than most of what is done in it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from threading import Lock
from time import monotonic
from typing import Any, Generic, TypeVar

from bot.errors import StorageError
from bot.logs import get_logger
from bot.store.deadline import must_not_have_passed
from bot.store.unit import Unit

log = get_logger(__name__)

T = TypeVar("T")

AT_MOST = 32
"""Pieces in one transaction."""
LONG_ENOUGH = 0.012
"""Seconds after which none is begun any more in a transaction: somebody waits for those that are done, and
other processes for their turn, of which Postgres lets them wait 0.4 s."""


@dataclass(eq=False, repr=False, slots=True)
class Piece(Generic[T]):
    """Something to be done in a transaction, and what came of it. Its repr tells nothing: asyncio writes that
    to the log when a callback fails."""

    work: Callable[[Unit], T]
    until: float = inf
    """By `monotonic`: after that it is not begun any more."""
    units: list[Unit] = field(default_factory=list)
    """In which it was run. The last is the one that was committed. Those before it were rolled back, but one
    of them may have been committed as well where a connection was lost."""
    _result: list[T] = field(default_factory=list)

    def run_in(self, unit: Unit) -> Unit:
        """Raises what the work raises, and `StorageError` when it is too late."""
        self.must_be_in_time()
        self.units.append(unit)
        self._result = [self.work(unit)]
        unit.is_whole = True
        return unit

    def must_be_in_time(self) -> None:
        """Raises `StorageError`."""
        must_not_have_passed(self.until, was_begun=bool(self.units))

    @property
    def result(self) -> T:
        return self._result[0]


@dataclass(eq=False, repr=False, slots=True)
class _Wish:
    """A piece, and who waits for it."""

    piece: Piece[Any]
    done: asyncio.Future[None]
    problem: BaseException | None = None

    def fail_if_late(self) -> bool:
        """Returns whether it did."""
        try:
            self.piece.must_be_in_time()
        except StorageError as late:
            self.problem = late
        return self.problem is not None

    def tell(self) -> None:
        if not self.done.done():  # whoever waited may have gone
            self.done.set_result(None)


class Together:
    """One thread and what is to be done in it. Whoever asks for something does not notice what else was in
    the same transaction: where anything goes wrong nothing of it is kept, and each is done alone."""

    def __init__(
        self,
        thread: ThreadPoolExecutor,
        do: Callable[[Iterable[Piece[Any]]], None],
        do_one: Callable[[Piece[Any]], None],
        behind: Callable[[], None] = lambda: None,
        then: Callable[[Piece[Any], bool], None] | None = None,
    ) -> None:
        """`do` runs all of the pieces in one transaction; nothing was kept when it raises. `do_one` does
        one for as long as it makes sense to try, and raises why it was not done. `behind` is called each
        time when those who waited have been told. `then` is called in the event loop with each piece and
        whether it was done, also when whoever waited for it has gone."""
        self._thread = thread
        self._do = do
        self._do_one = do_one
        self._behind = behind
        self._then = then
        self._guard = Lock()
        self._waiting: deque[_Wish] = deque()
        self._is_at_it = False
        self._one_by_one: deque[_Wish] = deque()
        """What could not be done together. Only the thread touches it."""

    async def run(self, piece: Piece[T]) -> T:
        """Returns when it is done, or raises why not. When whoever awaits this is cancelled it goes on if it
        was begun, and is left out if not."""
        wish = _Wish(piece, asyncio.get_running_loop().create_future())
        with self._guard:
            if not self._is_at_it:
                self._thread.submit(self._work)
                self._is_at_it = True
            self._waiting.append(wish)
        await wish.done
        if wish.problem is not None:
            raise wish.problem
        return piece.result

    def _work(self) -> None:
        """Until nothing waits any more."""
        while wishes := self._take():
            done = self._do_them(wishes)
            for loop in {wish.done.get_loop() for wish in done}:
                with suppress(RuntimeError):  # it was closed, and whoever waited is gone
                    mine = [wish for wish in done if wish.done.get_loop() is loop]
                    loop.call_soon_threadsafe(self._tell, loop, mine)
            try:
                self._behind()
            except Exception:
                log.exception("not_done_behind_a_transaction")  # whoever waits must not wait for ever

    def _tell(self, loop: asyncio.AbstractEventLoop, done: Iterable[_Wish]) -> None:
        for wish in done:
            if self._then is not None:
                loop.call_soon(self._then, wish.piece, wish.problem is None)
            wish.tell()

    def _take(self) -> list[_Wish]:
        """What is to be done next, together; nothing when nobody waits."""
        while self._one_by_one:
            wish = self._one_by_one.popleft()
            if wish.piece.units or not wish.done.cancelled():
                return [wish]
        with self._guard:
            taken: list[_Wish] = []
            while self._waiting and len(taken) < AT_MOST:
                wish = self._waiting.popleft()
                if not wish.done.cancelled():
                    taken.append(wish)
            self._is_at_it = bool(taken)
        return taken

    def _do_them(self, wishes: list[_Wish]) -> list[_Wish]:
        """Returns those that are done, or failed; the others go on waiting, and come first."""
        if len(wishes) == 1:
            self._do_alone(wishes[0])
            return wishes
        rest = iter(wishes)
        try:
            self._do(wish.piece for wish in _in_time(rest))
        except BaseException:  # noqa: BLE001  (whichever it was: it will have it to itself)
            left = list(rest)
            begun = wishes[: len(wishes) - len(left)]
            # Where none was begun the database was busy; the first will see when it is not any more.
            self._one_by_one += begun or wishes[:1]
            self._wait_on(left if begun else wishes[1:])
            return []
        left = list(rest)
        self._wait_on(left)
        return wishes[: len(wishes) - len(left)]

    def _do_alone(self, wish: _Wish) -> None:
        if wish.done.cancelled():  # begun in vain, and nobody waits for it any more
            wish.problem = asyncio.CancelledError()
            return
        try:
            self._do_one(wish.piece)
        except BaseException as problem:  # noqa: BLE001  (for whoever waits)
            wish.problem = problem

    def _wait_on(self, wishes: list[_Wish]) -> None:
        with self._guard:
            self._waiting.extendleft(reversed(wishes))


def _in_time(wishes: Iterator[_Wish]) -> Iterator[_Wish]:
    """One after the other for as long as there is time, without those for which it is too late."""
    until = monotonic() + LONG_ENOUGH
    for wish in wishes:
        if not wish.fail_if_late():
            yield wish
            if monotonic() >= until:
                return
