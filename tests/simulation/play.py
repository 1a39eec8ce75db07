"""Plays one schedule, with everything that would differ from run to run taken from the seed instead."""

from __future__ import annotations

import random
import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from bot import delivery, outbox, supervise, witness, worker
from bot.errors import StorageError
from providers import fence
from tests.simulation.database import Database
from tests.simulation.schedule import Schedule
from tests.simulation.world import World

LOGGING = (delivery, outbox, supervise, witness, worker)


class _Log:
    """The bot's log. An exception in it that nobody foresaw is a violation."""

    def __init__(self, world: World) -> None:
        self._world = world

    def info(self, event: str, **about: Any) -> None:
        if not self._world.is_burying:
            self._world.say(f"log: {event} {about.get('why', '')}")

    warning = info

    def error(self, event: str, **about: Any) -> None:
        self.info(event, **about)
        if isinstance(problem := about.get("exc_info"), BaseException):
            self._judge(event, problem)
        elif event == "chain_broken":
            self._world.violated("the bot says that the history does not verify")

    def exception(self, event: str, **about: Any) -> None:
        self.info(event, **about)
        problem = sys.exc_info()[1]
        if problem is not None:
            self._judge(event, problem)

    def _judge(self, event: str, problem: BaseException) -> None:
        if not isinstance(problem, StorageError) and not self._world.is_burying:
            self._world.violated(f"{event}: {type(problem).__name__}: {problem}")


@contextmanager
def only_chance_is_the_seed(world: World) -> Iterator[None]:
    dice, log = world.dice, _Log(world)

    def token_hex(length: int = 32) -> str:
        return "".join(f"{int(dice.roll('token') * 2**16):04x}" for _ in range(length // 2))

    with ExitStack() as patches:
        for module in LOGGING:
            patches.enter_context(patch.object(module, "log", log))
        patches.enter_context(patch.object(secrets, "token_hex", token_hex))
        patches.enter_context(
            patch.object(secrets, "randbits", lambda bits: int(dice.roll("bits") * 2**bits))
        )
        patches.enter_context(patch.object(random, "uniform", lambda a, b: dice.between("uniform", a, b)))
        patches.enter_context(patch.object(fence, "elapsed", world.elapsed))
        yield


def play(schedule: Schedule, database: Database) -> World:
    """Play one schedule. What was violated is in the world that comes back, and all that happened."""
    world = World(schedule, database)
    with only_chance_is_the_seed(world):
        world.run()
    return world
