"""`/livez` and `/readyz`: is the process alive, and can it do its work. Reasons, never secrets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from bot.doors.site import keep_to_itself
from bot.logs import get_logger

log = get_logger(__name__)

Check = Callable[[], Awaitable[str]]
"""Returns what is wrong, or an empty string."""
PATIENCE = 5.0
"""Seconds for one check; whoever asks has a time-out of their own."""


class Health:
    def __init__(self) -> None:
        self._checks: list[Check] = []
        self._told: list[Check] = []

    def add(self, check: Check) -> None:
        self._checks.append(check)

    def tell(self, about: Check) -> None:
        """Something to know that makes nobody less ready, such as a pause."""
        self._told.append(about)

    async def problems(self) -> list[str]:
        found = await asyncio.gather(*(_ask(check) for check in self._checks))
        return [problem for problem in found if problem]

    def add_to(self, site: web.Application) -> None:
        keep_to_itself(site)
        site.router.add_get("/livez", self._live)
        site.router.add_get("/readyz", self._ready)

    async def _live(self, _request: web.Request) -> web.Response:
        """The process answers. Never looks at Slack or the database: restarting would not mend those."""
        return web.json_response({"alive": True})

    async def _ready(self, _request: web.Request) -> web.Response:
        problems = await self.problems()
        told = [each for each in [await _ask(about) for about in self._told] if each]
        answer = {"ready": not problems, "problems": problems} | ({"information": told} if told else {})
        return web.json_response(answer, status=503 if problems else 200)


async def _ask(check: Check) -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            return await check()
    except TimeoutError:
        return "a check did not end in time"
    except Exception as problem:
        log.exception("check_failed")
        return f"a check failed ({type(problem).__name__})"
