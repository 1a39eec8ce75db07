"""What is paused, inside one transaction of the store."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, update
from sqlmodel import col, select

from bot.model import Pause
from bot.store.prepared import Prepared, Upsert
from bot.store.tables import PauseRow
from bot.store.transaction import Transaction

_PAUSE = (PauseRow.provider, PauseRow.by, PauseRow.reason, PauseRow.since)
_ALL = select(*map(col, _PAUSE)).where(col(PauseRow.since).is_not(None)).order_by(col(PauseRow.provider))
_PAUSED = Prepared(_ALL)
_STOPPING = Prepared(_ALL.where(col(PauseRow.provider).in_([bindparam("name"), bindparam("other")])))
_UNKNOWNS = Prepared(select(PauseRow.unknowns).where(col(PauseRow.provider) == bindparam("name")))
_KNOWN = Prepared(
    update(PauseRow)
    .where(col(PauseRow.provider) == bindparam("name"), col(PauseRow.unknowns) > 0)
    .values(unknowns=0)
)
_NOTHING = {"since": None, "by": "", "reason": "", "unknowns": 0}
_PAUSE_IT, _END_IT, _COUNT = (
    Prepared(Upsert(PauseRow, key=("provider",), changes=changes))
    for changes in (("since", "by", "reason"), tuple(_NOTHING), ("unknowns",))
)


class Pauses(Transaction):
    """Rows are made when they are needed first: writing transactions come one after the other."""

    def all(self) -> list[Pause]:
        """Whatever is paused now; that of everything comes first."""
        return [Pause(*row) for row in self._ask(_PAUSED)]

    def of(self, provider: str) -> Pause | None:
        """The pause of exactly this; an empty name stands for everything."""
        return self._first(provider, provider)

    def stopping(self, provider: str) -> Pause | None:
        """Why nothing may be sent to this provider: its own pause, or that of everything."""
        return self._first("", provider)

    def begin(self, provider: str, by: str, reason: str) -> Pause:
        self._set(_PAUSE_IT, provider, since=self.now, by=by, reason=reason)
        return Pause(provider, by, reason, self.now)

    def end(self, provider: str) -> None:
        """The next unknown outcome is the first one again."""
        self._set(_END_IT, provider)

    def count_unknown(self, provider: str) -> int:
        """One more outcome of this provider is unknown; how many in a row that makes."""
        unknowns = (self._ask(_UNKNOWNS, name=provider).scalar() or 0) + 1
        self._set(_COUNT, provider, unknowns=unknowns)
        return unknowns

    def count_known(self, provider: str) -> None:
        self._change(_KNOWN, name=provider)

    def _first(self, name: str, other: str) -> Pause | None:
        row = self._ask(_STOPPING, name=name, other=other).first()
        return None if row is None else Pause(*row)

    def _set(self, statement: Prepared, provider: str, **values: Any) -> None:
        self._change_all(statement, [{"provider": provider} | _NOTHING | values])
