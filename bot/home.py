"""What the App Home has to show somebody at this moment."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from bot.batches import Batch, waiting
from bot.blocks.home import WAITING_AT_MOST, Overview, home_view
from bot.blocks.text import Block
from bot.model import ENDED, Person, Request, State
from bot.store import Store, Unit
from bot.workflow import Workflow

LOOKED_THROUGH = 100
LISTS_READ = 10
"""Open lists that are looked through, of up to 200 orders each."""
COUNTED_FOR = timedelta(days=30)
ENDED_STATES = tuple(state.value for state in ENDED)


class Home:
    def __init__(self, store: Store, workflow: Workflow) -> None:
        self._store = store
        self._workflow = workflow
        self._one_at_a_time = asyncio.Lock()

    async def view(self, person: Person) -> Block:
        """What `person` is to see at this moment. One after the other, so that a click never has to wait
        for the reading of all of them."""
        async with self._one_at_a_time:
            return await self._view(person)

    async def _view(self, person: Person) -> Block:
        pending, mine, recent, counts, open_lists, my_lists = await self._store.read(
            lambda unit: (
                unit.requests(states=[State.PENDING.value], limit=LOOKED_THROUGH, oldest_first=True),
                unit.requests(requester=str(person), limit=10),
                unit.requests(states=ENDED_STATES, limit=10),
                unit.counts(since=unit.now - COUNTED_FOR),
                _with_lines(unit, is_open=True, oldest_first=True, limit=LISTS_READ),
                _with_lines(unit, requester=str(person), limit=5),
            )
        )
        asked = [request for request in pending if self._is_waited_for(person, request)]
        enabled = self._workflow.accounts.facts
        several = [one for one in open_lists if self._is_waited_for_in(person, one[1])]
        of_lists = [lines[0] for _, lines in (*several, *my_lists)]
        facts = {r.provider: self._workflow.facts(r) for r in (*asked, *mine, *recent, *of_lists)}
        overview = Overview(asked[: 2 * WAITING_AT_MOST], mine, recent, counts, enabled, several, my_lists)
        return home_view(overview, facts)

    def _is_waited_for_in(self, person: Person, lines: Sequence[Request]) -> bool:
        """In a list nobody is asked before all of it was looked up."""
        if any(line.state is State.CHECKING for line in lines):
            return False
        open_to_them = [one for one in waiting(lines) if one.state is State.PENDING]
        lacking = {one.may_decide: one for one in open_to_them if not one.approval_of(person)}
        return any(self._is_waited_for(person, one) for one in lacking.values())

    def _is_waited_for(self, person: Person, request: Request) -> bool:
        if request.requester == person or request.approval_of(person):
            return False
        return self._workflow.may_decide(request, person)


def _with_lines(unit: Unit, **which: Any) -> list[tuple[Batch, list[Request]]]:
    return [(batch, unit.lines_of(batch)) for batch in unit.batches(**which)]
