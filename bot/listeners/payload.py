"""Reading Slack's payloads: who, where, which request. Odd shapes give empty values, never errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.blocks.cards import read_button
from bot.errors import Refused
from bot.model import Person
from bot.workflow import Click

Body = Mapping[str, Any]


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
    return Click(
        request_id=request_id,
        digest=digest,
        channel=text_at(body, "channel", "id"),
        ts=text_at(body, "message", "ts"),
        ours=bool(app_id) and text_at(body, "message", "app_id") == app_id,
    )


def selected(body: Body) -> str | None:
    """The option chosen in a select."""
    actions = body.get("actions")
    first = actions[0] if isinstance(actions, list) and actions else None
    return text_at(first, "selected_option", "value") or None
