"""The archive: requests, their history, the work that is due and the messages that are owed.

Everything that happens to a request is saved in one transaction of a `Unit`. `Store` opens those
transactions; `chain` keeps the history tamper-evident; `tables` names what is on disk.
"""

from bot.store.deadline import within
from bot.store.store import Store
from bot.store.unit import Unit

__all__ = ["Store", "Unit", "within"]
