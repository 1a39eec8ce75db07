"""Is this payload one that Slack takes? Answers with complaints in Slack's manner; an empty list is a yes."""

from __future__ import annotations

import json
import logging
import secrets
from typing import Any

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View as SdkView

from sandbox.slack import limits, reading
from sandbox.slack.limits import Shape
from sandbox.slack.model import Json

_SDK_TROUBLE = (SlackObjectFormationError, TypeError, AttributeError, KeyError, ValueError)


class _Heard(logging.Handler):
    """The SDK only warns about some mistakes that Slack refuses."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def message_blocks(blocks: Any) -> list[str]:
    if not isinstance(blocks, list):
        return ["blocks must be an array [json-pointer:/blocks]"]
    return _blocks(blocks, "message", limits.BLOCKS_PER_MESSAGE) + _by_sdk(blocks)


def view(content: Any) -> list[str]:
    if not isinstance(content, dict) or content.get("type") not in ("modal", "home"):
        return ["view must be an object of type modal or home [json-pointer:/view]"]
    kind = content["type"]
    check = _Check()
    check.shape(content, limits.VIEWS[kind], "/view")
    for key, most in limits.VIEW_TEXTS.items():
        if content.get(key) is not None:
            check.plain(content[key], most, f"/view/{key}")
    for key, most in limits.VIEW_STRINGS.items():
        check.length(content.get(key), most, f"/view/{key}")
    blocks = content.get("blocks")
    if not isinstance(blocks, list) or not blocks:
        return [*check.complaints, "must have blocks [json-pointer:/view/blocks]"]
    has_input = any(isinstance(block, dict) and block.get("type") == "input" for block in blocks)
    if kind == "modal" and has_input and not content.get("submit"):
        check.complain("submit is required when there is an input", "/view/submit")
    return check.complaints + _blocks(blocks, kind, limits.BLOCKS_PER_VIEW) + _view_by_sdk(content)


def too_large(content: Json) -> bool:
    return len(json.dumps(content).encode()) > limits.VIEW_BYTES


def with_ids(blocks: list[Json]) -> list[Json]:
    """Give ids to blocks and elements that came without, as Slack does."""
    for block in blocks:
        block.setdefault("block_id", secrets.token_urlsafe(4))
    for _, element in reading.elements(blocks):
        if element.get("type") in limits.ELEMENTS and element["type"] != "image":
            element.setdefault("action_id", secrets.token_urlsafe(4))
    return blocks


def _blocks(blocks: list[Any], surface: str, most: int) -> list[str]:
    check = _Check()
    check.count(blocks, 1 if surface != "message" else 0, most, "/blocks")
    for index, block in enumerate(blocks):
        check.block(block, surface, f"/blocks/{index}")
    check.unique([b.get("block_id") for b in blocks if isinstance(b, dict)], "block_id")
    pairs = [b for b in blocks if isinstance(b, dict) and b.get("type") in ("actions", "section", "input")]
    for block in pairs:
        found = [e.get("action_id") for _, e in reading.elements([block])]
        check.unique(found, f"action_id in {block.get('block_id')}")
    return check.complaints


def _by_sdk(blocks: list[Any]) -> list[str]:
    heard, logger = _Heard(), logging.getLogger("slack_sdk.models")
    logger.addHandler(heard)
    try:
        parsed = [Block.parse(block) for block in blocks]
        for one in parsed:
            if one is not None:
                one.to_dict()
    except _SDK_TROUBLE as error:
        return [f"slack_sdk: {error}"]
    finally:
        logger.removeHandler(heard)
    return [f"slack_sdk: {message}" for message in heard.messages]


def _view_by_sdk(content: Json) -> list[str]:
    try:
        SdkView(**content).validate_json()
    except _SDK_TROUBLE as error:
        return [f"slack_sdk: {error}"]
    return _by_sdk(content["blocks"])


class _Check:
    """Walks one payload and collects what is wrong with it."""

    def __init__(self) -> None:
        self.complaints: list[str] = []

    def complain(self, what: str, where: str) -> None:
        self.complaints.append(f"{what} [json-pointer:{where}]")

    def shape(self, thing: Json, shape: Shape, where: str) -> None:
        for key in shape.required - thing.keys():
            self.complain(f"missing required field: {key}", where)
        for key in thing.keys() - shape.required - shape.optional - {"type"}:
            self.complain(f"invalid additional property: {key}", where)

    def length(self, value: Any, most: int, where: str, least: int = 0) -> None:
        if value is None:
            return
        if not isinstance(value, str):
            self.complain("must be a string", where)
        elif len(value) < least:
            self.complain(f"must be more than {least - 1} characters", where)
        elif len(value) > most:
            self.complain(f"must be less than {most + 1} characters", where)

    def count(self, things: Any, least: int, most: int, where: str) -> bool:
        if not isinstance(things, list):
            self.complain("must be an array", where)
            return False
        if not least <= len(things) <= most:
            self.complain(f"must have {least} to {most} items, has {len(things)}", where)
        return True

    def unique(self, found: list[Any], what: str) -> None:
        given = [one for one in found if one is not None]
        if len(given) != len(set(given)):
            self.complain(f"{what} is not unique", "/blocks")

    def text(self, part: Any, most: int, where: str) -> None:
        if not isinstance(part, dict) or part.get("type") not in ("plain_text", "mrkdwn"):
            self.complain("must be a text object", where)
            return
        self.shape(part, limits.TEXTS[part["type"]], where)
        self.length(part.get("text"), most, f"{where}/text", least=1)

    def plain(self, part: Any, most: int, where: str) -> None:
        self.text(part, most, where)
        if isinstance(part, dict) and part.get("type") == "mrkdwn":
            self.complain("must be plain_text", where)

    def block(self, block: Any, surface: str, where: str) -> None:
        kind = block.get("type") if isinstance(block, dict) else None
        if kind not in limits.BLOCKS or surface not in limits.SURFACES.get(kind, limits.EVERYWHERE):
            self.complain(f"unsupported type: {kind}", where)
            return
        self.shape(block, limits.BLOCKS[kind], where)
        self.length(block.get("block_id"), limits.ID, f"{where}/block_id", least=1)
        inside = getattr(self, f"_{kind}", None)
        if inside:
            inside(block, where)

    def _section(self, block: Json, where: str) -> None:
        if not block.get("text") and not block.get("fields"):
            self.complain("must have text or fields", where)
        if "text" in block:
            self.text(block["text"], limits.SECTION_TEXT, f"{where}/text")
        if "fields" in block and self.count(block["fields"], 1, limits.SECTION_FIELDS, f"{where}/fields"):
            for index, part in enumerate(block["fields"]):
                self.text(part, limits.FIELD_TEXT, f"{where}/fields/{index}")
        if "accessory" in block:
            self.element(block["accessory"], limits.IN_SECTION, f"{where}/accessory")

    def _header(self, block: Json, where: str) -> None:
        self.plain(block.get("text"), limits.HEADER_TEXT, f"{where}/text")

    def _context(self, block: Json, where: str) -> None:
        if not self.count(block.get("elements"), 1, limits.CONTEXT_ELEMENTS, f"{where}/elements"):
            return
        for index, element in enumerate(block["elements"]):
            if isinstance(element, dict) and element.get("type") == "image":
                self.element(element, {"image"}, f"{where}/elements/{index}")
            else:
                self.text(element, limits.SECTION_TEXT, f"{where}/elements/{index}")

    def _actions(self, block: Json, where: str) -> None:
        if self.count(block.get("elements"), 1, limits.ACTIONS_ELEMENTS, f"{where}/elements"):
            for index, element in enumerate(block["elements"]):
                self.element(element, limits.IN_ACTIONS, f"{where}/elements/{index}")

    def _input(self, block: Json, where: str) -> None:
        self.plain(block.get("label"), limits.LABEL, f"{where}/label")
        if block.get("hint") is not None:
            self.plain(block["hint"], limits.LABEL, f"{where}/hint")
        self.element(block.get("element"), limits.IN_INPUT, f"{where}/element")

    def _rich_text(self, block: Json, where: str) -> None:
        if self.count(block.get("elements"), 1, 1000, f"{where}/elements"):
            for index, part in enumerate(block["elements"]):
                if not isinstance(part, dict) or part.get("type") not in limits.RICH_PARTS:
                    self.complain("unsupported type", f"{where}/elements/{index}")

    def _alert(self, block: Json, where: str) -> None:
        self.text(block.get("text"), limits.ALERT_TEXT, f"{where}/text")

    def element(self, element: Any, allowed: set[str], where: str) -> None:
        kind = element.get("type") if isinstance(element, dict) else None
        if kind not in allowed:
            self.complain(f"unsupported type: {kind}", where)
            return
        self.shape(element, limits.ELEMENTS[kind], where)
        for key, most in limits.ELEMENT_STRINGS.items():
            self.length(element.get(key), most, f"{where}/{key}")
        if "text" in element:
            self.plain(element["text"], limits.BUTTON_TEXT, f"{where}/text")
        if "placeholder" in element:
            self.plain(element["placeholder"], limits.PLACEHOLDER, f"{where}/placeholder")
        if element.get("style", "primary") not in ("primary", "danger"):
            self.complain("style must be primary or danger", f"{where}/style")
        if "confirm" in element:
            self._confirm(element["confirm"], f"{where}/confirm")
        if kind in limits.MOST_OPTIONS:
            self._options(element, limits.MOST_OPTIONS[kind], where)
        if kind == "plain_text_input":
            self._text_input(element, where)

    def _confirm(self, confirm: Json, where: str) -> None:
        self.shape(confirm, limits.CONFIRM, where)
        self.text(confirm.get("text"), limits.CONFIRM_TEXT, f"{where}/text")
        for key, most in (("title", 100), ("confirm", 30), ("deny", 30)):
            if key in confirm:
                self.plain(confirm[key], most, f"{where}/{key}")

    def _options(self, element: Json, most: int, where: str) -> None:
        groups = element.get("option_groups")
        if (groups is None) == ("options" not in element):
            self.complain("must have either options or option_groups", where)
            return
        lists = [element.get("options")] if groups is None else [g.get("options") for g in groups]
        for options in lists:
            if isinstance(options, list) and self.count(options, 1, most, f"{where}/options"):
                self._each_option(options, where)
        known = [o for options in lists if isinstance(options, list) for o in options]
        initial = element.get("initial_options", [])
        for chosen in [*initial, *([element["initial_option"]] if "initial_option" in element else [])]:
            if chosen not in known:
                self.complain("initial option is not one of the options", where)

    def _each_option(self, options: list[Any], where: str) -> None:
        for index, option in enumerate(options):
            here = f"{where}/options/{index}"
            self.shape(option, limits.OPTION, here)
            self.text(option.get("text"), limits.OPTION_TEXT, f"{here}/text")
            self.length(option.get("value"), limits.OPTION_VALUE, f"{here}/value", least=1)
            if "description" in option:
                self.text(option["description"], limits.OPTION_TEXT, f"{here}/description")

    def _text_input(self, element: Json, where: str) -> None:
        least, most = element.get("min_length", 0), element.get("max_length", limits.INPUT_TEXT)
        if not 0 <= least <= most or not 1 <= most <= limits.INPUT_TEXT:
            self.complain("min_length and max_length do not fit", where)
        self.length(element.get("initial_value"), most, f"{where}/initial_value")
