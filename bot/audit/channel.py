"""The approvals channel against the history.

Each outcome is a card and a reply in its thread. Both carry the head of the history at that moment, so one
that is missing or says something else shows that the channel or the database was changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlalchemy import Connection
from sqlmodel import Session, col, select

from bot import __version__
from bot.anchors import ACKNOWLEDGED
from bot.audit.promised import Promised, PromisedList, Said
from bot.blocks.cards import Message
from bot.store import Unit
from bot.store.chain import Head
from bot.store.tables import EventRow
from providers.contract import Facts

_EMOJI = re.compile(r":[a-z0-9_+'-]+:")


def _reads_like(message: Said, posted: Message) -> bool:
    """Whether it still says what was posted, to eyes and to ears. A message whose blocks Slack did not take
    was posted as a text, so there may be none."""
    same_text = _plain(message.text) == _plain(posted.text)
    return same_text and (not message.blocks or _shown(message.blocks) == _shown(posted.blocks))


def _shown(blocks: object) -> list[str]:
    """Every text in there, at any depth."""
    if isinstance(blocks, Mapping):
        text = blocks.get("text")
        own = [_plain(text)] if isinstance(text, str) else []
        return own + [each for inside in blocks.values() for each in _shown(inside)]
    return [each for inside in blocks for each in _shown(inside)] if isinstance(blocks, list | tuple) else []


def _plain(text: str) -> str:
    """Without pictures and spaces: Slack writes a typed emoji down by its name."""
    return "".join(
        one for one in _EMOJI.sub("", text) if (one.isascii() and not one.isspace()) or one.isalnum()
    )


class Comparison:
    """Holds messages against one state of the database."""

    def __init__(self, connection: Connection, facts: Mapping[str, Facts]) -> None:
        self._session = Session(connection)
        self._unit = Unit(connection)
        self._facts = facts

    def complaints(
        self, one: Promised | PromisedList, card: Said | None, thread: Sequence[Said]
    ) -> Iterator[str]:
        """What is wrong with what the channel says about one request or list, a sentence part each."""
        if one.went_on(self._unit):
            return  # while the channel was read
        if card is None:
            yield "its card is not in the channel"
        else:
            yield from self._about("its card", one, card, self._is_as_painted(one, card))
        by_mark = {str(reply.payload.get("message")): reply for reply in thread}
        for mark, posted in one.posted.replies:
            reply = by_mark.get(mark)
            if reply is None:
                yield "the reply with its outcome is not in the thread"
            else:
                yield from self._about("the reply with its outcome", one, reply, _reads_like(reply, posted))

    def _about(
        self, what: str, one: Promised | PromisedList, message: Said, is_unchanged: bool
    ) -> Iterator[str]:
        payload = message.payload
        head = Head.read(payload.get("audit_head"))
        stated = str(payload.get("state"))
        if head is None or payload.get("request_id") != one.id:
            yield f"{what} does not carry the outcome"
            return
        if not self._unit.known([head]):
            yield f"{what} was posted at event {head.seq} of another history"
            return
        state = one.stated_at(head)
        if state != stated:
            yield f"{what} says {stated!r}, and the history {state or 'nothing'!r}"
        elif not one.is_told_by(message, head):
            yield f"{what} does not say what the history says, which is {state!r}"
        elif not is_unchanged:
            yield f"{what} was edited"

    def _is_as_painted(self, one: Promised | PromisedList, card: Said) -> bool:
        """Whether a card reads as it did. Other versions of the bot put it in other words."""
        head = Head.read(card.payload.get("audit_head"))
        facts = self._facts.get(one.provider)
        if head is None or facts is None or self._version_at(head) != __version__:
            return one.is_named_in(card.text)
        return _reads_like(card, one.painted(facts))

    def _version_at(self, head: Head) -> str:
        starts = select(EventRow.body).where(
            col(EventRow.request_id).is_(None), col(EventRow.kind) == "started", col(EventRow.seq) <= head.seq
        )
        newest = self._session.exec(starts.order_by(col(EventRow.seq).desc()).limit(1)).first()
        return str(json.loads(newest).get("version")) if newest else ""

    def strangers(self, messages: Iterable[Said]) -> Iterator[str]:
        """Outcomes of which the history knows nothing, and nobody has acknowledged that, a line each."""
        accepted = {one["head"] for note in self._unit.notes(ACKNOWLEDGED) for one in note["lacks"]}
        for message in messages:
            head = Head.read(message.payload.get("audit_head"))
            if head is None or str(head) in accepted or self._unit.known([head]):
                continue
            request_id, state = (str(message.payload.get(name))[:32] for name in ("request_id", "state"))
            yield f"request {request_id}: {state!r} was posted at event {head.seq} of another history"
