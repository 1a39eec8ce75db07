"""What the App Home has to show somebody at this moment."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from bot import lately
from bot.batch.rules import Batch, waiting
from bot.blocks.home import LISTS_AT_MOST, WAITING_AT_MOST, Overview, home_view
from bot.blocks.text import Block
from bot.lately import Lately
from bot.model import ENDED, Pause, Person, Request, State
from bot.store import Store, Unit
from bot.store.chain import Head
from bot.workflow import Workflow

LOOKED_THROUGH = 100
LISTS_READ = 10
"""Open lists that are looked through, of up to 200 orders each."""
List = tuple[Batch, list[Request]]
"""Several orders at once, with their lines."""
ENDED_STATES = tuple(state.value for state in ENDED)


@dataclass(frozen=True, slots=True)
class _Common:
    """What everybody's Home is made of, read once for all who look when something has changed. Nothing of it
    may change in a transaction that adds nothing to the history: requests, lists and pauses do not."""

    as_of: tuple[Head, date]
    """The end of the history, and the last day that was counted."""
    pending: list[Request]
    approved: list[Request]
    recent: list[Request]
    open_now: int
    lately: Lately
    open_lists: list[List]
    ended_lists: list[List]
    paused: list[Pause]


@dataclass(frozen=True, slots=True)
class _Found:
    """What one person's Home is made of, all read at one moment."""

    common: _Common
    mine: list[Request]
    my_lists: list[List]


def _found(unit: Unit, person: Person, known: _Common | None) -> _Found:
    """`known`: what was common the last time."""
    as_of = (unit.head(), unit.now.date())
    return _Found(
        common=known if known is not None and known.as_of == as_of else _common(unit, as_of, known),
        mine=unit.requests(requester=str(person), limit=10),
        my_lists=_lists(unit, unit.batches(requester=str(person), limit=LISTS_AT_MOST)),
    )


def _common(unit: Unit, as_of: tuple[Head, date], known: _Common | None) -> _Common:
    def undecided(state: State) -> list[Request]:
        return unit.requests(states=[state.value], limit=LOOKED_THROUGH, oldest_first=True)

    return _Common(
        as_of=as_of,
        pending=undecided(State.PENDING),
        approved=undecided(State.APPROVED),
        recent=unit.requests(states=ENDED_STATES, limit=10),
        open_now=unit.open_now(),
        lately=lately.count(unit, *as_of, known.lately if known else None),
        open_lists=_lists(unit, unit.batches(is_open=True, oldest_first=True, limit=LISTS_READ)),
        ended_lists=_lists(unit, unit.batches(is_open=False, limit=LISTS_AT_MOST)),
        paused=unit.pauses.all(),
    )


def _lists(unit: Unit, found: Iterable[Batch]) -> list[List]:
    return [(batch, unit.lines_of(batch)) for batch in found]


class Home:
    def __init__(self, store: Store, workflow: Workflow) -> None:
        self._store = store
        self._workflow = workflow
        self._one_at_a_time = asyncio.Lock()
        self._common: _Common | None = None

    async def view(self, person: Person) -> Block:
        """What `person` is to see at this moment. One after the other, so that a click never has to wait
        for the reading of all of them."""
        async with self._one_at_a_time:
            found = await self._store.read(lambda unit: _found(unit, person, self._common))
            common = self._common = found.common
        asked = [request for request in common.pending if self._is_waited_for(person, request)]
        held = [request for request in common.approved if self._is_held_for(person, request)]
        several = [one for one in common.open_lists if self._is_waited_for_in(person, one[1])]
        held_lists = [one for one in common.open_lists if self._is_held_for_in(person, one[1])]
        of_lists = [lines[0] for _, lines in (*common.open_lists, *found.my_lists, *common.ended_lists)]
        shown = (*asked, *held, *found.mine, *common.recent, *of_lists)
        overview = Overview(
            waiting=asked[: 2 * WAITING_AT_MOST],
            mine=found.mine,
            recent=common.recent,
            open_now=common.open_now,
            counts=common.lately.counts,
            enabled=self._workflow.accounts.facts,
            several=several,
            lately=found.my_lists,
            ended=common.ended_lists,
            paused=self._workflow.pauses.told(common.paused),
            held=held,
            several_held=[one for one in held_lists if one not in several],
        )
        return home_view(overview, {request.provider: self._workflow.facts(request) for request in shown})

    def _is_held_for(self, person: Person, request: Request) -> bool:
        """Whether enough people agree, something is in the way, and `person` may do something about it."""
        if request.state is not State.APPROVED or not request.held or request.requester == person:
            return False
        return self._workflow.may_decide(request, person)

    def _is_held_for_in(self, person: Person, lines: Sequence[Request]) -> bool:
        held = _of_each_kind(line for line in lines if line.state is State.APPROVED and line.held)
        return any(self._is_held_for(person, line) for line in held)

    def _is_waited_for_in(self, person: Person, lines: Sequence[Request]) -> bool:
        """In a list nobody is asked before all of it was looked up."""
        if any(line.state is State.CHECKING for line in lines):
            return False
        asked = (one for one in waiting(lines) if one.state is State.PENDING and not one.approval_of(person))
        return any(self._is_waited_for(person, line) for line in _of_each_kind(asked))

    def _is_waited_for(self, person: Person, request: Request) -> bool:
        if request.requester == person or request.approval_of(person):
            return False
        return self._workflow.may_decide(request, person)


def _of_each_kind(lines: Iterable[Request]) -> list[Request]:
    """One of those that the same people may decide on: a list may have 200."""
    return list({line.may_decide: line for line in lines}.values())
