"""Looking at requests: one, or a page of them. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bot.errors import Outsider, Refused
from bot.model import ENDED, Person, Request, State
from bot.store import Store, Unit

PAGE = 10
"""Requests in a list that is shown at once."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a list, as it is shown at once."""

    requests: Sequence[Request]
    number: int
    has_more: bool


class RequestViews:
    """What people can see of requests."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def see(self, request_id: str, by: Person) -> Request:
        """The request as it is now. Raises `Refused` for somebody from another workspace."""
        request = await self._store.read(lambda unit: self._present(unit, request_id))
        if by.team != request.team:
            raise Outsider("see the details")
        return request

    async def find(self, prefix: str) -> Request:
        """The request whose ID begins with `prefix`. Raises `Refused` when none or several do."""
        wanted = prefix.strip().lower().lstrip("#")
        if not wanted:
            raise Refused(
                "no_such_request", "Which one? Give the ID of a request; `/cancel-order mine` has yours."
            )
        is_id = 4 <= len(wanted) <= 32 and set(wanted) <= set("0123456789abcdef")
        found = await self._store.read(lambda unit: unit.find(wanted)) if is_id else []
        if len(found) == 1:
            return found[0]
        advice = (
            "Several requests begin with that ID; give more of it."
            if found
            else ("There is no request with that ID. `/cancel-order mine` lists yours.")
        )
        raise Refused("no_such_request", advice)

    async def ended(self, request_id: str) -> Request:
        """A request that has ended. Raises `Refused` for any other."""

        def look(unit: Unit) -> Request:
            request = self._present(unit, request_id)
            if request.state not in ENDED:
                raise Refused("not_ended", "This request has not ended.")
            return request

        return await self._store.read(look)

    async def card_of(self, request_id: str) -> tuple[str, str] | None:
        """Channel and timestamp of a request's card; None while it is not posted."""
        card = await self._store.read(lambda unit: unit.card(request_id))
        return None if card is None else (card.channel, card.ts)

    async def mine(self, by: Person, page: int = 1) -> Page:
        """The requests somebody made, the newest first."""
        return await self._page(page, requester=str(by))

    async def pending(self, page: int = 1) -> Page:
        """What waits for people, the oldest first: nobody should wait for ever."""
        states = [State.PENDING.value, State.APPROVED.value, State.NEEDS_PERSON.value]
        return await self._page(page, states=states, oldest_first=True)

    async def history(self, provider: str = "", by: Person | None = None, page: int = 1) -> Page:
        """What has ended, the newest first; of one provider or of one requester, if given."""
        states = [state.value for state in ENDED]
        requester = str(by) if by else None
        return await self._page(page, states=states, requester=requester, provider=provider or None)

    async def _page(self, number: int, **which: Any) -> Page:
        skip = (number - 1) * PAGE

        def read(unit: Unit) -> list[Request]:
            return unit.requests(**which, limit=PAGE + 1, skip=skip)

        found = await self._store.read(read)
        return Page(found[:PAGE], number, has_more=len(found) > PAGE)

    def _present(self, unit: Unit, request_id: str) -> Request:
        request = unit.request(request_id)
        if request is None:
            raise Refused("no_such_request", "This request is not known here. It may belong to another bot.")
        return request
