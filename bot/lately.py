"""How many requests of the last thirty days are in each state.

There may be tens of thousands, and a Home is painted anew with every click on a card: so they are counted
day by day, and after a change only those days anew whose requests changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from bot.model import State
from bot.store import Unit
from bot.store.chain import Head

DAYS = 30
"""With today, by UTC."""
FOLLOWED_AT_MOST = 1000
"""Events since the last count of which it is looked up what they changed. After more, all is counted."""
A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Lately:
    head: Head
    """The end of the history when it was counted."""
    days: Mapping[date, Mapping[State, int]]
    """Of the requests made on each day, how many are in each state now."""

    @property
    def counts(self) -> Mapping[State, int]:
        total: Counter[State] = Counter()
        for day in self.days.values():
            total.update(day)
        return total


def count(unit: Unit, head: Head, today: date, known: Lately | None) -> Lately:
    """`head`: the end of the history. `known`: what was counted the last time."""
    kept = {} if known is None else _still_so(unit, head, known)
    days = (today - A_DAY * ago for ago in range(-1, DAYS))  # the clock may have been set back
    return Lately(head, {day: kept[day] if day in kept else _counted(unit, day) for day in days})


def _still_so(unit: Unit, head: Head, known: Lately) -> Mapping[date, Mapping[State, int]]:
    if head.seq - known.head.seq > FOLLOWED_AT_MOST or not unit.known([known.head]):
        return {}
    changed = {made.date() for made in unit.made_of_changed(known.head.seq)}
    return {day: counts for day, counts in known.days.items() if day not in changed}


def _counted(unit: Unit, day: date) -> Mapping[State, int]:
    midnight = datetime.combine(day, time(), UTC)
    return unit.counts(midnight, midnight + A_DAY)
