"""Block Kit as a person reads it: plain words, names instead of ids, times instead of timestamps."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]
Names = Callable[[str], str]

_SPECIAL = re.compile(r"<([^<>]*)>")
_MARKS = re.compile(r"(?<![\w*_`~])([*_~`])(?=\S)(.+?)(?<=\S)\1(?![\w*_`~])")
_DATE_PARTS = {
    "{date_num}": "%Y-%m-%d",
    "{date_short_pretty}": "%b %d, %Y",
    "{date_long_pretty}": "%A, %B %d, %Y",
    "{date_pretty}": "%B %d, %Y",
    "{date_short}": "%b %d, %Y",
    "{date_long}": "%A, %B %d, %Y",
    "{date}": "%B %d, %Y",
    "{time_secs}": "%H:%M:%S",
    "{time}": "%H:%M",
}


def unescape(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def date_text(body: str) -> str:
    """`date^1700000000^{date} at {time}|fallback` as UTC; a broken one shows its fallback, as in Slack."""
    stamped, _, fallback = body.partition("|")
    try:
        _, seconds, form = stamped.split("^")[:3]
        moment = datetime.fromtimestamp(int(seconds), UTC)
    except ValueError:
        return fallback
    if "{ago}" in form:
        form = form.replace("{ago}", "{date_short} {time}")
    for token, pattern in _DATE_PARTS.items():
        form = form.replace(token, moment.strftime(pattern))
    return form


def _special(body: str, names: Names) -> str:
    target, _, shown = body.partition("|")
    if target.startswith(("@", "#")):
        return target[0] + names(target[1:])
    if target.startswith("!subteam^"):
        return "@" + names(target.removeprefix("!subteam^"))
    if target.startswith("!date^"):
        return date_text(body[1:])
    if target.startswith("!"):
        return "@" + target[1:]
    return shown or target


def mrkdwn_text(text: str, names: Names) -> str:
    """Slack's mrkdwn without its marks. Entities are undone last, so escaped text stays text."""
    text = _SPECIAL.sub(lambda found: _special(found[1], names), text)
    for _ in range(2):  # marks nest: *_both_*
        text = _MARKS.sub(lambda found: found[2], text)
    return unescape(text)


def text_of(part: Any, names: Names) -> str:
    """A text object."""
    if not isinstance(part, dict):
        return ""
    text = str(part.get("text", ""))
    return mrkdwn_text(text, names) if part.get("type") == "mrkdwn" else text


def label(part: Any) -> str:
    return text_of(part, str)


def _rich(part: Json, names: Names) -> str:
    match part.get("type"):
        case "text":
            return str(part.get("text", ""))
        case "user":
            return "@" + names(str(part.get("user_id")))
        case "usergroup":
            return "@" + names(str(part.get("usergroup_id")))
        case "channel":
            return "#" + names(str(part.get("channel_id")))
        case "link":
            return str(part.get("text") or part.get("url"))
        case "emoji":
            return f":{part.get('name')}:"
        case "broadcast":
            return f"@{part.get('range')}"
        case "date":
            return date_text(f"date^{part.get('timestamp')}^{part.get('format')}|{part.get('fallback', '')}")
        case "rich_text_list" | "rich_text":
            return "\n".join(_rich(item, names) for item in part.get("elements", []))
        case _:
            return "".join(_rich(item, names) for item in part.get("elements", []))


def _element(element: Json, names: Names) -> str:
    match element.get("type"):
        case "button":
            return f"[{label(element.get('text'))}]"
        case "mrkdwn" | "plain_text":
            return text_of(element, names)
        case "image":
            return str(element.get("alt_text", ""))
        case kind:
            return f"[{label(element.get('placeholder')) or kind}]"


def block_text(block: Json, names: Names) -> str:
    match block.get("type"):
        case "section":
            parts = [block.get("text"), *block.get("fields", [])]
            lines = [text_of(part, names) for part in parts if part]
            if block.get("accessory"):
                lines.append(_element(block["accessory"], names))
            return "\n".join(lines)
        case "header" | "alert":
            return text_of(block.get("text"), names)
        case "context" | "actions":
            return " ".join(_element(element, names) for element in block.get("elements", []))
        case "rich_text":
            return _rich(block, names)
        case "input":
            return "\n".join(text_of(block.get(key), names) for key in ("label", "hint") if block.get(key))
        case "markdown":
            return str(block.get("text", ""))
        case _:
            return ""


def blocks_text(blocks: list[Json], names: Names) -> str:
    return "\n".join(line for line in (block_text(block, names) for block in blocks) if line)


def elements(blocks: list[Json]) -> Iterator[tuple[Json, Json]]:
    """Every element somebody can use, with the block it sits in."""
    for block in blocks:
        inside = [block.get("accessory"), block.get("element")]
        if block.get("type") in {"actions", "context_actions"}:
            inside += block.get("elements", [])
        yield from ((block, element) for element in inside if isinstance(element, dict))


def buttons(blocks: list[Json]) -> list[tuple[Json, Json]]:
    return [(block, element) for block, element in elements(blocks) if element.get("type") == "button"]
