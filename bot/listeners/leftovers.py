"""What nobody else listens to still gets an answer: without one, Slack shows the person an error."""

from __future__ import annotations

import re

from slack_bolt.async_app import AsyncAck, AsyncApp

ANYTHING = re.compile(".*", re.DOTALL)


def register(app: AsyncApp) -> None:
    """Register last: Bolt takes the first listener that fits."""

    @app.action(ANYTHING)
    async def old_button(ack: AsyncAck) -> None:
        await ack()

    @app.view(ANYTHING)
    async def old_form(ack: AsyncAck) -> None:
        await ack()

    @app.view_closed(ANYTHING)
    async def closed_form(ack: AsyncAck) -> None:
        await ack()
