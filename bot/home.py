"""What the App Home has to show somebody at this moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from bot.batches import waiting
from bot.blocks.home import WAITING_AT_MOST, Overview, home_view
from bot.blocks.text import Block
from bot.model import ENDED, Person, Request, State
from bot.store import Store
from bot.workflow import Workflow

LOOKED_THROUGH = 100
COUNTED_FOR = timedelta(days=30)
ENDED_STATES = tuple(state.value for state in ENDED)


class Home:
    def __init__(self, store: Store, workflow: Workflow) -> None:
        self._store = store
        self._workflow = workflow

    async def view(self, person: Person) -> Block:
        """What `person` is to see at this moment."""
        pending, mine, recent, counts, open_lists, my_lists = await self._store.read(
            lambda unit: (
                unit.requests(states=[State.PENDING.value], limit=LOOKED_THROUGH, oldest_first=True),
                unit.requests(requester=str(person), limit=10),
                unit.requests(states=ENDED_STATES, limit=10),
                unit.counts(since=unit.now - COUNTED_FOR),
                [(batch, unit.lines_of(batch)) for batch in unit.batches(is_open=True, oldest_first=True)],
                [(batch, unit.lines_of(batch)) for batch in unit.batches(requester=str(person), limit=5)],
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
        return any(
            line.state is State.PENDING and self._is_waited_for(person, line) for line in waiting(lines)
        )

    def _is_waited_for(self, person: Person, request: Request) -> bool:
        if request.requester == person or request.approval_of(person):
            return False
        return self._workflow.may_decide(request, person)
