"""What must hold after a cancellation, whatever was done to the bot meanwhile; looked at from outside."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from bot.model import State
from tests.crash import records
from tests.crash.cancellation import Cancellation


def violations(done: Cancellation, *, broken: bool = False) -> list[str]:
    """`broken`: the disk was, so that people may have been told that something did not work."""
    return [*done.troubles, *_sent(done), *_kept(done), *_told(done), *_complaints(done, broken)]


def _sent(done: Cancellation) -> Iterator[str]:
    """At most once, or again only after a look-up between, and never after it took effect."""
    if done.performed != 1:
        yield f"the cancel took effect {done.performed} times"
    seen = [one for one in done.vendor.seen if one.changes or one.order in (None, done.reference)]
    places = [place for place, one in enumerate(seen) if one.changes and one.order == done.reference]
    if len(places) > 2:
        yield f"sent {len(places)} times"
    for first, second in pairwise(places):
        if seen[first].problem is None:
            yield "sent again although it had been carried out"
        if not any(not one.changes for one in seen[first:second]):
            yield "sent again without a look-up"


def _kept(done: Cancellation) -> Iterator[str]:
    """Nothing is forgotten that was answered with ok."""
    now = done.look()
    if now.request is None or now.request.state is not State.CANCELLED:
        yield f"it ended as {now.request.state if now.request else 'nothing'}"
    missing = [who for who in done.approved if done.world.person(who).id not in now.approvers]
    if missing:
        yield f"the approval of {' and '.join(missing)} was answered with ok and is not stored"
    if now.permits < done.sends:
        yield f"{done.sends} sends on {now.permits} permits"
    records.verify(done.machine.database)


def _told(done: Cancellation) -> Iterator[str]:
    """Everything once. Twice only what cannot be looked for, if Slack took it right before a death."""
    now = done.look()
    for text, times in now.written.items():
        unnoted = (death.posted[text] - death.kept.noted[text] for death in done.deaths)
        spare = max(unnoted, default=0) if text in now.direct else 0
        if not times <= done.posted[text] <= times + spare:
            yield f"posted {done.posted[text]} times instead of {times} (+{spare}): {text[:80]!r}"
    if len(done.cards) != 1:
        yield f"{len(done.cards)} cards"
    if len(done.top_level) > len(done.cards):
        yield f"{len(done.top_level) - len(done.cards)} messages outside of the thread"
    if not done.outcomes:
        yield "no outcome in the channel"
    for outcome in done.outcomes:
        payload = (outcome.metadata or {}).get("event_payload", {})
        if now.request is not None and payload.get("request_id") != now.request.id:
            yield "an outcome that does not say which request it belongs to"


def _complaints(done: Cancellation, broken: bool) -> Iterator[str]:
    """Nothing that Slack would complain about."""
    problems = done.world.workspace.problems
    yield from (problem for problem in problems if not (broken and "the person saw an error" in problem))
    problems.clear()
