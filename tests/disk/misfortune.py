"""Lets the disk fail at each call of a sequence of writes, and says what each life of it proves wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bot.stores import new_database
from tests.disk.trace import Call, run_traced
from tests.disk.unlucky import STEPS

AT = 1000
"""More calls than one life makes."""
SAID = "The database could not be used: "


@dataclass(frozen=True, slots=True)
class Fault:
    call: str
    error: str
    times: int | None
    """In a row; None: from then on."""

    @property
    def inject(self) -> str:
        until = "+" if self.times is None else f"..{AT + self.times - 1}"
        return f"{self.call}:error={self.error}:when={AT}{until}"


FULL = (Fault("pwrite64", "ENOSPC", 1), Fault("pwrite64", "ENOSPC", 5), Fault("pwrite64", "ENOSPC", None))
BROKEN = (Fault("pwrite64", "EIO", 1), Fault("fdatasync", "EIO", 1), Fault("fdatasync", "EIO", 3))
NEVER = AT + 10_000
"""A number that no call has: nothing fails."""


def calls_of(call: str) -> range:
    """The numbers of the calls that one life makes, and a few more."""
    return range(1, 260 if call == "pwrite64" else 32)


@dataclass(frozen=True, slots=True)
class Life:
    which: int
    came: list[str]
    seen: list[int]
    later: list[int]
    integrity: str
    left: list[int]

    def problems(self, fault: Fault) -> list[str]:
        """What this life proves wrong."""
        written = [number for number, said in enumerate(self.came) if not said]
        failed = [said for said in self.came if said]
        return [
            *(["a step is not as it was told"] if self.seen != written else []),
            *(["a step was forgotten, or came back, after a restart"] if self.later != self.seen else []),
            *(["the file is damaged"] if self.integrity != "ok" else []),
            *[f"it was told so: {said}" for said in failed if not said.startswith(SAID)],
            *(["it did not go on afterwards"] if fault.times and len(failed) > fault.times else []),
            *(["a reference was left behind"] if not self.came[-1] and set(self.left) - {STEPS - 1} else []),
        ]


def suffer(folder: Path, fault: Fault, which: Sequence[int]) -> tuple[list[Life], list[Call]]:
    """One life for each number in `which`: the call of that number is the first to fail."""
    folder.mkdir()
    new_database(folder / "bot.db")
    program = ["-m", "tests.disk.unlucky", str(folder / "bot.db"), fault.call, str(AT), *map(str, which)]
    calls, done = run_traced(program, folder.with_suffix(".trace"), inject=fault.inject)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [Life(**json.loads(line)) for line in done.stdout.splitlines()], calls


def used_after_failing(calls: Sequence[Call]) -> list[Call]:
    """Writes and syncs by a connection whose sync of the write-ahead log had failed.

    Not those of the database itself: SQLite shares that one open file among its connections. A
    checkpoint that failed there is done again from the log as a whole.
    """
    logs: set[int] = set()
    failed: set[int] = set()
    found: list[Call] = []
    for call in calls:
        fd = call.numbers[0] if call.numbers else -1
        if call.name == "openat" and call.texts[0].endswith(b"-wal"):
            logs.add(call.returned)
        elif call.name == "close":
            logs.discard(fd)
            failed.discard(fd)
        elif fd in failed:
            found.append(call)
        elif fd in logs and call.name == "fdatasync" and call.error:
            failed.add(fd)
    return found
