"""A small program that writes until its disk is full, gets room again, and goes on in the same process.

`python -m tests.disk.narrow limit|tmpfs FOLDER`: either no file may grow beyond a limit, or `FOLDER` is a
disk of a megabyte of its own. Prints what came of it as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
from abc import ABC, abstractmethod
from contextlib import closing
from pathlib import Path

from bot.errors import StorageError
from bot.logs import only_warnings
from bot.store import Store, Unit
from bot.store.chain import Head
from tests.bot.stores import Clock, new_database

MANY = 1000


class Space(ABC):
    @abstractmethod
    def take(self) -> None:
        """Soon there is none left."""

    @abstractmethod
    def give_back(self) -> None: ...


class Limit(Space):
    """As a quota would: a file may not become longer."""

    def take(self) -> None:
        self._set(400_000)

    def give_back(self) -> None:
        self._set(resource.RLIM_INFINITY)

    def _set(self, size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


class Tmpfs(Space):
    """A real file system without a byte left."""

    def __init__(self, folder: Path) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)
        self._ballast = folder / "ballast"

    def take(self) -> None:
        with self._ballast.open("wb", buffering=0) as ballast:
            ballast.write(bytes(400_000))

    def give_back(self) -> None:
        self._ballast.unlink()


def note(unit: Unit) -> None:
    unit.note("note", {"text": "x" * 3000})


async def write_until_full(store: Store, done: int = 0) -> tuple[int, str]:
    """How many notes are there, and what was said when one more could not be written."""
    for number in range(done, MANY):
        try:
            await store.write(note)
        except StorageError as problem:
            return number, problem.advice
    return MANY, ""


async def story(store: Store, space: Space) -> dict[str, object]:
    space.take()
    first, said = await write_until_full(store)
    again, said_again = await write_until_full(store, first)
    full = await store.read(lambda unit: unit.verify(Head()))
    space.give_back()
    for _ in range(3):
        await store.write(lambda unit: unit.note("note", {"x": "x" * 30_000}))
    after = await store.read(lambda unit: unit.verify(Head()))
    return {"first": first, "again": again, "said": [said, said_again], "full": full.seq, "after": after.seq}


def main(kind: str, folder: str) -> None:
    space = Limit() if kind == "limit" else Tmpfs(Path(folder))
    with only_warnings(), closing(Store(new_database(Path(folder, "bot.db")), Clock())) as store:
        found = asyncio.run(story(store, space))
    os.write(1, json.dumps(found).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
