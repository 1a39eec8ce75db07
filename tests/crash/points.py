"""The points at which something is done to the bot, each with a name that repeats it.

fdatasync:17                  killed in front of the 17th fdatasync of a whole cancellation
writer.sendto:4               … of the fourth message of the thread that writes: something is durable,
                              and nobody knows yet
permit/pwrite64:2             counted from the moment of that name, see `MOMENTS`
tradernet/permit/pwrite64:2   with another provider
pwrite64:40+:ENOSPC           from the 40th on, the disk is full for a while
fdatasync:9:EIO               the ninth fails
card-taken                    one of `bot_killed.NAMED`
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Self

PROVIDERS = ("payvalida", "tradernet")
"""One that cancels at once, and one that takes the cancel and carries it out later."""

MOMENTS = {
    "start": "the process starts, on an empty database",
    "flow": "somebody is about to ask",
    "first": "the first approver is about to click",
    "second": "the second approver is about to click",
    "permit": "the last look-up before the permit has arrived at the provider",
    "answer": "the provider has carried out the cancel and is about to answer",
    "again": "the process starts, after it was killed while the provider held its answer",
}

AT_START = ("start", "again")
"""Moments from which on all threads are watched: there is but one so far."""

FILE_CALLS = ("pwrite64", "fdatasync", "ftruncate", "unlink")
SOCKET_CALLS = ("connect", "sendto", "recvfrom")

_POINT = re.compile(r"(?:(writer|main)\.)?([a-z0-9]+):([0-9]+)(\+?)(?::([A-Z]+))?")


@dataclass(frozen=True, slots=True)
class Point:
    """`name` alone, or else a system call."""

    provider: str = PROVIDERS[0]
    moment: str = "flow"
    threads: str = "all"
    call: str = ""
    number: int = 0
    onwards: bool = False
    error: str = ""
    """Instead of a kill: what the call fails with."""
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `ValueError` for what is no point."""
        *where, what = text.split("/")
        provider = next((part for part in where if part in PROVIDERS), PROVIDERS[0])
        moment = next((part for part in where if part in MOMENTS), "flow")
        if unknown := set(where) - {provider, moment}:
            raise ValueError(f"{text}: no provider and no moment is called {' or '.join(sorted(unknown))}")
        found = _POINT.fullmatch(what)
        if found is None:
            return cls(provider, moment, name=what)
        threads, call, number, onwards, error = found.groups()
        if moment in AT_START and (threads or error):
            raise ValueError(f"{text}: while it starts, calls of all threads are counted, and none fails")
        usual = "main" if call in SOCKET_CALLS and moment not in AT_START else "all"
        return cls(provider, moment, threads or usual, call, int(number), bool(onwards), error or "")

    def __str__(self) -> str:
        provider = "" if self.provider == PROVIDERS[0] else f"{self.provider}/"
        if self.name:
            return f"{provider}{self.name}"
        moment = "" if self.moment == "flow" else f"{self.moment}/"
        threads = "writer." if self.threads == "writer" else ""
        more = "+" if self.onwards else ""
        error = f":{self.error}" if self.error else ""
        return f"{provider}{moment}{threads}{self.call}:{self.number}{more}{error}"

    def at(self, provider: str) -> Self:
        return replace(self, provider=provider)

    @property
    def options(self) -> tuple[str, ...]:
        """For strace."""
        effect = f"error={self.error}" if self.error else "signal=SIGKILL"
        when = f"{self.number}{'+' if self.onwards else ''}"
        return ("-e", f"trace={self.call}", "-e", f"inject={self.call}:{effect}:when={when}")
