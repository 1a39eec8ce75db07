"""A small program whose disk fails now and then, because it runs under `strace -e inject`.

`python -m tests.disk.unlucky DATABASE CALL AT WHICH…` makes a copy of the database for each number in
`WHICH`, writes to it, and prints a line of JSON about what came of that. strace lets the calls from
number `AT` on fail, counted in each thread; so the thread that writes first makes as many of them for
nothing that the first to fail is number `WHICH` of those it needs.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

from bot.errors import StorageError
from bot.events import Denied, Requested
from bot.model import State
from bot.store import Store, Unit
from bot.store.chain import Head
from tests.bot.builders import ALICE, BOB, CHANNEL, NOW, TEAM
from tests.bot.stores import Clock
from tests.disk.writer import set_pragmas

STEPS = 10


def waste(call: str, times: int) -> None:
    """Make system calls that do nothing; some of them fail."""
    nothing = os.open(os.devnull, os.O_RDWR)
    act: dict[str, Callable[[], object]] = {
        "pwrite64": lambda: os.pwrite(nothing, b"", 0),
        "fdatasync": lambda: os.fdatasync(nothing),
    }
    for _ in range(times):
        with suppress(OSError):
            act[call]()
    os.close(nothing)


def step(number: int, unit: Unit) -> None:
    """Every other one makes a request, and the next one ends it, which wipes its reference."""
    name = f"r{number // 2}"
    request = unit.request(name)
    if number % 2 == 0:
        asked = Requested(TEAM, CHANNEL, "digicert", "a", "#1", name, ALICE, "why", 2, ("S0",), NOW)
        unit.begin(name, asked, secret(number))
    elif request is not None:
        unit.save(request, [Denied(BOB, "No. " * 200)])
    unit.note("step", {"number": number})


def secret(number: int) -> str:
    return f"reference {number // 2} of a request"


async def write_on(store: Store, before: Callable[[], None]) -> list[str]:
    """What came of each step: nothing when it was written, else what is said about it."""

    def first(_unit: Unit) -> None:
        before()

    await store.write(first)
    came: list[str] = []
    for number in range(STEPS):
        try:
            await store.write(partial(step, number))
            came.append("")
        except StorageError as problem:
            came.append(problem.advice)
    return came


def steps_in(unit: Unit) -> list[int]:
    """The steps that are in the history, which must verify."""
    unit.verify(Head())
    for request in unit.requests():
        unit.prove(request)
    driver: Any = unit._connection.connection.dbapi_connection
    rows = driver.execute("SELECT body FROM event WHERE kind = 'step' ORDER BY seq")
    return [json.loads(body)["number"] for (body,) in rows]


def left_behind(store: Store, path: Path) -> list[int]:
    """Whose references can still be read in the files, although the requests have ended."""
    store._write_thread.submit(lambda: None).result()  # behind what tidies up
    found = b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
    ended = [n for n in range(1, STEPS, 2) if store.read_now(partial(_has_ended, n))]
    return [number for number in ended if secret(number).encode() in found]


def _has_ended(number: int, unit: Unit) -> bool:
    request = unit.request(f"r{number // 2}")
    return request is not None and request.state is State.DENIED


def one_life(path: Path, before: Callable[[], None]) -> dict[str, Any]:
    with closing(Store(f"sqlite:///{path}", Clock())) as store:
        store.read_now(lambda unit: unit.head())  # the bot reads before it writes
        came = asyncio.run(write_on(store, before))
        seen, left = store.read_now(steps_in), left_behind(store, path)
    with closing(Store(f"sqlite:///{path}", Clock())) as store:
        later = store.read_now(steps_in)
    with closing(sqlite3.connect(path)) as database:
        (integrity,) = database.execute("PRAGMA integrity_check").fetchone()
    return {"came": came, "seen": seen, "later": later, "integrity": integrity, "left": left}


def main(database: str, call: str, at: str, *which: str) -> None:
    set_pragmas(("wal_autocheckpoint = 30",))
    for number in which:
        path = Path(f"{database}.{number}")
        shutil.copy(database, path)

        with ThreadPoolExecutor(1) as thread:  # its calls are counted anew
            found = {
                "which": int(number),
                **thread.submit(one_life, path, partial(waste, call, int(at) - int(number))).result(),
            }
        os.write(1, json.dumps(found).encode() + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
