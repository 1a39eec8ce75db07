"""A Slack workspace, five pretend providers, and the settings that make a bot live there.

The bot is the real one and knows nothing of this: it is told where Slack and the providers are by the
same settings that anybody would use.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from sandbox.backstage import Backstage
from sandbox.slack.server import SlackServer
from sandbox.slack.workspace import Workspace
from sandbox.vendors import VENDORS
from sandbox.vendors.vendor import Vendor

CHANNEL = "C0APPROVALS"
ON_CALL = "S0ONCALL"


class Town:
    """Everything around the bot. Use it as an asynchronous context."""

    def __init__(self, slack_port: int = 0) -> None:
        self.workspace = Workspace()
        self.vendors: dict[str, Vendor[Any]] = {vendor.name: vendor() for vendor in VENDORS}
        self._server = SlackServer(self.workspace, Backstage(self.vendors, self.workspace.wire).routes())
        self._slack_port = slack_port
        self._open = AsyncExitStack()
        self.url = ""

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            self.url = await self._server.start(self._slack_port)
            opening.push_async_callback(self._server.stop)
            for vendor in self.vendors.values():
                await vendor.start()
                opening.push_async_callback(vendor.stop)
                vendor.on_change.append(self.workspace.changed)
            self._open = opening.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    def environment(self, database: Path, **changes: str) -> dict[str, str]:
        """Settings of a bot in this town; `changes` are added on top."""
        environment = {
            "SLACK_BOT_TOKEN": self.workspace.bot_token,
            "SLACK_APP_TOKEN": self.workspace.app_token,
            "SLACK_SIGNING_SECRET": self.workspace.signing_secret,
            "SLACK_API_URL": self._server.api_url,
            "APPROVAL_CHANNEL": CHANNEL,
            "APPROVERS": ON_CALL,
            "DATABASE_URL": f"sqlite:///{database}",
            "HOST": "127.0.0.1",
        }
        for vendor in self.vendors.values():
            environment |= vendor.settings()
        return environment | changes
