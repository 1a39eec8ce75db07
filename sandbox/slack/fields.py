"""What can be filled in: the state of inputs, in the shapes Slack sends it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from sandbox.slack import reading
from sandbox.slack.model import Json

_SINGLE = {"static_select", "radio_buttons", "external_select"}
_SEVERAL = {"checkboxes", "multi_static_select", "multi_external_select"}
_PLAIN = {
    "plain_text_input": ("value", "initial_value"),
    "email_text_input": ("value", "initial_value"),
    "url_text_input": ("value", "initial_value"),
    "number_input": ("value", "initial_value"),
    "datepicker": ("selected_date", "initial_date"),
    "timepicker": ("selected_time", "initial_time"),
    "users_select": ("selected_user", "initial_user"),
    "conversations_select": ("selected_conversation", "initial_conversation"),
    "channels_select": ("selected_channel", "initial_channel"),
}
REQUIRED = "Please complete this required field."


class CannotFill(AssertionError):
    """The person cannot do that: no such field, no such option."""


def is_field(element: Json) -> bool:
    return element.get("type") in _SINGLE | _SEVERAL | _PLAIN.keys()


def initial_values(blocks: list[Json]) -> dict[str, dict[str, Json]]:
    values: dict[str, dict[str, Json]] = {}
    for block, element in reading.elements(blocks):
        if is_field(element):
            values.setdefault(block["block_id"], {})[element["action_id"]] = _initial(element)
    return values


def _initial(element: Json) -> Json:
    kind = element["type"]
    if kind in _SINGLE:
        return {"type": kind, "selected_option": element.get("initial_option")}
    if kind in _SEVERAL:
        return {"type": kind, "selected_options": element.get("initial_options", [])}
    key, initial = _PLAIN[kind]
    return {"type": kind, key: element.get(initial)}


def options(element: Json) -> Iterator[Json]:
    yield from element.get("options", [])
    for group in element.get("option_groups", []):
        yield from group["options"]


def option(element: Json, wanted: str) -> Json:
    """The option with this text or value."""
    found = [o for o in options(element) if wanted in (reading.label(o["text"]), o["value"])]
    if not found:
        offered = [reading.label(o["text"]) for o in options(element)]
        raise CannotFill(f"no option {wanted!r}; there are {offered}")
    return found[0]


def filled(element: Json, wanted: Any) -> Json:
    """The state of this element after somebody chose or typed `wanted`; None empties it."""
    kind = element["type"]
    if kind in _SINGLE:
        return {"type": kind, "selected_option": None if wanted is None else option(element, str(wanted))}
    if kind in _SEVERAL:
        chosen = [wanted] if isinstance(wanted, str) else list(wanted or [])
        return {"type": kind, "selected_options": [option(element, str(one)) for one in chosen]}
    if kind == "datepicker" and wanted is not None:
        date.fromisoformat(str(wanted))
    # An emptied input is null in Slack's payloads, not "".
    return {"type": kind, _PLAIN[kind][0]: str(wanted) if wanted not in (None, "") else None}


def plain(value: Json) -> Any:
    """What a person would say is in the field."""
    if "selected_option" in value:
        return value["selected_option"] and reading.label(value["selected_option"]["text"])
    if "selected_options" in value:
        return [reading.label(o["text"]) for o in value["selected_options"]]
    return next(v for k, v in value.items() if k != "type")


def complaint(block: Json, value: Json) -> str | None:
    """Why Slack's own client would not submit this field."""
    element, content = block["element"], plain(value)
    if not content:
        return None if block.get("optional") else REQUIRED
    if element["type"] != "plain_text_input":
        return None
    least, most = element.get("min_length", 0), element.get("max_length", 3000)
    if len(content) < least:
        return f"Must be at least {least} characters."
    if len(content) > most:
        return f"Must be at most {most} characters."
    return None
