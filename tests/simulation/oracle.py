"""One request, folded from its events by somebody who does not know the rules, only what they promise."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from bot.events import (
    Answered,
    ApprovalTakenBack,
    ApprovalVerified,
    ApprovalVoided,
    Approved,
    Closed,
    ClosingProposed,
    Denied,
    Event,
    Expired,
    FollowedUp,
    OrderRead,
    Permitted,
    Requested,
    Withdrawn,
)
from bot.model import ENDED, Eligibility, Person, Request, State, digest
from bot.rules import evolve
from providers.contract import OrderState, Result, Standing

if TYPE_CHECKING:
    from tests.simulation.people import Tried
    from tests.simulation.world import World

OVER = {Standing.CANCELLED, Standing.NOT_CANCELLABLE, Standing.NOT_FOUND}


class Oracle:
    def __init__(self, world: World, request_id: str) -> None:
        self.world = world
        self.request_id = request_id
        self.request: Request
        self.past: list[tuple[Event, datetime]] = []
        self.states: set[State] = set()
        self.permits = 0
        self.due_by = float("inf")
        """When it has to be in another state, where nothing goes wrong."""
        self.approved_digest = ""
        """Of what had been approved when the latest permit was taken."""
        self._order: OrderState | None = None
        self._approvals: dict[Person, tuple[str, bool]] = {}
        self._over = ""
        """Why nothing may be sent any more."""
        self._proved_without_effect = True
        self._found: tuple[Person, object] | None = None

    @property
    def state(self) -> State | None:
        return self.request.state if self.past else None

    @property
    def events(self) -> list[Event]:
        return [event for event, _ in self.past]

    @property
    def approving(self) -> set[Person]:
        """Who approves, and was confirmed."""
        return {person for person, (_, verified) in self._approvals.items() if verified}

    def add(self, event: Event, at: datetime) -> None:
        before = self.request if self.past else None
        self.request = evolve(before, event, at, self.request_id)
        self.past.append((event, at))
        self.states.add(self.request.state)
        if before is not None and before.state in ENDED and _decided(before) != _decided(self.request):
            self._wrong(f"it was {before.state.value}, and is {self.request.state.value} now")
        self._fold(event, at)

    def holds(self, tried: Tried) -> bool:
        """Whether what somebody did, and was told to be done, is in the history."""
        for event, _ in self.past:
            match event:
                case Approved(by, card, _, _) if tried.does == "approves":
                    found = (by, card) == (tried.who, tried.digest)
                case Denied(by, _) if tried.does == "denies":
                    found = by == tried.who
                case ApprovalTakenBack(by) if tried.does == "takes back":
                    found = by == tried.who
                case Withdrawn(by) if tried.does == "withdraws":
                    found = by == tried.who
                case Requested() if tried.does == "asks":
                    found = event.requester == tried.who
                case ClosingProposed(by) if tried.does == "finds":
                    found = by == tried.who
                case Closed(by) if tried.does == "confirms":
                    found = by == tried.who
                case _:
                    found = False
            if found:
                return True
        return False

    def _fold(self, event: Event, at: datetime) -> None:
        match event:
            case OrderRead(order):
                self._read(order)
            case Approved(by, card, verified, _):
                self._approve(by, card, verified)
            case ApprovalVerified(by, _):
                self._approvals[by] = (self._approvals[by][0], True)
            case ApprovalVoided(by, _) | ApprovalTakenBack(by):
                del self._approvals[by]
            case Denied() | Withdrawn() | Expired():
                if self._over:
                    self._wrong(f"it is {event.kind}, and was {self._over} before")
                self._over = event.kind
            case Permitted():
                self._permit(event, at)
            case Answered(_, outcome) | FollowedUp(outcome):
                self._proved_without_effect = outcome.result is Result.NO_EFFECT
            case ClosingProposed(by, finding, _, _):
                self._found = (by, finding)
            case Closed(by, finding, _, _):
                self._close(by, finding)
            case _:
                pass

    def _read(self, order: OrderState) -> None:
        self._order = order
        if order.standing in OVER:
            self._over = self._over or order.standing.value
        else:
            self._approvals = {}

    def _approve(self, by: Person, card: str, verified: bool) -> None:
        if by in self._approvals:
            self._wrong(f"{by.user} counts twice")
        if by == self._requested.requester or by.team != self._requested.team:
            self._wrong(f"{by} must not approve it")
        if card != self._shown():
            self._wrong(f"{by.user} approved something else")
        if self._over:
            self._wrong(f"{by.user} approved it after it was {self._over}")
        self._approvals[by] = (card, verified)

    def _permit(self, event: Permitted, at: datetime) -> None:
        again = {v.person for v in event.judged if v.answer is Eligibility.ELIGIBLE}
        shown = self._shown()
        sure = {who for who, (card, verified) in self._approvals.items() if verified and card == shown}
        if len(sure & again - {self._requested.requester}) < max(2, self._requested.quorum):
            self._wrong(f"a permit is taken with {len(sure & again)} approvals")
        if self._over:
            self._wrong(f"a permit is taken after it was {self._over}")
        if at >= self._requested.expires_at:
            self._wrong("a permit is taken after it expired")
        if not self._proved_without_effect:
            self._wrong("a permit is taken without proof that the one before had no effect")
        unseen = Standing.UNREADABLE in {event.order.standing, self._order and self._order.standing}
        if event.order.standing in OVER or not (unseen or _same(event.order, self._order)):
            self._wrong("a permit is taken for another order than the one that was approved")
        self.permits += 1
        if event.attempt != self.permits or self.permits > 2:
            self._wrong(f"permit {self.permits} is called attempt {event.attempt}")
        self._proved_without_effect, self.approved_digest = False, shown

    def _close(self, by: Person, finding: object) -> None:
        if self._found is None or self._found[1] != finding or self._found[0] == by:
            self._wrong(f"{by.user} closes it alone")
        if by == self._requested.requester:
            self._wrong("the requester closes it")

    @property
    def _requested(self) -> Requested:
        first = self.past[0][0]
        assert isinstance(first, Requested)
        return first

    def _shown(self) -> str:
        """The digest of what people see."""
        return digest(replace(self.request, order=self._order))

    def _wrong(self, what: str) -> None:
        self.world.violated(f"request {self.request_id[:8]}: {what}")


def _same(one: OrderState, other: OrderState | None) -> bool:
    return other is not None and (one.standing, one.facts) == (other.standing, other.facts)


def _decided(request: Request) -> object:
    return request.state, request.outcome, request.decided_by, request.decision, request.ended_at
