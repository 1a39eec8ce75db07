"""A pretend PagerDuty: who is on call in which schedule, as strict about a call as the real one."""

from __future__ import annotations

from typing import Any

from aiohttp import web

WANTED = "application/vnd.pagerduty+json;version=2"


class PretendPagerDuty:
    """`GET /oncalls` on 127.0.0.1. Use it as an asynchronous context."""

    def __init__(self, key: str = "pretend-pagerduty-key") -> None:
        self.key = key
        self.on_call: dict[str, list[str]] = {}
        """E-mail addresses by schedule ID."""
        self.status = 200
        """What it answers with, whatever it is asked: 500 for a bad day."""
        self.problems: list[str] = []
        """What a caller did that the real one would not have understood."""
        self.asked = 0
        self.url = ""

    async def __aenter__(self) -> PretendPagerDuty:
        site = web.Application()
        site.router.add_get("/oncalls", self._on_calls)
        self._runner = web.AppRunner(site, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def settings(self, *schedules: str) -> dict[str, str]:
        """What a bot needs to ask here."""
        return {
            "ON_CALL_SOURCE": "pagerduty",
            "PAGERDUTY_API_KEY": self.key,
            "PAGERDUTY_SCHEDULES": ",".join(schedules),
            "PAGERDUTY_BASE_URL": self.url,
        }

    async def _on_calls(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.status != 200:
            return web.json_response({"error": {"message": "a bad day", "code": 5000}}, status=self.status)
        if request.headers.get("Authorization") != f"Token token={self.key}":
            return web.json_response({"error": {"message": "Unauthorized", "code": 2006}}, status=401)
        if request.headers.get("Accept") != WANTED:
            self.problems.append("the version of the API is not asked for")
        if request.query.get("include[]") != "users":
            self.problems.append("without include[]=users there are no e-mail addresses")
        schedules = request.query.getall("schedule_ids[]", list(self.on_call))
        entries = [_entry(name, email) for name in schedules for email in self.on_call.get(name, [])]
        limit = int(request.query.get("limit", "25"))
        page = {"limit": limit, "offset": 0, "more": len(entries) > limit, "total": None}
        return web.json_response({"oncalls": entries[:limit], **page})


def _entry(schedule: str, email: str) -> dict[str, Any]:
    name = email.partition("@")[0]
    return {
        "escalation_policy": {"id": "PESCAL1", "type": "escalation_policy_reference"},
        "escalation_level": 1,
        "schedule": {"id": schedule, "type": "schedule_reference", "summary": "Payments, primary"},
        "user": {"id": f"P{name.upper()}", "type": "user", "name": name.title(), "email": email},
        "start": "2026-11-21T08:00:00Z",
        "end": "2026-11-28T08:00:00Z",
    }
