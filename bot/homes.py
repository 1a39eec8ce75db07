"""Whose App Homes are painted anew after something changed."""

from __future__ import annotations

from datetime import timedelta

from bot import announce
from bot.store import Unit

WATCHED_FOR = timedelta(days=2)
"""How long after it was opened an App Home is kept up to date."""
WATCHERS_AT_MOST = 30
"""App Homes that are painted after one change; the others are painted when they are opened."""


def paint(unit: Unit) -> None:
    """Owe a new App Home to everybody who looked at theirs lately."""
    announce.owe(unit, *owed(unit))


def owed(unit: Unit) -> list[announce.Owed]:
    """The same, for whoever owes more in one statement."""
    return [announce.home(each) for each in unit.home_watchers(unit.now - WATCHED_FOR, WATCHERS_AT_MOST)]
