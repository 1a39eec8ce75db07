"""Text for Slack: what people and providers wrote appears literally and can become nothing else."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

Block = dict[str, Any]

SAID_MAX = 300
"""Room for one text of a provider, after escaping."""

QUOTE_MAX = 2550
"""Room for one quoted reason, after escaping; a section holds 3000, and may say more than that."""

_READ_AT_MOST = 5000
_QUOTED_LINES = 4
_MARKS_IN_A_ROW = 4
_UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
_EMOJI_SELECTORS = frozenset("\ufe0e\ufe0f")
_FORMATTING = re.compile(r"(?<![^\W_])[*_~](?!\s)|(?<!\s)[*_~](?![^\W_])|`")
_LOOK_ALIKES = {"*": "\u2217", "_": "\u02cd", "~": "\u223c", "`": "\u02cb"}
_EMOJI_NAME = re.compile(r":(?![0-9]{1,60}:)(?=[\w+'-]{1,60}:)")
_LINK = re.compile(r"https?://[A-Za-z0-9./:?=&_%-]{1,500}", re.ASCII)
_SLACK_ID = re.compile(r"[A-Z0-9]{1,40}")


# --- what others wrote ------------------------------------------------------------------------------


def visible(text: str) -> str:
    """Spell out what a reader could not see: control, direction and zero-width characters, and
    piles of combining marks. Only line breaks stay what they are."""
    text = text[:_READ_AT_MOST]
    if text.isascii() and text.isprintable():
        return text
    shown: list[str] = []
    marks = 0
    for character in text.replace("\r\n", "\n"):
        marks = marks + 1 if unicodedata.category(character) in {"Mn", "Me"} else 0
        shown.append(_code_point(character) if marks > _MARKS_IN_A_ROW else _shown(character))
    return "".join(shown)


def escape(text: str) -> str:
    """The three characters that Slack gives a meaning to."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def literal(text: str, limit: int = SAID_MAX) -> str:
    """One line of mrkdwn that reads as it was written: no mention, link, emphasis or emoji."""
    return _fit(_unformatted(one_line(text)), limit)


def quote(text: str, limit: int = QUOTE_MAX) -> str:
    """A block quote; every line of it is marked as one. Starts and ends a line."""
    lines = [line for line in map(one_line, visible(text).split("\n")) if line]
    short = [*lines[: _QUOTED_LINES - 1], " / ".join(lines[_QUOTED_LINES - 1 :])]
    fitted = _fit("\n".join(_unformatted(line) for line in short if line), limit - 2 * _QUOTED_LINES)
    return "\n".join(f"> {line}" for line in fitted.split("\n"))


def is_link(text: str) -> bool:
    """Whether it can stand as an address in markup without ending it."""
    return bool(_LINK.fullmatch(text))


def code(text: str, limit: int = 250) -> str:
    """One line in `code`, which it cannot leave."""
    return f"`{_fit(one_line(text).replace('`', _LOOK_ALIKES['`']), limit - 2)}`"


def plain(text: str, limit: int) -> str:
    """One line for a plain_text object. Nothing has a meaning there; that nobody has to rely on it, the
    brackets of mentions and links are replaced by others."""
    return cut(one_line(text).replace("<", "\u2039").replace(">", "\u203a"), limit)


def one_line(text: str) -> str:
    return " ".join(visible(text).split())


def cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def sentence(text: str) -> str:
    """The text with a full stop, unless it is empty or ends in one."""
    text = text.strip()
    return text if not text or text[-1] in ".!?…" else f"{text}."


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _shown(character: str) -> str:
    if character == "\n":
        return character
    if character in _EMOJI_SELECTORS:
        return ""
    category = unicodedata.category(character)
    if character == "\t" or category == "Zs":
        return " "
    unseen = category in _UNSEEN_CATEGORIES or character in _UNSEEN or _selects_a_variant(character)
    return _code_point(character) if unseen else character


def _selects_a_variant(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


def _code_point(character: str) -> str:
    return f"[U+{ord(character):04X}]"


def _unformatted(text: str) -> str:
    """Slack has no escape for emphasis and emoji names: where they would begin or end, a character
    that looks the same stands in."""
    calm = _FORMATTING.sub(lambda found: _LOOK_ALIKES[found.group()], text)
    return _EMOJI_NAME.sub("\u2236", calm)


def _fit(text: str, limit: int) -> str:
    """Escape, and cut so that the result fits and no escape is cut in half."""
    whole = escape(text)
    if len(whole) <= limit:
        return whole
    ends = accumulate(len(escape(character)) for character in text)
    return escape(text[: sum(end < limit for end in ends)].rstrip()) + "…"


# --- what we write ----------------------------------------------------------------------------------


def mention(user: str) -> str:
    return f"<@{user}>" if _SLACK_ID.fullmatch(user) else literal(user, 50)


def mention_group(group: str) -> str:
    return f"<!subteam^{group}>" if _SLACK_ID.fullmatch(group) else literal(group, 50)


def channel(channel_id: str) -> str:
    return f"<#{channel_id}>" if _SLACK_ID.fullmatch(channel_id) else literal(channel_id, 50)


def when(at: datetime) -> str:
    """A time in the reader's own zone; where that cannot be, in UTC and saying so."""
    utc = at.astimezone(UTC)
    return f"<!date^{int(utc.timestamp())}^{{date_short_pretty}} at {{time}}|{utc:%Y-%m-%d %H:%M} UTC>"


def section(text: str, block_id: str) -> Block:
    return {"type": "section", "block_id": block_id, "text": mrkdwn(text)}


def context(text: str, block_id: str) -> Block:
    return {"type": "context", "block_id": block_id, "elements": [mrkdwn(text)]}


def mrkdwn(text: str) -> Block:
    """Formatted text in which bare addresses and channel names stay text."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def plain_text(text: str) -> Block:
    """Unformatted text. Cut it before: what fits depends on where it goes."""
    return {"type": "plain_text", "text": text, "emoji": False}
