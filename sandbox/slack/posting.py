"""Posts from the page, guarded against other pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from sandbox.slack.model import Json

Action = Callable[[Json], Awaitable[Json]]


def post(path: str, action: Action) -> web.RouteDef:
    """JSON in, JSON out; what cannot be done is answered with 409 and the reason."""

    async def handle(request: web.Request) -> web.Response:
        # Other sites can post forms here, but not JSON without asking first: that is the whole defence.
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType
        body = await request.json()
        try:
            return web.json_response(await action(body))
        except (AssertionError, LookupError, ValueError) as refused:
            return web.json_response({"ok": False, "error": str(refused)}, status=409)

    return web.post(path, handle)
