"""A program writes, the power is cut, the bot opens what is left: was anything lost or halved?"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from sqlalchemy.exc import DBAPIError

from bot.cli import run
from bot.errors import StorageError
from bot.store import Store, Unit, schema
from bot.store.chain import Head
from bot.store.requests import NOT_LOOKED_UP
from tests.bot.stores import Clock, new_database, sql
from tests.disk.judge import Bench, Effort, Progress, Score, cut_everywhere
from tests.disk.power import Contents, Disk
from tests.disk.trace import Call, run_traced
from tests.disk.writer import contents

NAME = "bot.db"


# --- the bot writes -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Life:
    """`tests.disk.writer` at work in a folder, as it was traced."""

    folder: Path
    variant: str
    before: Contents
    """What was in the folder."""
    requests: tuple[int, int] = (0, 2)
    inject: str = ""
    progress: Progress = field(init=False)
    calls: list[Call] = field(init=False)

    def live(self, bench: Bench) -> None:
        for name, data in self.before.items():
            self.folder.mkdir(exist_ok=True)
            (self.folder / name).write_bytes(data)
        self.progress = Progress([bench.find(self.before)[0]])
        program = ["-m", "tests.disk.writer", str(self.folder / NAME), self.variant, *map(str, self.requests)]
        self.calls, done = run_traced(program, self.folder.with_suffix(".trace"), inject=self.inject)
        if done.returncode:
            raise RuntimeError(done.stderr)

    def lose_power(self, bench: Bench, effort: Effort) -> Score:
        """Wrong is what forgets an acknowledged commit, or what is not exactly as after one of them."""

        def problem(left: Contents) -> tuple[str, bool]:
            found, is_new = bench.find(left)
            return self.progress.problem(found), is_new

        score = cut_everywhere(
            self.calls, Disk(self.folder, self.before), self.progress.hear, problem, effort
        )
        assert self.progress.acknowledged == len(self.progress.names) > 0
        return score

    def some_ends(self, count: int, seed: int) -> list[Contents]:
        """What power cuts at some moments of it left."""
        ends: list[Contents] = []

        def keep(left: Contents) -> tuple[str, bool]:
            ends.append(left)
            return "", True

        cut_everywhere(self.calls, Disk(self.folder, self.before), lambda _: None, keep, Effort(0.1, 1, seed))
        return Random(seed).sample(ends, count)  # noqa: S311


def lose_power_while_writing(
    folder: Path, variant: str, effort: Effort, requests: tuple[int, int] = (0, 2), inject: str = ""
) -> tuple[Score, Life]:
    """The life of a new database."""
    bench, folder_before = Bench(what_is_stored), folder.with_name(f"{folder.name} before")
    folder_before.mkdir()
    new_database(folder_before / NAME)
    life = Life(folder, variant, {NAME: (folder_before / NAME).read_bytes()}, requests, inject)
    life.live(bench)
    return life.lose_power(bench, effort), life


def lose_power_twice(folder: Path, variant: str, effort: Effort, lives: int) -> Score:
    """The bot starts on what a power cut left, goes on, and the power is cut again."""
    total, bench = Score(), Bench(what_is_stored)
    _, first = lose_power_while_writing(folder, variant, Effort(share=0, fates=0))
    for number, left in enumerate(first.some_ends(lives, effort.seed)):
        second = Life(folder.with_name(f"{folder.name} {number}"), variant, left, (100, 102))
        second.live(bench)
        total.add(second.lose_power(bench, effort))
    return total


def what_is_stored(folder: Path) -> str:
    """A digest of what the bot finds in the database; or in words why it cannot go on with it."""
    with closing(Store(f"sqlite:///{folder / NAME}", Clock())) as store:
        try:
            found = store.read_now(_read_all)
            store.write_now(lambda unit: unit.note("started", {}))
            store.read_now(lambda unit: unit.verify(Head()))
        except (StorageError, DBAPIError, ValueError) as problem:
            return f"{type(problem).__name__}: {problem}"
    return found


def _read_all(unit: Unit) -> str:
    driver = unit._connection.connection.dbapi_connection
    assert driver is not None
    try:
        (integrity,) = driver.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.DatabaseError as problem:
        integrity = str(problem)
    if integrity != "ok":
        return f"a damaged file ({integrity})"
    unit.verify(Head())
    for request in unit.requests(limit=1000):
        unit.prove(request)
        if (unit.reference(request.id) is None) != (request.state in NOT_LOOKED_UP):
            return f"a request that is {request.state} with the wrong reference"
    return contents(driver)


# --- the first start ----------------------------------------------------------------------------------


def lose_power_while_creating(folder: Path, effort: Effort) -> tuple[Score, Counter[str]]:
    """`python -m bot db upgrade` where nothing is yet, not even the folder; and how often the next start
    finds what. Wrong is anything but: nothing, a whole database, or a plain refusal; and after the
    command has said that it is done, anything but a whole database."""
    folder.mkdir()
    path = folder / "data" / NAME
    environment = {"DATABASE_URL": f"sqlite:///{path}"}
    calls, done = run_traced(["-m", "bot", "db", "upgrade"], folder.with_suffix(".trace"), environment)
    if done.returncode:
        raise RuntimeError(done.stderr)
    whole, tally = described(path), Counter[str]()
    said: list[str] = []
    bench = Bench(lambda found: how_it_starts(found / "data" / NAME, whole))

    def problem(left: Contents) -> tuple[str, bool]:
        found, is_new = bench.find(left)
        tally[found] += 1
        is_right = found == WHOLE if said else found in {WHOLE, EMPTY} or found.startswith(REFUSED)
        return "" if is_right else f"{found}{' after it was said to be there' * bool(said)}", is_new

    return cut_everywhere(calls, Disk(folder, {}), said.append, problem, effort), tally


WHOLE, EMPTY, REFUSED = "a whole database", "nothing yet", "refused: "


def how_it_starts(path: Path, whole: list[tuple[object, ...]]) -> str:
    """What the bot makes of the database at `path` when it starts."""
    url = f"sqlite:///{path}"
    found = EMPTY if schema.is_empty(url) else WHOLE
    try:
        run.make_ready(url)
    except StorageError as refused:
        return f"{REFUSED}{refused.advice.replace(str(path), 'it')}"
    if described(path) != whole:
        return "half a schema that serves"
    with closing(Store(url, Clock())) as store:
        store.write_now(lambda unit: unit.note("started", {}))
    return found


def described(path: Path) -> list[tuple[object, ...]]:
    """All tables and indices, and which version they are."""
    with sql(path) as database:
        tables = database.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
        return [*tables, *database.execute("SELECT * FROM alembic_version").fetchall()]
