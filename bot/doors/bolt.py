"""The Bolt app behind both doors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.listeners import register
from bot.listeners.payload import text_at
from bot.logs import get_logger
from bot.slack import Identity, Slack
from bot.workflow import Workflow

log = get_logger(__name__)


def build(workflow: Workflow, slack: Slack, identity: Identity, api_url: str) -> AsyncApp:
    """The app with all listeners. Signatures are checked by `doors.http`, before anything is parsed."""

    async def authorize() -> AuthorizeResult:
        # Given by us, because Bolt would call auth.test on each event until one succeeds.
        return AuthorizeResult(
            enterprise_id=identity.enterprise or None,
            team_id=identity.team,
            bot_id=identity.bot,
            bot_user_id=identity.user,
            bot_token=slack.client.token,
        )

    app = AsyncApp(
        name="countersign",
        client=AsyncWebClient(base_url=api_url, session=slack.session, retry_handlers=[]),
        authorize=authorize,
        request_verification_enabled=False,
        ssl_check_enabled=False,
    )

    @app.middleware
    async def only_our_app(
        body: dict[str, Any], next: Callable[[], Awaitable[BoltResponse]]
    ) -> BoltResponse | None:
        """A payload for another app, with the same signing secret or not, changes nothing here."""
        theirs = text_at(body, "api_app_id")
        if identity.app and theirs != identity.app:
            log.warning("payload_for_another_app")
            return BoltResponse(status=200, body="")
        return await next()

    register(app, workflow, slack)
    return app
