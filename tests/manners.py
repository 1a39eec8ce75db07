"""What every message of the bot keeps to, whatever it says. Each town test holds all of its messages to it.

Slack's own limits are the pretend Slack's business (`sandbox/slack/checks.py`); here it is how we talk.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from slack_sdk.models.blocks import Block

from sandbox.slack.model import Message
from sandbox.slack.workspace import Workspace

SHOUTS = ("<!channel", "<!here", "<!everyone")
OURS = re.compile(r"https?://[^|>\s]*(slack\.com|127\.0\.0\.1)[^|>\s]*")
A_LINK = re.compile(r"<(https?://[^|>\s]+)")
A_TIME = re.compile(r"\d{2}:\d{2}(:\d{2})? ?(UTC|Z\b)")
"""A time of ours. What a provider says about an order is quoted as it is."""
A_DATE = re.compile(r"<!date\^[^>]*>")
A_CALL = re.compile(r"<@(U[A-Z0-9]+)>")
INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def complaints(workspace: Workspace) -> list[str]:
    """Everything that any message of the bot does wrong."""
    found = []
    for message in _posted(workspace):
        found += [f"{fault}: {message.text[:200]!r}" for fault in faults(message.text, message.blocks)]
    return found


def faults(text: str, blocks: list[dict[str, Any]]) -> list[str]:
    shown = [text, *_texts(blocks)]
    found = [
        *([] if _is_a_sentence(text) else ["the text for screen readers is no sentence"]),
        *(["it shouts"] if any(shout in part for part in shown for shout in SHOUTS) else []),
        *(["a time in one zone only"] if any(A_TIME.search(A_DATE.sub("", part)) for part in shown) else []),
        *(["invisible characters"] if any(INVISIBLE.search(part) for part in shown) else []),
    ]
    links = [link for part in shown for link in A_LINK.findall(part) if not OURS.fullmatch(link)]
    found += [f"a link that leads out of Slack ({link})" for link in links]
    for block in Block.parse_all(blocks):
        block.validate_json()
    return found


def calls(message: Message) -> Counter[str]:
    """How often each person is mentioned in what notifies them: the text of a message that is no edit."""
    return Counter(A_CALL.findall(message.text))


def _posted(workspace: Workspace) -> Iterator[Message]:
    for channel in workspace.channels.values():
        for top in (*channel.messages, *channel.ephemerals):
            for message in (top, *top.thread):
                if message.by_app and not message.deleted:
                    yield from (message, *message.history)


def _is_a_sentence(text: str) -> bool:
    """It begins with a word, has several, and ends: not "New message", and no bare list of buttons."""
    plain = re.sub(r"<[^>]*>|[*_`~]", "", text).strip()
    return len(plain.split()) >= 3 and plain.rstrip("`)\"'”").endswith((".", "?", "!", "…", ":"))


def _texts(part: object) -> list[str]:
    if isinstance(part, dict):
        own = part.get("text")
        mine = [own] if isinstance(own, str) else []
        return mine + [text for value in part.values() for text in _texts(value)]
    if isinstance(part, list):
        return [text for value in part for text in _texts(value)]
    return []
