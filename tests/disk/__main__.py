"""All of it: `python -m tests.disk`. The tests try a sample of the same. Takes about ten minutes; with words
after it, only what has them in its name: `python -m tests.disk made`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.disk.experiments import lose_power_twice, lose_power_while_creating, lose_power_while_writing
from tests.disk.judge import IN_MEMORY, Effort, Score
from tests.disk.misfortune import BROKEN, FULL, NEVER, Fault, calls_of, suffer, used_after_failing
from tests.disk.power import FolderNotSynced
from tests.disk.trace import ADVICE, is_there
from tests.disk.writer import SAFE, UNSAFE

SYNCS = 30
"""More than the writer makes in its busiest thread."""


def experiments(folder: Path) -> Iterator[tuple[str, Callable[[], list[str]]]]:
    """What is tried, and how; each says what it has found wrong."""
    for variant in SAFE:
        yield f"power cut while writing, {variant}", partial(power, folder, variant)
    for variant in UNSAFE:
        yield f"the same with {variant}, which must lose something", partial(unsafe, folder, variant)
    yield "power cut while the database is made", partial(creation, folder)
    yield "a second power cut after a first one", partial(twice, folder)
    for variant in SAFE:
        yield f"power cut after a failed sync, {variant}", partial(failed_syncs, folder, variant)
    for fault in (*FULL, *BROKEN):
        yield (
            f"{fault.call} fails with {fault.error}, {fault.times or 'for ever'}",
            partial(fail, folder, fault),
        )


def power(folder: Path, variant: str) -> list[str]:
    score, _ = lose_power_while_writing(folder / variant, variant, Effort())
    return _tell(score)


def unsafe(folder: Path, variant: str) -> list[str]:
    score, _ = lose_power_while_writing(folder / variant, variant, Effort(share=0.2, fates=2))
    lost = sum("acknowledged and lost" in wrong for wrong in score.wrong)
    _say(f"    {score.disks} disks, {lost} of them had forgotten what was acknowledged")
    return [] if lost else ["nothing was lost: the experiment proves nothing"]


def creation(folder: Path) -> list[str]:
    score, found = lose_power_while_creating(folder / "creation", Effort(fates=12))
    for what, often in sorted(found.items()):
        _say(f"    {often} times: {what}")
    return _tell(score)


def twice(folder: Path) -> list[str]:
    return _tell(lose_power_twice(folder / "twice", SAFE[1], Effort(share=0.1, fates=3), lives=12))


def failed_syncs(folder: Path, variant: str) -> list[str]:
    """Each sync of the writer fails once."""
    total, left_out = Score(), 0
    for number in range(1, SYNCS + 1):
        inject, effort = f"fdatasync:error=EIO:when={number}", Effort(share=0.02, fates=2)
        try:
            score, _ = lose_power_while_writing(
                folder / f"{variant} {number}", variant, effort, inject=inject
            )
        except FolderNotSynced:
            left_out += 1
            continue
        total.add(score)
    _say(f"    {SYNCS - left_out} syncs failed; {left_out} of the folder left out, SQLite ignores its result")
    return _tell(total)


def fail(folder: Path, fault: Fault) -> list[str]:
    lives, calls = suffer(
        folder / f"{fault.call} {fault.error} {fault.times}", fault, [NEVER, *calls_of(fault.call)]
    )
    wrong = [f"call {life.which}: {problem}" for life in lives for problem in life.problems(fault)]
    wrong += [
        f"used after its sync failed: {call.name}, line {call.began}" for call in used_after_failing(calls)
    ]
    refused = sum(bool(said) for life in lives for said in life.came)
    _say(f"    {len(lives)} lives, {refused} writes refused, {len(wrong)} problems")
    return wrong


def _tell(score: Score) -> list[str]:
    _say(f"    {score}")
    return score.wrong


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(*words: str) -> int:
    if not is_there():
        _say(ADVICE)
        return 1
    wrong: list[str] = []
    with TemporaryDirectory(dir=IN_MEMORY) as folder:
        for name, tried in experiments(Path(folder)):
            if " ".join(words) not in name:
                continue
            began = time.monotonic()
            _say(name)
            found = tried()
            _say(f"    {time.monotonic() - began:.0f} s")
            wrong += [f"{name}: {each}" for each in found]
    for each in wrong:
        _say(each)
    _say(f"{len(wrong)} promises broken.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
