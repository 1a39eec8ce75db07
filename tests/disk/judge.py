"""Cuts the power of a traced program at many moments and looks at what is left each time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from tests.disk.power import EXTREMES, Contents, Disk, Fate
from tests.disk.trace import Call

IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where thousands of databases are opened and thrown away without wearing out a disk."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is tried."""

    share: float = 1.0
    """Of the moments at which the power may be cut."""
    fates: int = 6
    """Of what was not synced at such a moment, beside the two extremes."""
    seed: int = 1


@dataclass(slots=True)
class Score:
    """What was tried and what was found wrong."""

    moments: int = 0
    disks: int = 0
    different: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Score) -> None:
        self.moments += other.moments
        self.disks += other.disks
        self.different += other.different
        self.wrong += other.wrong

    def __str__(self) -> str:
        tried = f"{self.disks} disks at {self.moments} moments, {self.different} of them different"
        return f"{tried}; {len(self.wrong)} break a promise"


@dataclass(slots=True)
class Progress:
    """How far the writer had come, by what it said."""

    digests: list[str]
    """What the database held after each commit; the first is what it held before."""
    names: dict[int, str] = field(default_factory=dict)
    acknowledged: int = 0
    failed: int = 0

    def hear(self, lines: str) -> None:
        for line in lines.splitlines():
            word, number, *rest = line.split(" ")
            if word == "try":
                self.digests[int(number) :] = [rest[0]]
                self.names[int(number)] = rest[1]
            elif word == "ack":
                self.acknowledged = int(number)
            else:
                self.failed += 1

    def problem(self, found: str) -> str:
        """What is wrong when this was found: every acknowledged commit must be there, and nothing half.
        One that was under way may be there or not."""
        if found in self.digests[self.acknowledged :]:
            return ""
        if found in self.digests:
            last = self.digests.index(found)
            lost = ", ".join(self.names[n] for n in range(last + 1, self.acknowledged + 1))
            return f"acknowledged and lost: {lost}"
        return f"found {found}, which was never committed"


def cut_everywhere(
    calls: Sequence[Call],
    disk: Disk,
    hear: Callable[[str], None],
    problem: Callable[[Contents], tuple[str, bool]],
    effort: Effort,
) -> Score:
    """Let the calls happen, and after each of them that changes or syncs the disk look at what a power cut
    could leave; always when something was told. `problem` says what is wrong, and whether it looked."""
    score, dice = Score(), Random(effort.seed)  # noqa: S311
    for moment, was_told in _moments(calls, disk, hear):
        if not was_told and dice.random() >= effort.share:
            continue
        score.moments += 1
        for kind in (*EXTREMES, *(f"fate {number}" for number in range(effort.fates))):
            name = f"seed {effort.seed}, line {moment}, {kind}"
            wrong, is_new = problem(disk.survives(Fate(kind, name)))
            score.disks += 1
            score.different += is_new
            score.wrong += [f"{name}: {wrong}"] if wrong else []
    return score


def _moments(calls: Iterable[Call], disk: Disk, hear: Callable[[str], None]) -> Iterator[tuple[int, bool]]:
    """The line of the trace that changed the disk last, and whether something was told after it."""
    last = 0
    for call in calls:
        if call.name == "write" and call.numbers[0] == 1:
            hear(call.texts[0].decode())
            yield last, True
        elif disk.apply(call):
            last = call.began
            yield last, False


class Bench:
    """Where disks are laid out and looked at, each different one only once."""

    def __init__(self, look: Callable[[Path], str]) -> None:
        self._look = look
        self._known: dict[int, str] = {}

    def find(self, left: Contents) -> tuple[str, bool]:
        """What `look` says of the folder, and whether it was asked."""
        key = hash(tuple(sorted(left.items())))
        if is_new := key not in self._known:
            with TemporaryDirectory(dir=IN_MEMORY) as folder:
                for name, data in left.items():
                    path = Path(folder, name)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(data)
                self._known[key] = self._look(Path(folder))
        return self._known[key], is_new
