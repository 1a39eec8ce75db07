"""What was tried and what came of it, for somebody who asks whether the schedules were trivial."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from bot.model import State
from tests.simulation.provider import FATES
from tests.simulation.schedule import Blow, Change, Does, Effect
from tests.simulation.world import World

REPLAY = "python -m tests.simulation{where} --seed {seed}"
EVERYWHERE = ("at some moment", *(effect.value for effect in Effect))


@dataclass
class Report:
    played: int = 0
    hours: float = 0.0
    """Simulated ones."""
    tally: Counter[str] = field(default_factory=Counter)
    violated: dict[int, list[str]] = field(default_factory=dict)
    """What was violated, by seed."""

    def add(self, world: World) -> None:
        self.played += 1
        self.hours += world.loop.now / 3600
        self.tally += world.tally
        if world.violations:
            self.violated[world.schedule.seed] = world.violations

    def merge(self, other: Report) -> None:
        self.played += other.played
        self.hours += other.hours
        self.tally += other.tally
        self.violated |= other.violated

    # --- in words ---------------------------------------------------------------------------------

    def lines(self, where: str = "") -> Iterable[str]:
        """`where`: the options that say which database it was."""
        yield from self._blows()
        yield from self._table("What became of a cancel", "a cancel was ", [fate.name for fate in FATES])
        yield from self._table("What look-ups after a cancel showed", "a look-up after a cancel showed ")
        yield from self._table("How requests went on", "became ", [state.value for state in State])
        for does in (*(one.value for one in Does), "asks", "finds", "confirms"):
            yield from self._table(f"Somebody {does}, and was told", f"{does}: ")
        yield from self._rest()
        yield ""
        yield from self.failures(where)
        count = len(self.violated)
        yield f"{self.played} schedules, {self.hours:.0f} simulated hours; {count} violated a promise."

    def failures(self, where: str = "") -> Iterable[str]:
        """What was violated, and how to see it happen again."""
        for seed, what in sorted(self.violated.items()):
            yield f"seed {seed}: {what[0]}"
            yield f"    {REPLAY.format(where=where, seed=seed)}"

    def _blows(self) -> Iterable[str]:
        """What befell processes, and where."""
        blows = list(Blow)
        yield ""
        yield f"{'What befell processes, and where':50}" + "".join(f"{_column(blow):>11}" for blow in blows)
        for where in EVERYWHERE:
            counts = [self.tally[f"{blow.value}: {where}"] for blow in blows]
            yield f"  {where:48}" + "".join(f"{count:11}" for count in counts)

    def _table(self, title: str, beginning: str, expected: Iterable[str] = ()) -> Iterable[str]:
        found = {name.removeprefix(beginning) for name in self.tally if name.startswith(beginning)}
        yield ""
        yield title
        for name in dict.fromkeys([*expected, *sorted(found)]):
            yield f"  {name:66}{self.tally[beginning + name]:7}"

    def _rest(self) -> Iterable[str]:
        shown = ("a cancel was ", "a look-up after", "became ")
        told = tuple(f"{does}: " for does in (*(one.value for one in Does), "asks", "finds", "confirms"))
        blows = tuple(f"{blow.value}: " for blow in Blow)
        yield ""
        yield "What else happened"
        for name, count in sorted(self.tally.items()):
            if count and not name.startswith((*shown, *told, *blows)):
                yield f"  {name:66}{count:7}"

    def what_is_missing(self) -> list[str]:
        """What should have been tried among so many schedules, and was not."""
        wanted = [f"is killed: {where}" for where in EVERYWHERE]
        wanted += [f"is stopped: {where}" for where in EVERYWHERE]
        wanted += [f"a cancel was {fate.name}" for fate in FATES]
        wanted += [f"became {state.value}" for state in State]
        wanted += [change.value for change in Change]
        wanted += ["a cancel was held back by the fence", "clicked twice at once", "clicked on an old card"]
        wanted += ["a second cancel left after the first was proved without effect"]
        return [name for name in wanted if not self.tally[name]]


def _column(blow: Blow) -> str:
    return {
        Blow.KILL: "killed",
        Blow.STOP: "stopped",
        Blow.SUSPEND: "suspended",
        Blow.TERMINATE: "told to end",
        Blow.CUT: "cut off",
    }[blow]
