"""What the history adds up to, in numbers: read on from where it was left, so that a restart loses nothing
and every process on one database counts the same."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bot.batch.rules import BatchAttemptRefused
from bot.events import AttemptRefused, Event, Permitted, QuorumReached, Requested
from bot.model import ENDED, Request
from bot.rules import evolve

QUORUM_BUCKETS = (60, 300, 900, 1800, 3600, 4 * 3600, 12 * 3600, 86400)
OUTCOME_BUCKETS = (1, 2, 5, 10, 30, 60, 300, 1800, 4 * 3600, 86400)
_RULE = re.compile(r"[a-z_]{1,40}", re.ASCII)

Past = Sequence[tuple[str, Event | BatchAttemptRefused, datetime]]
"""Request or list, what happened to it, and when."""


@dataclass
class Spread:
    """How long something took, as a histogram."""

    bounds: tuple[int, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds


class Tally:
    """Only requests that are open are kept."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        """How many were made, by provider."""
        self.attempts: Counter[str] = Counter()
        """Cancels that were permitted, by provider."""
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """How requests ended, by provider and state."""
        self.refused: Counter[str] = Counter()
        """What did not count, by the rule that said so."""
        self.to_quorum = Spread(QUORUM_BUCKETS)
        """Seconds from the request to enough approvals, the first time."""
        self.to_outcome = Spread(OUTCOME_BUCKETS)
        """Seconds from enough approvals to the end, of what was sent."""
        self._open: dict[str, Request] = {}
        self._approved_at: dict[str, datetime] = {}

    def add(self, past: Past) -> None:
        """Events in the order of the history."""
        for request_id, event, at in past:
            if isinstance(event, AttemptRefused | BatchAttemptRefused):
                self.refused[event.rule if _RULE.fullmatch(event.rule) else "other"] += 1
            if isinstance(event, BatchAttemptRefused):
                continue  # its orders are requests by themselves, and nothing happened to them
            before = self._open.get(request_id)
            if before is None and not isinstance(event, Requested):
                continue  # it has ended, and nothing that comes later changes that
            self._count(before, evolve(before, event, at, request_id), event, at)

    def _count(self, before: Request | None, after: Request, event: Event, at: datetime) -> None:
        self._open[after.id] = after
        match event:
            case Requested():
                self.requests[after.provider] += 1
            case Permitted():
                self.attempts[after.provider] += 1
            case QuorumReached() if after.id not in self._approved_at:
                self._approved_at[after.id] = at
                self.to_quorum.add((at - after.created_at).total_seconds())
            case _:
                pass
        if after.state in ENDED and (before is None or before.state not in ENDED):
            self._end(after, at)

    def _end(self, request: Request, at: datetime) -> None:
        self.outcomes[request.provider, request.state.value] += 1
        approved_at = self._approved_at.pop(request.id, None)
        if approved_at is not None and request.attempts:
            self.to_outcome.add((at - approved_at).total_seconds())
        del self._open[request.id]
