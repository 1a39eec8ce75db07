"""`/livez` and `/readyz`: is the process alive, and can it do its work. Reasons, never secrets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from bot.doors.site import keep_to_itself

Check = Callable[[], Awaitable[str]]
"""Returns what is wrong, or an empty string."""


class Health:
    def __init__(self) -> None:
        self._checks: list[Check] = []

    def add(self, check: Check) -> None:
        self._checks.append(check)

    async def problems(self) -> list[str]:
        found = [await check() for check in self._checks]
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
        return web.json_response({"ready": not problems, "problems": problems}, status=503 if problems else 200)
