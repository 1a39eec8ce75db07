"""A whole cancellation by hand: as many durable commits and HTTP calls as the bot makes, without its reasons.

What it says to Slack was recorded from the bot; only the order, the request and the card are put in. Each
call to the provider has a connection of its own, as it must have in the bot: to connect is a round trip too.
With `--bare` nothing is asked between the last approval and the cancel: two commits and one call.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import ssl
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import httpx
from slack_bolt.async_app import AsyncAck

from bench.floors.ledger import Ledger
from bench.floors.server import new_app, serve

COMMITS = (6, 3, 13)
"""Of the bot on SQLite, counted: until the card is there, for the first approval, from the last one on."""
AUTHORIZED = {"Authorization": f"Bearer {os.environ.get('SLACK_BOT_TOKEN', '')}"}


@dataclass
class Cycle:
    reference: str
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    card: str = ""
    approvals: int = 0


class ByHand:
    def __init__(self, script: dict[str, Any], bare: bool) -> None:
        self._script = script
        self._bare = bare
        self._ledger = Ledger.of_environment()
        self._slack = aiohttp.ClientSession(headers=AUTHORIZED)
        self._trusted = ssl.create_default_context()  # once: a client makes one of its own each time
        self._cycles: dict[str, Cycle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def submitted(self, body: dict[str, Any]) -> None:
        """Durable when this returns; the rest is done behind the answer."""
        await self._ledger.commit()
        values = [field for block in body["view"]["state"]["values"].values() for field in block.values()]
        reference = next(each["value"] for each in values if (each.get("value") or "").isdigit())
        self._on_the_side(self._ask(Cycle(reference)))

    async def approved(self, body: dict[str, Any]) -> None:
        cycle = self._cycles[body["container"]["message_ts"]]
        await self._ledger.commit()
        cycle.approvals += 1
        self._on_the_side(self._cancel(cycle) if cycle.approvals == 2 else self._noted(cycle))

    async def _ask(self, cycle: Cycle) -> None:
        await self._look_up(cycle)
        await self._ledger.commit(COMMITS[0] - 1)
        await self._say(cycle, 0)

    async def _noted(self, cycle: Cycle) -> None:
        await self._ledger.commit(COMMITS[1] - 1)
        await self._say(cycle, 1)

    async def _cancel(self, cycle: Cycle) -> None:
        if not self._bare:
            await self._look_up(cycle)
            await asyncio.gather(*(self._call(cycle, each) for each in self._script["asked"]))
        await self._ledger.commit()
        cancel = {"status": "canceled", "note": f"request {cycle.id}"}
        async with self._provider() as provider:
            (await provider.put(f"{_order(cycle)}/status", json=cancel, headers=_key())).raise_for_status()
        await self._ledger.commit(COMMITS[2] - 2)
        await self._look_up(cycle)
        await self._say(cycle, 2)

    async def _look_up(self, cycle: Cycle) -> None:
        async with self._provider() as provider:
            (await provider.get(_order(cycle), headers=_key())).raise_for_status()

    async def _say(self, cycle: Cycle, part: int) -> None:
        for each in self._script["said"][part]:
            await self._call(cycle, each)

    async def _call(self, cycle: Cycle, recorded: dict[str, Any]) -> None:
        text = json.dumps(recorded["args"]).replace(self._script["reference"], cycle.reference)
        args = json.loads(
            text.replace(self._script["id"], cycle.id).replace(self._script["card"], cycle.card)
        )
        url = os.environ["SLACK_API_URL"] + recorded["method"]
        given = {"json": args} if "channel" in args else {"data": args}
        async with self._slack.post(url, **given) as response:
            answer = await response.json()
        if not answer["ok"]:
            raise RuntimeError(answer)
        if not cycle.card and recorded["method"] == "chat.postMessage":
            cycle.card = answer["ts"]
            self._cycles[cycle.card] = cycle

    def _provider(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(trust_env=False, verify=self._trusted)

    def _on_the_side(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _order(cycle: Cycle) -> str:
    return f"{os.environ['DIGICERT_BASE_URL']}/order/certificate/{cycle.reference}"


def _key() -> dict[str, str]:
    return {"X-DC-DEVKEY": os.environ["DIGICERT_API_KEY"]}


async def main(script: dict[str, Any], bare: bool) -> None:
    by_hand = ByHand(script, bare)
    app = new_app()

    @app.view("request_form")
    async def submitted(ack: AsyncAck, body: dict[str, Any]) -> None:
        await by_hand.submitted(body)
        await ack()

    @app.action("approve")
    async def approve(ack: AsyncAck, body: dict[str, Any]) -> None:
        await by_hand.approved(body)
        await ack()

    await serve(app)


if __name__ == "__main__":
    recorded = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    asyncio.run(main(recorded, "--bare" in sys.argv))
