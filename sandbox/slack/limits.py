"""Slack's limits and shapes, as data. Docs: docs.slack.dev/reference/block-kit, each block's own page."""

from __future__ import annotations

from dataclasses import dataclass

BLOCKS_PER_MESSAGE, BLOCKS_PER_VIEW = 50, 100
MESSAGE_TEXT, UPDATE_TEXT = 40_000, 4_000
VIEW_BYTES = 250_000
METADATA_BYTES = 16_000  # Slack says "too large" without a number; this is far above what one should send
ID = 255
SECTION_TEXT, SECTION_FIELDS, FIELD_TEXT = 3000, 10, 2000
HEADER_TEXT, ALERT_TEXT, CONFIRM_TEXT = 150, 200, 300
CONTEXT_ELEMENTS, ACTIONS_ELEMENTS = 10, 25
LABEL, PLACEHOLDER, BUTTON_TEXT, INPUT_TEXT = 2000, 150, 75, 3000
OPTION_TEXT = OPTION_VALUE = 75  # a value of 150 is documented too; what passes here passes everywhere


@dataclass(frozen=True)
class Shape:
    """The keys a thing must have, and those it may have."""

    required: frozenset[str]
    optional: frozenset[str]


def _shape(required: str = "", optional: str = "") -> Shape:
    return Shape(frozenset(required.split()), frozenset(optional.split()))


TEXTS = {"plain_text": _shape("text", "emoji"), "mrkdwn": _shape("text", "verbatim")}
CONFIRM = _shape("text", "title confirm deny style")
OPTION = _shape("text value", "description")

BLOCKS = {
    "section": _shape("", "block_id text fields accessory expand"),
    "header": _shape("text", "block_id"),
    "divider": _shape("", "block_id"),
    "context": _shape("elements", "block_id"),
    "actions": _shape("elements", "block_id"),
    "input": _shape("label element", "block_id hint optional dispatch_action"),
    "image": _shape("alt_text", "block_id image_url slack_file title"),
    "rich_text": _shape("elements", "block_id"),
    "alert": _shape("text", "block_id level"),
}
EVERYWHERE = frozenset({"message", "modal", "home"})
SURFACES = {"alert": frozenset({"modal"})}
RICH_PARTS = {"rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote"}

_CHOICE = "action_id options option_groups initial_option confirm focus_on_load placeholder"
_CHOICES = _CHOICE.replace("initial_option ", "initial_options ") + " max_selected_items"
_TYPED = "action_id initial_value placeholder focus_on_load dispatch_action_config"
_PICKED = "action_id confirm focus_on_load placeholder"
ELEMENTS = {
    "button": _shape("text", "action_id value url style confirm accessibility_label"),
    "static_select": _shape("", _CHOICE),
    "multi_static_select": _shape("", _CHOICES),
    "radio_buttons": _shape("options", "action_id initial_option confirm focus_on_load"),
    "checkboxes": _shape("options", "action_id initial_options confirm focus_on_load"),
    "overflow": _shape("options", "action_id confirm"),
    "plain_text_input": _shape("", f"{_TYPED} multiline min_length max_length"),
    "email_text_input": _shape("", _TYPED),
    "url_text_input": _shape("", _TYPED),
    "number_input": _shape("is_decimal_allowed", f"{_TYPED} min_value max_value"),
    "datepicker": _shape("", f"{_PICKED} initial_date"),
    "timepicker": _shape("", f"{_PICKED} initial_time timezone"),
    "users_select": _shape("", f"{_PICKED} initial_user"),
    "conversations_select": _shape(
        "", f"{_PICKED} initial_conversation filter default_to_current_conversation"
    ),
    "channels_select": _shape("", f"{_PICKED} initial_channel"),
    "image": _shape("alt_text", "image_url slack_file"),
}
ELEMENT_STRINGS = {"action_id": ID, "value": 2000, "url": 3000, "accessibility_label": 75, "alt_text": 2000}
MOST_OPTIONS = {
    "static_select": 100,
    "multi_static_select": 100,
    "radio_buttons": 10,
    "checkboxes": 10,
    "overflow": 5,
}
_TYPED_KINDS = {"plain_text_input", "email_text_input", "url_text_input", "number_input"}
IN_INPUT = set(ELEMENTS) - {"button", "overflow", "image"}
IN_ACTIONS = set(ELEMENTS) - _TYPED_KINDS - {"image", "multi_static_select"}
IN_SECTION = set(ELEMENTS) - _TYPED_KINDS

VIEWS = {
    "modal": _shape(
        "title blocks",
        "submit close private_metadata callback_id external_id clear_on_close notify_on_close",
    ),
    "home": _shape("blocks", "private_metadata callback_id external_id"),
}
VIEW_TEXTS = {"title": 24, "submit": 24, "close": 24}
VIEW_STRINGS = {"private_metadata": 3000, "callback_id": ID, "external_id": ID}
