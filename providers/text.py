"""Provider texts are written by strangers: this makes one safe to store and to show."""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from html import escape
from urllib.parse import quote, quote_plus

_URL = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,15}://\S*"
    # Without its scheme: a host with a port and a path, a path with a query, or a name with a path.
    r"|(?<![\w.-])(?:[\w-]+\.)+(?:\w+:\d+/\S*|[\w-]+/\S*\?\S*|[a-z]{2,}/\S+)",
    re.IGNORECASE,
)
_INVISIBLE_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Drawn as nothing although Unicode files them under letters, marks or symbols."""
_LONGEST_READ = 10_000
_SHORTEST_SECRET = 4


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
    found = {form for secret in secrets for form in _spellings(secret) if form in small}
    for form in sorted(found, key=len, reverse=True):
        text = re.sub(re.escape(form), "***", text, flags=re.IGNORECASE)
    return text


@lru_cache(maxsize=256)
def _spellings(secret: str) -> frozenset[str]:
    """In small letters: how a secret may come back, from whoever repeats or quotes what was sent."""
    raw = secret.encode("utf-8", "surrogatepass")
    percent = quote(raw, safe="")
    quoted = {secret, *_as_json(secret), repr(secret)[1:-1]}
    quoted |= {again for form in quoted for again in _as_json(form)}
    forms = {percent, quote(raw), quote_plus(raw), quote(percent, safe=""), raw.hex(), *_base64(raw)}
    forms |= {escape(secret), escape(secret, quote=False), *quoted}
    forms |= {form.replace("\\'", "'") for form in quoted} | {form.replace("/", "\\/") for form in quoted}
    return frozenset(form.lower() for form in forms if len(form) >= _SHORTEST_SECRET)


def _as_json(text: str) -> set[str]:
    return {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}


def _base64(raw: bytes) -> Iterator[str]:
    """The letters that do not depend on what stands around it, as in Basic "user:secret"."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        inner = encoded[(0, 2, 3)[before] : len(encoded) - ((before + len(raw)) % 3 > 0)]
        if len(inner) >= _SHORTEST_SECRET + 2:
            yield from (inner, inner.replace("+", "-").replace("/", "_"), quote(inner, safe=""))
