"""What is on disk about one cancellation, read past the bot."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.exc import DatabaseError
from sqlmodel import Session, select

from bot.announce import Kind
from bot.events import Approved, Permitted
from bot.model import Request
from bot.store import Unit
from bot.store.chain import Head
from bot.store.tables import MessageRow

SQLITE = "sqlite:///"
SAID = (Kind.REPLY, Kind.DIRECT)
"""Messages that are written down word for word and posted once."""


@dataclass(frozen=True, slots=True)
class Records:
    """Nothing of it was there, or no tables yet, when `request` is None."""

    request: Request | None = None
    approvers: frozenset[str] = frozenset()
    """Whose approval is in the history."""
    permits: int = 0
    written: Counter[str] = field(default_factory=Counter)
    """What is to be said, by its words."""
    noted: Counter[str] = field(default_factory=Counter)
    """What is noted to have been said."""
    direct: frozenset[str] = frozenset()
    """What of it goes to the requester alone."""
    is_quiet: bool = True
    """Nobody is owed a message."""


def read(url: str, reason: str) -> Records:
    """About the request with that reason."""
    with _opened(url) as session:
        try:
            return _read(session, reason)
        except DatabaseError as problem:
            if "no such table" in str(problem.orig) or "does not exist" in str(problem.orig):
                return Records()
            raise


def verify(url: str) -> int:
    """The number of events. Raises `ChainBroken` when the history does not verify."""
    with _opened(url) as session:
        return Unit(session.connection()).verify(Head()).seq


def copied(url: str, folder: Path) -> str:
    """The URL of a copy to look at while the bot is gone, so that it finds the file as it was left; a
    database server's own when it is not a file."""
    if not url.startswith(SQLITE):
        return url
    folder.mkdir(parents=True, exist_ok=True)
    path = Path(url.removeprefix(SQLITE))
    for each in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-journal")):
        (folder / each.name).unlink(missing_ok=True)
        if each.exists():
            shutil.copy(each, folder)
    return f"{SQLITE}{folder / path.name}"


def erase(url: str) -> None:
    """Leave an empty database, or no file at all."""
    if url.startswith(SQLITE):
        path = Path(url.removeprefix(SQLITE))
        for each in path.parent.glob(f"{path.name}*"):
            each.unlink()
        return
    with _opened(url) as session:
        session.execute(text("DROP SCHEMA public CASCADE"))
        session.execute(text("CREATE SCHEMA public"))
        session.commit()


def _read(session: Session, reason: str) -> Records:
    unit = Unit(session.connection())
    request = next((one for one in unit.requests(limit=10) if one.reason == reason), None)
    if request is None:
        return Records()
    events = [event for event, _ in unit.history(request.id)]
    rows = session.exec(select(MessageRow).where(MessageRow.request_id == request.id)).all()
    said = [(row.kind, json.loads(row.body)["text"], row.delivered) for row in rows if row.kind in SAID]
    return Records(
        request=request,
        approvers=frozenset(event.by.user for event in events if isinstance(event, Approved)),
        permits=sum(isinstance(event, Permitted) for event in events),
        written=Counter(words for _, words, _ in said),
        noted=Counter(words for _, words, delivered in said if delivered),
        direct=frozenset(words for kind, words, _ in said if kind == Kind.DIRECT),
        is_quiet=not unit.owed(),
    )


@contextmanager
def _opened(url: str) -> Iterator[Session]:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    try:
        with Session(engine) as session:
            yield session
    finally:
        engine.dispose()
