"""What must hold about a request that has ended, seen from outside: the history, the provider, Slack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from bot.blocks.words import word
from bot.events import Approved, Denied, Event, Expired, OrderRead, Permitted, Withdrawn
from bot.model import Request, State
from bot.rules import replay
from bot.store import Store, Unit
from bot.store.chain import Head
from sandbox.slack.model import Message
from sandbox.vendors.vendor import Vendor
from tests.conftest import World

CALLED_OFF = (Denied, Withdrawn, Expired)
DECISIONS = {"Approve", "Deny", "Withdraw"}
"""How the buttons begin that nobody must find on the card of a request that has ended."""


class Story:
    """One request: what is stored of it, and what people see."""

    def __init__(self, world: World, store: Store, reason: str) -> None:
        def read(unit: Unit) -> tuple[Request | None, list[Event], bool]:
            found = next((one for one in unit.requests(limit=10_000) if one.reason == reason), None)
            if found is None:
                return None, [], True
            rows = unit.history(found.id)
            return found, [event for event, _ in rows], found == replay(found.id, rows)

        self.world = world
        self.reason = reason
        self.request, self.events, self.adds_up = store.read_now(read)
        self.cards = [message for message in world.cards if message.by_app and reason in message.readable]
        self.thread = [reply for card in self.cards for reply in card.thread]

    def count(self, kind: type[Event]) -> int:
        return sum(isinstance(event, kind) for event in self.events)

    def approvals_of(self, person: str) -> int:
        """How often an approval of that user was counted, by the history."""
        return sum(isinstance(event, Approved) and event.by.user == person for event in self.events)


def violations(story: Story, vendor: Vendor[Any], reference: str, sends: int = 1) -> list[str]:
    """`sends`: how many there may be at most, of which one may take effect."""
    if story.request is None:
        return [f"{story.reason}: it was lost"]
    found = [
        *_history(story, story.request),
        *_sent(story, story.request, vendor, reference, sends),
        *_told(story, story.request),
    ]
    return [f"{story.reason}: {each}" for each in found]


def chain_breaks(store: Store) -> list[str]:
    """Raises `ChainBroken` when the history does not verify."""
    store.read_now(lambda unit: unit.verify(Head()))
    return []


def _history(story: Story, request: Request) -> Iterator[str]:
    if not story.adds_up:
        yield "the request is not what its history adds up to"
    decided = [event for event in story.events if isinstance(event, CALLED_OFF)]
    if len(decided) > 1:
        yield f"called off {len(decided)} times: {decided}"
    if decided and any(isinstance(e, Permitted) for e in story.events[story.events.index(decided[0]) :]):
        yield "a permit after it was called off"
    counted: set[str] = set()
    for event in story.events:
        if isinstance(event, Approved) and event.by.user in counted:
            yield f"{event.by.user} approved twice"
        if isinstance(event, Approved):
            counted.add(event.by.user)
        if isinstance(event, OrderRead):
            counted.clear()  # another order: everybody is asked anew


def _sent(story: Story, request: Request, vendor: Vendor[Any], reference: str, sends: int) -> Iterator[str]:
    sent, performed = vendor.sends.count(reference), vendor.performed.count(reference)
    permits = story.count(Permitted)
    if sent > sends:
        yield f"sent {sent} times"
    if sent and any(isinstance(event, CALLED_OFF) for event in story.events):
        yield "sent although it was called off"
    if performed > 1:
        yield f"carried out {performed} times"
    if sent > permits:
        yield f"sent {sent} times on {permits} permits"
    if (request.state is State.CANCELLED) != (performed == 1):
        yield f"it says {word(request.state)!r}, and was carried out {performed} times"


def _told(story: Story, request: Request) -> Iterator[str]:
    """Once, in one place, and what is so."""
    if len(story.cards) != 1:
        yield f"{len(story.cards)} cards"
    if (says := f"Outcome: {word(request.state)}") not in story.cards[-1].readable:
        yield f"the card does not say {says!r}: {story.cards[-1].readable[:200]!r}"
    if left := DECISIONS & {button.partition(" ")[0] for button in story.cards[-1].buttons}:
        yield f"the card still has {left}"
    outcomes = [reply.text for reply in story.thread if _payload(reply).get("state")]
    if len(outcomes) != 1 or f"*{word(request.state)}*" not in outcomes[0]:
        yield f"the outcome in the thread: {outcomes}"
    yield from _repeated(story.thread)
    told = Counter(message.text for message in story.world.person("alice").dms())
    yield from (f"alice was told {times} times: {text!r}" for text, times in told.items() if times > 1)


def _repeated(thread: Sequence[Message]) -> Iterator[str]:
    marks = Counter(str(_payload(reply).get("message")) for reply in thread)
    for reply in thread:
        if marks[str(_payload(reply).get("message"))] > 1:
            yield f"posted more than once: {reply.text!r}"


def _payload(message: Message) -> dict[str, object]:
    payload: dict[str, object] = (message.metadata or {}).get("event_payload", {})
    return payload
