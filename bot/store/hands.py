"""What the worker of this process has in hand, and how much more it may take.

Whoever saves work that is due at once claims it in the same transaction while a hand is free: then nobody
has to look for it, and it is begun as soon as it is durable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

AT_ONCE = 64
AT_ONCE_PER_LANE = 8
"""So that a provider that hangs keeps nobody from another one."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """Work that somebody holds."""

    id: int
    kind: str
    key: str
    lane: str
    due: datetime
    """When it was due, as it was taken."""
    runs: int
    token: str


class Hands:
    """Closed until a worker opens them. Any thread may ask. Only the thread that writes claims, and what it
    claims counts from that moment on; what was rolled back or is done is let go."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._lanes: Counter[str] = Counter()
        self._held: set[int] = set()
        self.token = ""
        """What the claims of this worker are marked with; empty while it takes nothing."""
        self.lease = timedelta(0)
        self.somebody_waits = False
        """Work that is due found no room, so what becomes due now has to wait for its turn."""

    def open(self, token: str, lease: timedelta) -> None:
        """Take what there is room for from now on, and hold it for so long."""
        self.token, self.lease = token, lease
        self.somebody_waits = False

    def close(self) -> None:
        self.token = ""

    @property
    def are_open(self) -> bool:
        return bool(self.token)

    @property
    def are_free(self) -> bool:
        """Whether anything at all may be taken."""
        with self._guard:
            return self.are_open and self._lanes.total() < AT_ONCE

    def have_room_in(self, lane: str) -> bool:
        """Whether what becomes due in this lane may be taken at once."""
        with self._guard:
            is_full = self._lanes.total() >= AT_ONCE or self._lanes[lane] >= AT_ONCE_PER_LANE
            self.somebody_waits |= is_full
            return self.are_open and not self.somebody_waits

    def full(self) -> list[str]:
        """Lanes in which nothing more is begun."""
        with self._guard:
            return [lane for lane, number in self._lanes.items() if number >= AT_ONCE_PER_LANE]

    def running(self) -> tuple[int, ...]:
        """The actions that are under way here, whatever their lease says."""
        with self._guard:
            return tuple(self._held)

    def hold(self, one: Claimed) -> None:
        with self._guard:
            self._held.add(one.id)
            self._lanes[one.lane] += 1

    def let_go(self, some: Iterable[Claimed]) -> bool:
        """Returns whether there was no room before for some of what may be due."""
        made_room = False
        with self._guard:
            for one in some:
                full = self._lanes[one.lane] >= AT_ONCE_PER_LANE or self._lanes.total() >= AT_ONCE
                made_room |= full
                self._held.discard(one.id)
                self._lanes[one.lane] -= 1
        return made_room
