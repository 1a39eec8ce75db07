"""A browser for the tests of the page. One for all of them; each test has a tab that knows no other."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from sandbox.browser import ADVICE, Chromium, Tab, found
from sandbox.town import Town
from tests.conftest import World
from tests.sandbox.tiny_bot import Running, start


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    if found() is None:
        if os.environ.get("CI"):
            pytest.fail(f"{ADVICE} CI must not skip what the page is tested with.")
        pytest.skip(ADVICE)
    with Chromium() as browser:
        yield browser


@pytest.fixture
async def tab(chromium: Chromium) -> AsyncIterator[Tab]:
    async with chromium.tab() as tab:
        yield tab


@pytest.fixture
async def tiny() -> AsyncIterator[Running]:
    """A workspace with the smallest bot in it."""
    async with AsyncExitStack() as stack:
        yield await start(stack, "socket")


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[World]:
    """The whole town with the real bot, as `make sandbox` has it."""
    async with Town() as town:
        world = World(town, tmp_path, "socket")
        await world.start_bot()
        try:
            yield world
        finally:
            await world.stop_bot()
        assert town.workspace.problems == []
