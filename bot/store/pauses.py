"""What is paused, inside one transaction of the store."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session, col, select

from bot.model import Pause
from bot.store.tables import PauseRow


class Pauses:
    """Rows are made when they are needed first: writing transactions come one after the other."""

    def __init__(self, session: Session, now: datetime) -> None:
        self._session = session
        self._now = now

    def all(self) -> list[Pause]:
        """Whatever is paused now; that of everything comes first."""
        query = select(PauseRow).where(col(PauseRow.since).is_not(None)).order_by(PauseRow.provider)
        return [pause for row in self._session.exec(query) if (pause := _pause(row))]

    def of(self, provider: str) -> Pause | None:
        """The pause of exactly this; an empty name stands for everything."""
        row = self._session.get(PauseRow, provider)
        return None if row is None else _pause(row)

    def stopping(self, provider: str) -> Pause | None:
        """Why nothing may be sent to this provider: its own pause, or that of everything."""
        return self.of("") or self.of(provider)

    def begin(self, provider: str, by: str, reason: str) -> Pause:
        row = self._row(provider)
        row.since, row.by, row.reason = self._now, by, reason
        self._session.flush()
        return Pause(provider, by, reason, self._now)

    def end(self, provider: str) -> None:
        """The next unknown outcome is the first one again."""
        row = self._row(provider)
        row.since, row.by, row.reason, row.unknowns = None, "", "", 0
        self._session.flush()

    def count_unknown(self, provider: str) -> int:
        """One more outcome of this provider is unknown; how many in a row that makes."""
        row = self._row(provider)
        row.unknowns += 1
        self._session.flush()
        return row.unknowns

    def count_known(self, provider: str) -> None:
        row = self._session.get(PauseRow, provider)
        if row is not None and row.unknowns:
            row.unknowns = 0
            self._session.flush()

    def _row(self, provider: str) -> PauseRow:
        row = self._session.get(PauseRow, provider)
        if row is None:
            row = PauseRow(provider=provider)
            self._session.add(row)
        return row


def _pause(row: PauseRow) -> Pause | None:
    return None if row.since is None else Pause(row.provider, row.by, row.reason, row.since)
