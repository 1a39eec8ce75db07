"""The workspace on 127.0.0.1: the Web API, the socket, and the page with its control API."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from email.utils import formatdate

from aiohttp import web

from sandbox.slack import api_chat, trouble, web_api
from sandbox.slack.control import Control
from sandbox.slack.model import Refused
from sandbox.slack.workspace import Workspace

_LOCAL = {"127.0.0.1", "localhost"}


@web.middleware
async def _local_only(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """A page elsewhere must not reach us by pointing a name of its own at 127.0.0.1."""
    if request.host.rpartition(":")[0] not in _LOCAL and request.host not in _LOCAL:
        raise web.HTTPForbidden(text="only by 127.0.0.1 or localhost")
    return await handler(request)


class SlackServer:
    def __init__(self, workspace: Workspace, backstage: Iterable[web.RouteDef] = ()) -> None:
        """`backstage`: more for the page to ask, about what is around the workspace."""
        self.workspace = workspace
        self.url = ""
        self._control = Control(workspace)
        self._backstage = list(backstage)
        self._runner: web.AppRunner | None = None

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/"

    async def start(self, port: int = 0) -> str:
        self._listening = socket.create_server(("127.0.0.1", port))
        app = web.Application(middlewares=[_local_only], client_max_size=4 * 1024 * 1024)
        app.router.add_route("*", "/api/{method}", self._api)
        app.router.add_get("/link/", self._socket)
        app.router.add_post("/response/{key}", self._response)
        app.add_routes([*self._control.routes(), *trouble.routes(self.workspace), *self._backstage])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.SockSite(self._runner, self._listening).start()
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.workspace.delivery.hub.base = self.workspace.response_urls.base = self.url
        return self.url

    async def stop(self) -> None:
        self.workspace.release()
        self._control.stop()
        await self.workspace.stop()
        if self._runner:
            # A bot that is still busy may just have connected. asyncio drops such a connection unclosed when
            # its server goes away meanwhile: take no more, and let those few turns pass first.
            asyncio.get_running_loop().remove_reader(self._listening)
            for _ in range(4):
                await asyncio.sleep(0)
            await self._runner.cleanup()

    async def _api(self, request: web.Request) -> web.StreamResponse:
        response = await web_api.call(self.workspace, request)
        response.headers["Date"] = formatdate(self.workspace.now(), usegmt=True)
        return response

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        return await self.workspace.delivery.hub.serve(request)

    async def _response(self, request: web.Request) -> web.Response:
        try:
            body = await request.json()
            api_chat.answer(self.workspace, request.match_info["key"], body)
            self.workspace.wire.note("bot", "Slack", "response_url", "ok", body)
        except (Refused, ValueError) as refused:
            self.workspace.wire.note("bot", "Slack", "response_url", str(refused))
            self.workspace.problem(f"response_url: {refused}")
            return web.json_response({"ok": False, "error": str(refused)}, status=404)
        return web.Response(text="ok")
