"""Looking at requests for several orders: one, or a page of them. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bot.batch.rules import Batch
from bot.errors import Outsider, Refused
from bot.model import Person, Request, State
from bot.store import Store, Unit
from bot.views import PAGE
from providers.contract import Facts

if TYPE_CHECKING:
    from bot.workflow import Workflow

View = tuple[Batch, list[Request]]
"""A batch and its lines as they are now."""


@dataclass(frozen=True, slots=True)
class Views:
    """Some of a list, as it is shown at once."""

    shown: Sequence[View]
    has_more: bool


class BatchViews:
    """What people and the worker can see of several requests at once."""

    def __init__(self, workflow: Workflow, store: Store) -> None:
        self._workflow = workflow
        self._store = store

    def facts(self, batch: Batch) -> Facts:
        return self._workflow.facts_of(batch.asked.provider)

    async def see(self, batch_id: str, by: Person) -> View:
        batch, lines = await self._store.read(lambda unit: self._load(unit, batch_id))
        if by.team != batch.asked.team:
            raise Outsider("see the details")
        return batch, lines

    async def find(self, prefix: str) -> View | None:
        """The only batch whose ID begins with `prefix`; None when none or several do."""
        wanted = prefix.strip().lower().lstrip("#")
        if not 4 <= len(wanted) <= 32 or set(wanted) - set("0123456789abcdef"):
            return None

        def look(unit: Unit) -> View | None:
            found = unit.find_batches(wanted)
            return (found[0], unit.lines_of(found[0])) if len(found) == 1 else None

        return await self._store.read(look)

    async def mine(self, by: Person, page: int = 1) -> Views:
        """Those that somebody asked for, the newest first."""
        return await self._page(page, requester=str(by))

    async def pending(self, page: int = 1) -> Views:
        """Those with an order that waits for people, the oldest first."""
        states = [State.PENDING.value, State.APPROVED.value]
        return await self._page(page, states=states, is_open=True, oldest_first=True)

    async def history(self, provider: str = "", by: Person | None = None, page: int = 1) -> Views:
        """Those that are done, the newest first; of one provider or of one requester, if given."""
        return await self._page(
            page, is_open=False, requester=str(by) if by else None, provider=provider or None
        )

    async def _page(self, number: int, **which: Any) -> Views:
        def read(unit: Unit) -> list[View]:
            found = unit.batches(**which, limit=PAGE + 1, skip=(number - 1) * PAGE)
            return [(batch, unit.lines_of(batch)) for batch in found]

        found = await self._store.read(read)
        return Views(found[:PAGE], has_more=len(found) > PAGE)

    def _load(self, unit: Unit, batch_id: str) -> View:
        batch = self._present(unit, batch_id)
        return batch, unit.lines_of(batch)

    def _present(self, unit: Unit, batch_id: str) -> Batch:
        batch = unit.batch(batch_id)
        if batch is None:
            raise Refused("no_such_request", "This request is not known here. It may belong to another bot.")
        return batch
