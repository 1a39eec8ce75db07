"""Reading Slack's payloads: who, where, which request. Odd shapes give empty values, never errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bot.blocks.cards import read_button
from bot.clicks import Click
from bot.errors import Refused
from bot.model import Person

Body = Mapping[str, Any]
_TIME = re.compile(r"[0-9]{1,12}\.[0-9]{1,6}", re.ASCII)


def text_at(body: object, *path: str) -> str:
    """The text under `path`, or an empty one."""
    for name in path:
        body = body.get(name) if isinstance(body, Mapping) else None
    return body if isinstance(body, str) else ""


def who_typed(body: Body) -> Person:
    """The person behind a slash command."""
    return Person(text_at(body, "team_id"), text_at(body, "user_id"))


def who_acted(body: Body) -> Person:
    """The person behind a click or a form. In a shared channel their team is not the channel's."""
    team = text_at(body, "user", "team_id") or text_at(body, "team", "id")
    return Person(team, text_at(body, "user", "id"))


def clicked(body: Body, app_id: str) -> Click:
    """Which card was clicked, and where. Raises `Refused` when the button is not one of ours."""
    actions = body.get("actions")
    first = actions[0] if isinstance(actions, list) and actions else None
    button = read_button(text_at(first, "value"))
    if button is None:
        raise Refused("not_ours", "This button does not belong to a request.")
    request_id, digest = button
    clicked_at = text_at(first, "action_ts")
    return Click(
        request_id=request_id,
        digest=digest,
        channel=text_at(body, "channel", "id"),
        ts=text_at(body, "message", "ts"),
        ours=bool(app_id) and text_at(body, "message", "app_id") == app_id,
        at_home=text_at(body, "view", "type") == "home" and text_at(body, "view", "app_id") == app_id,
        clicked=clicked_at if _TIME.fullmatch(clicked_at) else "",
    )


def selected(body: Body) -> str | None:
    """The option chosen in a select."""
    actions = body.get("actions")
    first = actions[0] if isinstance(actions, list) and actions else None
    return text_at(first, "selected_option", "value") or None


def pressed(body: Body) -> str:
    """The ID of the request whose button was pressed; empty when it is none of ours."""
    actions = body.get("actions")
    first = actions[0] if isinstance(actions, list) and actions else None
    button = read_button(text_at(first, "value"))
    return button[0] if button else ""


def message_text(body: Body) -> str:
    """What the message says on which a shortcut was used: its text, or else all texts in its blocks."""
    message = body.get("message")
    texts = [
        text_at(message, "text"),
        *_texts(message.get("blocks") if isinstance(message, Mapping) else None),
    ]
    return "\n".join(filter(None, texts))


def _texts(part: object, depth: int = 12) -> list[str]:
    if isinstance(part, Mapping) and depth:
        own = [value for value in (part.get("text"), part.get("url")) if isinstance(value, str)]
        deeper = [value for value in part.values() if not isinstance(value, str)]
        return own + [text for value in deeper for text in _texts(value, depth - 1)]
    if isinstance(part, list) and depth:
        return [text for value in part for text in _texts(value, depth - 1)]
    return []
