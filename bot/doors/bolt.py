"""The Bolt app behind both doors."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.listeners import register
from bot.listeners.payload import Body, pressed, text_at
from bot.logs import about, get_logger
from bot.slack import Identity, Slack
from bot.store import within
from bot.traces import span
from bot.workflow import Workflow

log = get_logger(__name__)

_IDS = ["type", "api_app_id", "trigger_id", "response_url", "team_id", "user_id", "channel_id"]
_RECORDS = ["team", "user", "channel", "enterprise", "view", "message", "container"]
_EVENT = "event_callback"
EVENTS = ("app_home_opened",)
"""Those that somebody listens to; the manifest asks for no others."""
_KINDS = ("block_actions", "view_submission", "view_closed", "shortcut", "message_action", _EVENT)
_NAMES = ("type", "callback_id")
_PERSON = re.compile(r"[UW][A-Z0-9]{1,20}", re.ASCII)
_REQUEST = re.compile(r"[0-9a-f]{32}", re.ASCII)
_ID = re.compile(r"[\x21-\x7e]+")
SLACK_WAITS = 3.0
"""Seconds for an answer."""
WORTH_WRITING = 2.4
"""Seconds after which nothing of it is begun any more in the database: longer than all tries of one that has
the database to itself, and soon enough for one that is begun just then to be answered in time."""


def is_understood(payload: Body) -> bool:
    """Is what Bolt and the listeners look into of the types that Slack documents? Anything else would
    end in a traceback that holds the payload."""
    if payload.get("type") == _EVENT:
        return _is_event(payload)
    is_somebodys = bool(text_at(payload, "user", "id") or text_at(payload, "user_id"))
    return (
        (is_somebodys or payload.get("type") == "url_verification" or "ssl_check" in payload)
        and not payload.keys() & {"event", "authorizations"}
        and _has(payload, ids=_IDS, texts=("command", "callback_id", "text", "challenge"))
        and all(_is_record(payload, name) for name in _RECORDS)
        and _is_list(payload.get("response_urls", []))
        and _has_actions(payload)
    )


async def answer(app: AsyncApp, payload: dict[str, Any]) -> BoltResponse:
    """What the listeners answer. The payload is parsed already; what else came with it is not signed,
    and Bolt would obey some of it."""
    if payload.get("type") == _EVENT and payload["event"].get("type") not in EVENTS:
        return BoltResponse(status=200)  # Slack would send it again and again
    whom = _whom_and_what(payload)
    began = time.monotonic()
    with about(**whom), span(f"hear: {_kind(payload)}", **whom), within(WORTH_WRITING):
        answered = await app.async_dispatch(AsyncBoltRequest(mode="socket_mode", body=payload))
        if time.monotonic() - began >= SLACK_WAITS:
            # Slack has told the person that it failed, and this "ok" may be that of the leftovers: Bolt asks
            # them when a listener has not answered in time.
            log.warning("answered_too_late", kind=_kind(payload))
            return BoltResponse(status=504, body="too late")
    return answered


def _kind(payload: Body) -> str:
    """One of a few, whatever is in the payload."""
    kind = payload.get("type", "")
    return "command" if "command" in payload else kind if kind in _KINDS else "something else"


def _whom_and_what(payload: Body) -> dict[str, str]:
    """For the log, as far as these look like IDs: whoever sent this is not known to be Slack's user yet."""
    person = text_at(payload, "user", "id") or text_at(payload, "user_id")
    request = pressed(payload)
    return {
        "person": person if _PERSON.fullmatch(person) else "",
        "request": request if _REQUEST.fullmatch(request) else "",
    }


def _is_event(payload: Body) -> bool:
    event = payload.get("event")
    return (
        isinstance(event, Mapping)
        and _has(payload, ids=("type", "api_app_id", "team_id", "event_id"))
        and _has(event, ids=("type", "user", "tab", "channel"))
        and _is_list(payload.get("authorizations", []))
    )


def _is_record(payload: Body, name: str) -> bool:
    record = payload.get(name)
    if record is None:
        return name not in payload or name != "view"
    return isinstance(record, Mapping) and _has(record, ids=("id", "team_id", "ts", "hash"), texts=_NAMES)


def _is_list(found: object) -> bool:
    return isinstance(found, list) and all(isinstance(item, Mapping) for item in found)


def _has_actions(payload: Body) -> bool:
    """Bolt takes the first of them, so there must be one wherever there may be one."""
    if "actions" not in payload:
        return True
    return (
        bool(payload["actions"])
        and _is_list(payload["actions"])
        and all(
            "action_id" in action and _has(action, ids=("action_id", "block_id", "type"))
            for action in payload["actions"]
        )
    )


def _has(record: Body, ids: Sequence[str], texts: Sequence[str] = ()) -> bool:
    """Are these texts, as far as they are there, and the IDs among them in ASCII?"""
    given = {name: record[name] for name in (*ids, *texts) if record.get(name) is not None}
    return all(isinstance(value, str) for value in given.values()) and all(
        _ID.fullmatch(given[name]) for name in ids if name in given
    )


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
