"""What the worker of this process has in hand, and how much more it may take.

Whoever saves work that is due at once claims it in the same transaction while there is room: then nobody
has to look for it, and it is begun as soon as it is durable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

AT_ONCE = 64
"""In all lanes together. A lane in which nothing is under way may still begin one more."""
AT_ONCE_PER_LANE = 8
"""So that an account that hangs keeps nobody from another one; and however many hang, each lane goes on."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """Work that somebody holds."""

    id: int
    kind: str
    key: str
    """The request or the batch that it is about."""
    lane: str
    due: datetime
    """When it was due, as it was taken."""
    runs: int
    token: str


@dataclass(frozen=True, slots=True)
class Terms:
    """On which a worker claims."""

    token: str
    """What its claims are marked with."""
    lease: timedelta
    """How long it holds them."""


class Slots:
    """Closed until a worker opens them. Any thread may ask. Only the thread that writes claims, and what it
    claims counts from that moment on; what was rolled back or is done is let go."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._lanes: Counter[str] = Counter()
        self._held: dict[int, tuple[str, str]] = {}
        self._waited_for: set[str] = set()
        """Lanes in which something that is due may wait for room."""
        self.terms: Terms | None = None
        """Read it once for each claim: the worker may close them at any moment."""

    def open(self, terms: Terms) -> None:
        """Take what there is room for from now on."""
        self.terms = terms

    def close(self) -> None:
        self.terms = None

    @property
    def are_free(self) -> bool:
        """Whether there is room in whatever lane, but for those that are full."""
        with self._guard:
            return self.terms is not None and not self._is_full()

    def have_turn_for(self, lane: str) -> bool:
        """Whether work that becomes due in this lane may be claimed at once. If not, the lane is marked as
        waiting, and later work queues behind it."""
        with self._guard:
            if self.terms is None:
                return False
            if self._lanes[lane] >= self._room():
                self._waited_for.add(lane)
            return lane not in self._waited_for

    def everybody_had_their_turn(self) -> None:
        """What was due was taken in its order, as far as there was room for it."""
        with self._guard:
            self._waited_for = set(self._full())

    def full(self) -> list[str]:
        """Lanes in which nothing more is begun."""
        with self._guard:
            return self._full()

    def running(self) -> tuple[int, ...]:
        """The actions that are under way here, whatever their lease says."""
        with self._guard:
            return tuple(self._held)

    def are_at(self, kind: str, key: str) -> bool:
        """Whether this work is under way here."""
        with self._guard:
            return (kind, key) in self._held.values()

    def hold(self, one: Claimed) -> None:
        with self._guard:
            self._held[one.id] = one.kind, one.key
            self._lanes[one.lane] += 1

    def let_go(self, some: Iterable[Claimed]) -> bool:
        """Returns whether there was no room before for some of what may be due."""
        made_room = False
        with self._guard:
            for one in some:
                made_room |= self._is_full() or one.lane in self._full()
                self._held.pop(one.id, None)
                self._lanes[one.lane] -= 1
        return made_room

    def _is_full(self) -> bool:
        return self._lanes.total() >= AT_ONCE

    def _room(self) -> int:
        """In each lane."""
        return 1 if self._is_full() else AT_ONCE_PER_LANE

    def _full(self) -> list[str]:
        room = self._room()
        return [lane for lane, number in self._lanes.items() if number >= room]


NO_SLOTS = Slots()
"""Where there is no worker. They stay closed."""
