"""A gateway between the bot and the pretend Slack, for answers that no Slack would give."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web


@dataclass(frozen=True)
class Answer:
    """What the bot gets. `passed_on`: Slack carried the call out all the same."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    passed_on: bool = False


class Gateway:
    """`url` takes the place of `SLACK_API_URL`."""

    def __init__(self, slack_url: str) -> None:
        self._slack_url = slack_url
        self._odd: dict[str, deque[Answer]] = defaultdict(deque)
        self._held: set[str] = set()
        self._released = asyncio.Event()
        self.holding: asyncio.Queue[str] = asyncio.Queue()
        """Methods whose call was carried out and whose answer is being held back."""
        self.arrived: list[str] = []
        """Methods in the order in which they were called."""
        self.url = ""
        self._arrival = asyncio.Event()

    async def called(self, method: str, times: int) -> None:
        """Return once `method` was called so often."""
        async with asyncio.timeout(20):
            while self.arrived.count(method) < times:
                self._arrival.clear()
                await self._arrival.wait()

    def answer_next(self, method: str, answer: Answer, times: int = 1) -> None:
        self._odd[method].extend([answer] * times)

    def clear(self) -> None:
        self._odd.clear()

    def hold_next(self, method: str) -> None:
        """Let the next call through, and keep its answer until `release`."""
        self._held.add(method)
        self._released.clear()

    def release(self) -> None:
        self._released.set()

    async def receive(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        self.arrived.append(method)
        self._arrival.set()
        body = await request.read()
        odd = self._odd[method].popleft() if self._odd[method] else None
        if odd is None or odd.passed_on:
            try:
                real = await self._pass_on(request, method, body)
            except aiohttp.ClientError:
                return _hang_up(request)
        if method in self._held:
            self._held.discard(method)
            self.holding.put_nowait(method)
            await self._released.wait()
        if odd is None:
            return real
        return web.Response(
            status=odd.status, body=odd.body, headers={"Content-Type": odd.content_type, **odd.headers}
        )

    async def _pass_on(self, request: web.Request, method: str, body: bytes) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name in _PASSED_ON}
        async with (
            aiohttp.ClientSession(headers=headers, trust_env=False) as session,
            session.request(
                request.method, f"{self._slack_url}{method}?{request.query_string}", data=body
            ) as answer,
        ):
            kept = {name: value for name, value in answer.headers.items() if name in _PASSED_ON}
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.close()
    return web.Response()


_PASSED_ON = ("Authorization", "Content-Type", "Retry-After", "Date")


@asynccontextmanager
async def gateway_to(slack_url: str) -> AsyncIterator[Gateway]:
    gateway = Gateway(slack_url)
    site = web.Application()
    site.router.add_route("*", "/api/{method}", gateway.receive)
    runner = web.AppRunner(site, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    gateway.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/"
    try:
        yield gateway
    finally:
        gateway.release()
        await runner.cleanup()
