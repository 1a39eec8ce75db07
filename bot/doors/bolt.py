"""The Bolt app behind both doors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.listeners import register
from bot.listeners.payload import Body, text_at
from bot.logs import get_logger
from bot.slack import Identity, Slack
from bot.workflow import Workflow

log = get_logger(__name__)

_TEXTS = """
    type command callback_id text api_app_id trigger_id response_url team_id user_id channel_id challenge
    """.split()
_RECORDS = "team user channel enterprise view message container event".split()


def is_understood(payload: Body) -> bool:
    """Has what Bolt looks into the types that Slack documents? Bolt stumbles over anything else, with
    a traceback that holds the payload."""
    return (
        _has_texts(payload, _TEXTS)
        and all(_is_record(payload, name) for name in _RECORDS)
        and all(_is_list(payload, name) for name in ("authorizations", "response_urls"))
        and _has_actions(payload)
    )


def _is_record(payload: Body, name: str) -> bool:
    record = payload.get(name)
    if record is None:
        return name not in payload or name not in ("view", "event")
    return isinstance(record, Mapping) and _has_texts(record, ("id", "type", "callback_id"))


def _is_list(payload: Body, name: str) -> bool:
    found = payload.get(name, [])
    return isinstance(found, list) and all(isinstance(item, Mapping) for item in found)


def _has_actions(payload: Body) -> bool:
    """Bolt takes the first of them, so there must be one wherever there may be one."""
    if "actions" not in payload:
        return True
    actions = payload["actions"] if _is_list(payload, "actions") else []
    named = [action for action in actions if isinstance(action.get("action_id"), str)]
    return bool(actions) and named == actions and all(_has_texts(a, ("type", "block_id")) for a in actions)


def _has_texts(record: Body, names: Sequence[str]) -> bool:
    return all(isinstance(record.get(name), str | None) for name in names)


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
