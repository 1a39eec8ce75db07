"""Provider texts are written by strangers: this makes one safe to store and to show."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from providers.spellings import spellings

_URL = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,15}://\S*"
    # Without its scheme: a host with a port and a path, a path with a query, or a name with a path.
    r"|(?<![\w.-])(?:[\w-]+\.)+(?:\w+:\d+/\S*|[\w-]+/\S*\?\S*|[a-z]{2,}/\S+)",
    re.IGNORECASE,
)
_INVISIBLE_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Drawn as nothing although Unicode files them under letters, marks or symbols."""
_LONGEST_READ = 10_000


def clean_text(value: object, *, limit: int = 300, secrets: Iterable[str] = ()) -> str:
    """One visible line without links and without our own secrets; empty for what is not a text.

    Not escaped for Slack: that is the business of whoever writes to Slack.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    raw = str(value)
    text = " ".join("".join(map(_visible, raw[:_LONGEST_READ])).split())
    if len(raw) > _LONGEST_READ:
        text = text.rpartition(" ")[0]  # the cut may have halved a secret, which masking would miss
    text = _URL.sub("[link]", _masked(text, secrets))
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _visible(char: str) -> str:
    category = unicodedata.category(char)
    if category in {"Zs", "Zl", "Zp"} or char in "\t\n\r\v\f":
        return " "
    hidden = category in {"Cc", "Cf", "Cs", "Co", "Cn"} or char in _INVISIBLE_LETTERS
    return "" if hidden or "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef" else char


def _masked(text: str, secrets: Iterable[str]) -> str:
    small = text.lower()
    found = {form for secret in secrets for form in spellings(secret) if form in small}
    for form in sorted(found, key=len, reverse=True):
        text = re.sub(re.escape(form), "***", text, flags=re.IGNORECASE)
    return text
