"""A Bolt app behind the server that the bot uses, and nothing else."""

from __future__ import annotations

import asyncio
import os
import signal

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient


def new_app() -> AsyncApp:
    """Bolt checks the signature; who we are is known, so that it asks Slack about no payload."""

    async def authorize() -> AuthorizeResult:
        return AuthorizeResult(
            enterprise_id=None,
            team_id="T0NORTHWIND",
            bot_id="B0SANDBOX",
            bot_user_id="U0BOT",
            bot_token=os.environ["SLACK_BOT_TOKEN"],
        )

    return AsyncApp(
        client=AsyncWebClient(base_url=os.environ["SLACK_API_URL"]),
        signing_secret=os.environ["SLACK_SIGNING_SECRET"],
        authorize=authorize,
    )


async def serve(app: AsyncApp) -> None:
    """Until SIGTERM."""

    async def receive(request: web.Request) -> web.Response:
        return await to_aiohttp_response(await app.async_dispatch(await to_bolt_request(request)))

    async def ready(_request: web.Request) -> web.Response:
        return web.Response(text="ready")

    site = web.Application()
    site.add_routes([web.post("/slack/events", receive), web.get("/readyz", ready)])
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(os.environ["PORT"])).start()
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    await told.wait()
    await runner.cleanup()
