"""What must hold, after every step and at the end. The history is folded anew, by an oracle that knows the
events and the truth about orders and people, not the rules."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bot.errors import ChainBroken
from bot.events import AttemptRefused, Event
from bot.model import ENDED, OPEN, WORDS, Permit, Person, Request, State, reference_key
from bot.store import Unit
from bot.store.chain import Head
from bot.store.codec import load_event, load_request
from bot.store.requests import NOT_LOOKED_UP
from providers.contract import Standing
from tests.bot.builders import shown
from tests.simulation.messages import check_messages
from tests.simulation.oracle import Oracle
from tests.simulation.provider import ACCOUNT, Order, Send, facts_of
from tests.simulation.schedule import CALL, GROUP, LIST

if TYPE_CHECKING:
    from tests.simulation.people import Tried
    from tests.simulation.process import Process
    from tests.simulation.slack import Message
    from tests.simulation.world import World

EVENTS = "SELECT seq, request_id, at, kind, body, previous, hash FROM event"
REQUESTS = "SELECT id, body, state, is_open, version FROM request"
JUST_NOW = CALL + 16
"""Seconds before a cancel leaves in which everybody who approved was last confirmed."""
LOOKED_UP = 120.0
"""Seconds before a cancel leaves in which the order was last looked up."""
AT_ONCE = 60.0
"""Seconds within which what is due is done, where nothing goes wrong."""
WITHOUT_EFFECT = ENDED - {State.CANCELLED, State.ALREADY_CANCELLED, State.CLOSED}
"""States that say that this request cancelled nothing."""
SAYS = re.compile(r"(?:Outcome|Now): \*([a-z ,]+)\*|State: ([a-z ,]+)[.(]")
MEANT = {word: state for state, word in WORDS.items()}


class Checks:
    def __init__(self, world: World) -> None:
        self.world = world
        self.head = Head()
        self.cases: dict[str, Oracle] = {}
        """By request ID."""

    def case(self, request: str) -> Oracle | None:
        """By the beginning of its ID."""
        return next((case for name, case in self.cases.items() if name.startswith(request)), None)

    def order_of(self, request_id: str) -> Order:
        request = self.cases[request_id].request
        return next(
            order
            for name, order in self.world.vendor.orders.items()
            if reference_key(request.provider, ACCOUNT, name) == request.reference_key
        )

    # --- after each commit ------------------------------------------------------------------------

    def after_commit(self, process: Process) -> None:
        since = f"WHERE seq > {self.head.seq} ORDER BY seq"
        rows = self.world.database.rows(f"{EVENTS} {since}")
        changed: dict[str, Oracle] = {}
        for seq, request_id, at, kind, body, previous, digest in rows:
            if (seq, previous) != (self.head.seq + 1, self.head.hash):
                self.world.violated(f"event {seq} does not follow from the one before it")
            self.head = Head(seq, digest)
            self.world.say(f"saved: {kind}{_brief(body)} {request_id[:8] if request_id else ''}", process)
            if request_id:
                changed[request_id] = self._add(request_id, load_event(body), _time(at))
        if changed:
            self._compare(changed)
            self._one_open_request_an_order()

    def _add(self, request_id: str, event: Event, at: datetime) -> Oracle:
        case = self.cases.get(request_id)
        if case is None:
            case = self.cases[request_id] = Oracle(self.world, request_id)
        before = case.state
        case.add(event, at)
        if case.state is not before:
            self._has_become(case)
        return case

    def _has_become(self, case: Oracle) -> None:
        """A request is in another state: is it true?"""
        request, order = case.request, self.order_of(case.request_id)
        self._in_time(case)
        self.world.tally[f"became {request.state.value}"] += 1
        if request.state in {State.CANCELLED, State.ALREADY_CANCELLED} and order.cancelled_at is None:
            self.world.violated(f"request {request.short_id} is called cancelled and the order is not")
        if request.state in WITHOUT_EFFECT and order.cancelled_by == request.short_id:
            word = WORDS[request.state]
            self.world.violated(f"request {request.short_id} is called {word!r} and it cancelled the order")
        if request.state is State.NEEDS_PERSON:
            self.world.people.are_needed(request)

    def _in_time(self, case: Oracle) -> None:
        """Where nothing goes wrong, whatever is due is done at once."""
        late = self.world.loop.now - case.due_by
        if late > 0 and self.world.schedule.is_calm:
            self.world.violated(
                f"request {case.request_id[:8]} became {case.request.state.value} {late:.0f} s late"
            )
        if case.state is State.PENDING:
            left = case.request.expires_at - self.world.clock()
            case.due_by = self.world.loop.now + left.total_seconds() + AT_ONCE
        elif case.state in {State.CHECKING, State.APPROVED}:
            case.due_by = self.world.loop.now + AT_ONCE

    def _compare(self, changed: dict[str, Oracle]) -> None:
        """What is stored is what the events add up to."""
        names = ", ".join(f"'{name}'" for name in changed)
        rows = self.world.database.rows(f"{REQUESTS} WHERE id IN ({names})")
        found = {row[0]: row for row in rows}
        for name, case in changed.items():
            _, body, state, is_open, version = found[name]
            expected = case.request
            if load_request(body) != expected or (state, version) != (expected.state.value, expected.version):
                self.world.violated(f"request {name[:8]} is not what its history adds up to")
            if not self.world.schedule.told:
                self.world.workspace.see(expected)
            if bool(is_open) != (expected.state in OPEN):
                self.world.violated(f"request {name[:8]} is {state}, and its row says open: {is_open}")

    def _one_open_request_an_order(self) -> None:
        names: list[str] = []
        for case in self.cases.values():
            request = case.request
            if request.state in OPEN:
                names.append(request.reference_key)
                if request.state is not State.CHECKING and request.order and request.order.identity:
                    names.append(request.order.identity)
        if len(names) != len(set(names)):
            self.world.violated("two open requests are about one order")

    # --- when people were told something ------------------------------------------------------------

    def was_acknowledged(self, tried: Tried, request: Request) -> None:
        """Whoever is told that it is done can rely on it."""
        case = self.cases.get(tried.request_id or request.id)
        kept = case is not None and case.holds(tried)
        if not kept:
            self.world.violated(f"{tried.who.user} {tried.does} was acknowledged, and it is not stored")

    def was_refused(self, tried: Tried) -> None:
        case = self.cases.get(tried.request_id)
        if case is None or tried.does in {"asks", "denies"}:
            return  # the form asks before anything is decided
        if not any(isinstance(e, AttemptRefused) and e.by == tried.who for e in case.events):
            self.world.violated(f"{tried.who.user} {tried.does} was refused, and the history does not say so")

    def was_told(self, message: Message) -> None:
        """What is posted is true at that moment."""
        case = self.case(message.about) if message.about else None
        if case is None and message.thread and message.thread in self.world.workspace.messages:
            case = self.case(self.world.workspace.messages[message.thread].about)
        text = "\n".join([message.text, *([shown(message.blocks)] if message.blocks else [])])
        for words in SAYS.findall(text):
            state = MEANT.get(next(filter(None, words)).strip())
            if state is None:
                continue
            if case is None:
                found = re.search(r"Request `([0-9a-f]{8})`", text)
                case = self.case(found[1]) if found else None
            if case is not None:
                self._is_true(state, case)

    def _is_true(self, state: State, case: Oracle) -> None:
        order = self.order_of(case.request_id)
        short = case.request_id[:8]
        if state not in case.states:
            self.world.violated(f"people are told that request {short} is {state.value}; it never was")
        if state in {State.CANCELLED, State.ALREADY_CANCELLED} and order.cancelled_at is None:
            self.world.violated(f"people are told that request {short} is cancelled; the order is not")
        if state in WITHOUT_EFFECT and order.cancelled_by == short:
            self.world.violated(f"people are told {state.value} of request {short}; it cancelled the order")

    # --- when a cancel leaves, and takes effect -------------------------------------------------------

    def is_sent(self, send: Send, reference: str, process: Process, looked_up: float) -> None:
        """`looked_up`: how many seconds ago this process has last seen an order."""
        case = self.case(send.request)
        if case is None:
            self.world.violated(f"a cancel leaves for request {send.request}, which is not stored")
            return
        request, permit = case.request, case.request.permit
        if reference_key(request.provider, ACCOUNT, reference) != request.reference_key:
            self.world.violated(f"a cancel of order {reference} leaves for another order's request")
        if case.permits < send.attempt:
            self.world.violated(f"cancel {send.attempt} of request {send.request} leaves without a permit")
        if permit is not None:
            self._looked_up_in_time(send, permit, looked_up)
        self._not_twice(send)
        self._is_approved(send, case)
        self._are_confirmed(send, case, process.slack.heard)

    def _not_twice(self, send: Send) -> None:
        earlier = self.world.vendor.sends_of(send.request)
        if earlier:
            self.world.tally["a second cancel left after the first was proved without effect"] += 1
        if len(earlier) > 1:
            self.world.violated(f"request {send.request} sends a third cancel")
        if any(one.happens_at is not None for one in earlier):
            self.world.violated(f"request {send.request} sends again, and the first cancel has effect")

    def _is_approved(self, send: Send, case: Oracle) -> None:
        world, request = self.world, case.request
        since = world.loop.now - JUST_NOW
        clicked = {
            tried.who
            for tried in world.people.tried
            if (tried.request_id, tried.does, tried.digest) == (request.id, "approves", case.approved_digest)
        }
        who = case.approving & clicked - {request.requester}
        sure = {person for person in who if world.workspace.may_approve(person, since)}
        if len(sure) < max(2, request.quorum):
            names = ", ".join(sorted(person.user for person in sure)) or "nobody"
            world.violated(f"request {send.request} is sent with {names} approving")
        if not world.workspace.is_present(request.requester, since):
            world.violated(f"request {send.request} is sent though its requester has left")
        for tried in world.people.tried:
            stops = tried.does in {"denies", "withdraws"} and tried.told == "done"
            if stops and tried.request_id == request.id:
                world.violated(f"request {send.request} is sent though {tried.who.user} {tried.does} it")
        late = (world.clock() - request.expires_at).total_seconds()
        if late > JUST_NOW and not world.schedule.steps:
            world.violated(f"request {send.request} is sent {late:.0f} s after it expired")

    def _are_confirmed(self, send: Send, case: Oracle, heard: Mapping[str, float]) -> None:
        """Slack was asked about enough of them, and about the requester, right before."""
        now, request = self.world.loop.now, case.request

        def age(person: Person) -> float:
            names = (
                [person.user] if person.user in LIST or person == request.requester else [person.user, GROUP]
            )
            return max(now - heard.get(name, 0.0) for name in names)

        ages = sorted(age(person) for person in case.approving)
        for oldest in (*ages[: max(2, request.quorum)], age(request.requester)):
            if oldest > JUST_NOW:
                self.world.violated(
                    f"request {send.request} is sent on what Slack said about somebody {oldest:.0f} s ago"
                )

    def _looked_up_in_time(self, send: Send, permit: Permit, looked_up: float) -> None:
        """What the permit rests on was true a little while ago."""
        if looked_up > LOOKED_UP and permit.order.standing is not Standing.UNREADABLE:
            self.world.violated(
                f"request {send.request} is sent {looked_up:.0f} s after the order was looked up"
            )
        now, order = self.world.loop.now, send.order
        shown_as = permit.order.facts
        times = [now - LOOKED_UP, *(since for since, _ in order.past if now - LOOKED_UP <= since <= now)]
        if shown_as and shown_as not in [facts_of(order, order.version_at(max(at, 0.0))) for at in times]:
            self.world.violated(f"request {send.request} is sent on a look-up that is out of date")

    def was_carried_out(self, send: Send) -> None:
        case = self.case(send.request)
        if case is not None and case.state in WITHOUT_EFFECT:
            word = WORDS[case.state]
            self.world.violated(f"request {send.request}, called {word!r}, cancels the order after all")

    # --- at the end ---------------------------------------------------------------------------------

    def is_settled(self) -> bool:
        done = all(case.state in NOT_LOOKED_UP for case in self.cases.values())
        return done and not (self.world.schedule.told and self._owed())

    def what_is_left(self) -> str:
        open_now = [(n, c.request.state.value) for n, c in self.cases.items() if c.state not in ENDED]
        left = [f"request {name[:8]} is {state}" for name, state in open_now]
        return ", ".join([*left, f"{len(self._owed())} messages are owed"])

    def _owed(self) -> Sequence[Any]:
        return self.world.database.rows("SELECT id FROM message WHERE NOT delivered")

    def at_the_end(self) -> None:
        try:
            self.world.database.store.read_now(self._prove)
        except ChainBroken as broken:
            self.world.violated(f"the history does not verify: {broken.advice}")
        self._permits_and_references()
        if self.world.schedule.told:
            check_messages(self.world)

    def _prove(self, unit: Unit) -> None:
        unit.verify(Head())
        for name, case in self.cases.items():
            unit.prove(case.request)
            if unit.history(name) != case.past:
                self.world.violated(f"the history of request {name[:8]} has changed")

    def _permits_and_references(self) -> None:
        rows = self.world.database.rows
        permits = [row[0] for row in rows("SELECT request_id FROM permit")]
        for name, case in self.cases.items():
            if permits.count(name) != case.permits:
                self.world.violated(f"request {name[:8]} has {permits.count(name)} permits in the table")
        kept = {row[0] for row in rows("SELECT request_id FROM reference")}
        for name, case in self.cases.items():
            if (name in kept) != (case.state not in NOT_LOOKED_UP):
                self.world.violated(f"the exact reference of request {name[:8]} is kept: {name in kept}")


def _time(at: Any) -> datetime:
    """SQLite tells a time as text."""
    return datetime.fromisoformat(at).replace(tzinfo=UTC) if isinstance(at, str) else at.astimezone(UTC)


def _brief(body: str) -> str:
    """Who did it, and what came of it."""
    who = re.search(r'"user":"(\w+)"', body)
    result = re.search(r'"result":"(\w+)"', body)
    return "".join(f" {found[1]}" for found in (who, result) if found)
