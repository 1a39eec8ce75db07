"""Anchors: events of the history that somebody outside of the database knows of.

What the history lacks is written into it, so that it counts also when the channel forgets it and in every
process, until an operator has looked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime

from bot.store import Unit
from bot.store.chain import Head

BEHIND, ACKNOWLEDGED = "behind", "acknowledged"
"""What is noted in the history: what it was found to lack, and that somebody knows."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """An event of the history that the channel knows of, and what it was posted with; or that this bot wrote
    itself, with the permit of a cancel."""

    head: Head
    request_id: str
    state: str
    posted_at: datetime
    """When the card was posted, and what it tells came later; or when it was seen that the event is gone."""


def forgotten(unit: Unit, anchors: Iterable[Anchor]) -> list[Anchor]:
    """What the history lacks and nobody has acknowledged, the newest first.

    What was found once counts although it is not in the channel any more: this database has painted over
    it, or somebody has deleted it.
    """
    every = {anchor.head: anchor for anchor in (*_noted(unit, BEHIND), *anchors)}
    accepted = {anchor.head for anchor in _noted(unit, ACKNOWLEDGED)}
    left = every.keys() - accepted - unit.known(list(every))
    return [every[head] for head in sorted(left, key=lambda head: (head.seq, head.hash), reverse=True)]


def remember(unit: Unit, anchors: Iterable[Anchor]) -> None:
    """Write down that the history lacks these."""
    noted = {anchor.head for anchor in _noted(unit, BEHIND)}
    if new := [anchor for anchor in anchors if anchor.head not in noted]:
        unit.note(BEHIND, {"lacks": [_as_json(anchor) for anchor in new]})


def accept(unit: Unit, anchors: Iterable[Anchor]) -> None:
    """Go on with this database although it lacks these."""
    unit.note(ACKNOWLEDGED, {"lacks": [_as_json(anchor) for anchor in anchors]})


def _noted(unit: Unit, kind: str) -> Iterator[Anchor]:
    for one in (one for note in unit.notes(kind) for one in note["lacks"]):
        seq, _, digest = one["head"].partition(":")
        posted_at = datetime.fromisoformat(one["posted_at"])
        yield Anchor(Head(int(seq), digest), one["request_id"], one["state"], posted_at)


def _as_json(anchor: Anchor) -> dict[str, str]:
    return {**asdict(anchor), "head": str(anchor.head), "posted_at": anchor.posted_at.isoformat()}
