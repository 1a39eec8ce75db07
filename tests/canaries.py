"""Finds secrets in bytes, in every spelling in which one could get there.

On purpose not made of the bot's own masking: what that forgets, this must still find.
"""

from __future__ import annotations

import base64
import html
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

KEY = 8
"""Bytes of each spelling that are looked up first; nothing shorter is looked for."""


@dataclass(frozen=True, slots=True)
class Found:
    what: str
    spelling: str
    around: bytes

    def __str__(self) -> str:
        return f"{self.what} ({self.spelling}) in {self.around!r}"


class Scanner:
    """Looks for many secrets at once, whatever the case of their letters."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._by_key: dict[bytes, list[tuple[bytes, str, str]]] = defaultdict(list)
        for secret in set(secrets):
            for name, form in spellings(secret):
                wanted = form.lower().encode()
                if len(wanted) >= KEY:
                    self._by_key[wanted[:KEY]].append((wanted, secret, name))

    def scan(self, data: bytes) -> list[Found]:
        low, keys = data.lower(), self._by_key
        places = [at for at in range(len(low) - KEY + 1) if low[at : at + KEY] in keys]
        return [
            Found(secret, name, data[max(at - 60, 0) : at + 100])
            for at in places
            for wanted, secret, name in keys[low[at : at + KEY]]
            if low.startswith(wanted, at)
        ]


def spellings(secret: str) -> Iterator[tuple[str, str]]:
    """Each with its name. The plain middle of a secret counts as the secret: the rest may be disguised."""
    texts = {"": secret}
    if len(core := plain_part(secret)) >= 12:
        texts["a part of it, "] = core
    for what, text in texts.items():
        for name, form in _written(text):
            yield f"{what}{name}", form


def plain_part(secret: str) -> str:
    """The longest run of letters and digits."""
    return max(
        "".join(c if c.isascii() and c.isalnum() else " " for c in secret).split(), key=len, default=""
    )


def _written(text: str) -> Iterator[tuple[str, str]]:
    raw = text.encode()
    yield "raw", text
    yield "backwards", text[::-1]
    yield "percent", quote(text, safe="")
    yield "percent in a path", quote(text)
    yield "form", quote_plus(text)
    yield "percent twice", quote(quote(text, safe=""), safe="")
    yield "JSON", _json(text)
    yield "JSON, not ASCII", _json(text, ascii_only=False)
    yield "JSON in JSON", _json(_json(text))
    yield "JSON in JSON, not ASCII", _json(_json(text, ascii_only=False), ascii_only=False)
    yield "JSON with \\/", _json(text).replace("/", "\\/")
    yield "repr", repr(text)[1:-1]
    yield "HTML", html.escape(text)
    yield "as Slack escapes", html.escape(text, quote=False)
    yield "hex", raw.hex()
    yield "hex with colons", raw.hex(":")
    for before in range(3):
        # What does not depend on the neighbours, wherever the secret stands in what was encoded.
        encoded = base64.b64encode(b"\0" * before + raw)
        last = len(encoded) if (before + len(raw)) % 3 == 0 else (before + len(raw)) * 8 // 6
        inner = encoded[(before * 8 + 5) // 6 : last].decode()
        yield f"base64 after {before}", inner
        yield f"base64 for URLs after {before}", inner.replace("+", "-").replace("/", "_")
        yield f"base64, percent, after {before}", quote(inner, safe="")


def _json(text: str, ascii_only: bool = True) -> str:
    return json.dumps(text, ensure_ascii=ascii_only)[1:-1]
