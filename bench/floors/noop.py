"""A Bolt app that acknowledges whatever comes, and opens the views that the bot would open.

With `--commit` it writes one durable row for each button that decides something, before it answers.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

from slack_bolt.async_app import AsyncAck
from slack_sdk.web.async_client import AsyncWebClient

from bench.floors.ledger import Ledger
from bench.floors.server import new_app, serve


async def main(form: dict[str, Any], details: dict[str, Any], commits: bool) -> None:
    ledger = Ledger.of_environment() if commits else None
    app = new_app()

    @app.command(re.compile(".*"))
    async def command(ack: AsyncAck, body: dict[str, Any], client: AsyncWebClient) -> None:
        if body.get("text", "").startswith("digicert"):
            await client.views_open(trigger_id=body["trigger_id"], view=form)
        await ack()

    @app.action(re.compile("details"))
    async def show(ack: AsyncAck, body: dict[str, Any], client: AsyncWebClient) -> None:
        await client.views_open(trigger_id=body["trigger_id"], view=details)
        await ack()

    @app.action(re.compile("approve|take_back"))
    async def decide(ack: AsyncAck) -> None:
        if ledger:
            await ledger.commit()
        await ack()

    await serve(app)


if __name__ == "__main__":
    form, details = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    asyncio.run(main(form, details, "--commit" in sys.argv))
