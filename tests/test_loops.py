"""What the bot does in the background breaks, is seen to be broken, and works again afterwards."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import make_url

from bot import app, supervise
from bot.store.transaction import EVERYTHING
from sandbox.slack.model import Message
from tests.bot.test_health import ready
from tests.conftest import World
from tests.gateway import Answer, gateway_to


@pytest.fixture
def transport() -> str:
    return "http"


@pytest.fixture
def storage() -> str:
    return "sqlite"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(supervise, "STEADY", 0.3)
    monkeypatch.setattr(app, "REFRESH_EVERY", 0.05)


def connected(world: World) -> AbstractContextManager[Any]:
    """A connection of somebody else to the bot's database."""
    if world.database.startswith("sqlite"):
        return closing(sqlite3.connect(world.folder / "bot.db", isolation_level=None, timeout=5))
    url = make_url(world.database).set(drivername="postgresql")
    return psycopg.connect(url.render_as_string(hide_password=False), autocommit=True)


@contextmanager
def without(world: World, table: str) -> Iterator[None]:
    """Somebody takes a table away, and puts it back."""
    with connected(world) as database:
        database.execute(f"ALTER TABLE {table} RENAME TO gone")
        try:
            yield
        finally:
            database.execute(f"ALTER TABLE gone RENAME TO {table}")


async def asked(world: World) -> Message:
    return await world.asked("alice", "payvalida", world.vendor("payvalida").samples["cancellable"])


async def is_carried_out(world: World, card: Message) -> None:
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "Outcome: cancelled")
    assert len(world.vendor("payvalida").sends) == 1


@pytest.mark.parametrize("storage", ["sqlite", "postgres"])
@pytest.mark.parametrize(("loop", "table"), [("outbox", "message"), ("worker", "action")])
async def test_a_loop_whose_database_fails_is_seen_and_works_again(
    world: World, loop: str, table: str
) -> None:
    card = await asked(world)
    with without(world, table):
        wake(world)
        assert f"failing: {loop}" in await ready(world)
    assert await ready(world, 200) == ""
    await is_carried_out(world, card)


async def test_while_somebody_locks_the_database_the_worker_is_seen_to_fail(world: World) -> None:
    """It can read what is due and cannot claim it."""
    card = await asked(world)
    with connected(world) as database:
        database.execute("UPDATE action SET due = '2020-01-01 00:00:00.000000' WHERE kind = 'remind'")
        database.execute("BEGIN IMMEDIATE")
        wake(world)
        assert "the database cannot be written" in await ready(world)
        database.execute("ROLLBACK")
    assert await ready(world, 200) == ""
    await is_carried_out(world, card)


async def test_what_could_not_be_stored_is_seen_until_it_can_be(world: World) -> None:
    """Also where nothing is due: everything can still be read."""
    card = await asked(world)
    with connected(world) as database:
        database.execute("BEGIN IMMEDIATE")
        ack = await world.approve("bob", card)
        assert not ack.ok
        world.workspace.problems.clear()  # the person saw an error, and that is right
        assert "the database cannot be written" in await ready(world)
        database.execute("ROLLBACK")
    assert await ready(world, 200) == ""
    await is_carried_out(world, card)


NONSENSE = [
    Answer(200, b"{"),
    Answer(200, b'{"ok": true}'),
    Answer(200, b'{"ok": true, "user": "bob", "users": {"bob": true}}'),
    Answer(200, b"<html>Log in</html>", "text/html"),
]


@pytest.mark.parametrize("answer", NONSENSE, ids=lambda answer: answer.body.decode())
@pytest.mark.parametrize("method", ["users.info", "usergroups.users.list"])
async def test_nonsense_about_people_is_no_answer_and_asked_again(
    quiet_world: World, answer: Answer, method: str
) -> None:
    world = quiet_world
    async with gateway_to(world.settings().slack_api_url) as gateway:
        gateway.answer_next(method, answer, times=10_000)
        await world.start_bot(SLACK_API_URL=gateway.url)
        card = await asked(world)
        for who in ("bob", "carol"):
            await world.approve(who, card)
        await gateway.called(method, gateway.arrived.count(method) + 10)
        assert await ready(world, 200) == ""
        assert world.vendor("payvalida").sends == []
        assert "does not count yet" in world.card(card).readable
        gateway.clear()
        await world.reads(card, "Outcome: cancelled")
        await world.stop_bot()
    assert len(world.vendor("payvalida").sends) == 1


def wake(world: World) -> None:
    assert world.bot is not None
    world.bot._wake(EVERYTHING)
