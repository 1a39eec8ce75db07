"""How a secret may look wherever it turns up: in a URL, a header, a body, a traceback. Whatever masks
secrets, in the log or in what a provider said, looks for all of these."""

from __future__ import annotations

import base64
import json
from functools import lru_cache
from html import escape
from urllib.parse import quote, quote_plus

SHORTEST = 4
"""Characters of a secret that is masked: a shorter one would mask half of every line, and so give itself
away."""


@lru_cache(maxsize=256)
def spellings(secret: str) -> frozenset[str]:
    """All of them in small letters, as the case does not matter; none for what is too short."""
    if len(secret) < SHORTEST:
        return frozenset()
    raw = secret.encode("utf-8", "surrogatepass")
    percent = {quote(raw, safe=safe) for safe in ("", "/", ":/@!$&'()*+,;=")} | {quote_plus(raw)}
    twice = {quote(form, safe="") for form in percent}
    escaped = {secret, *_as_json(secret), repr(secret)[1:-1], repr(raw)[2:-1]}
    nested = {again for form in escaped for again in _as_json(form)}
    written = {form.replace("\\'", "'") for form in escaped | nested} | escaped | nested
    slashes = {form.replace("/", "\\/") for form in written}
    markup = {escape(secret), escape(secret, quote=False)}
    forms = {raw.hex(), *percent, *twice, *written, *slashes, *markup, *_base64(raw)}
    return frozenset(form.lower() for form in forms if len(form) >= SHORTEST)


def _as_json(text: str) -> set[str]:
    return {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}


def _base64(raw: bytes) -> set[str]:
    """Base64 of the secret by itself, and the letters it gives wherever it stands in something longer, as in
    Basic "user:secret"."""
    forms = set()
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        shared_tail = 1 if (before + len(raw)) % 3 else 0
        inner = encoded[(0, 2, 3)[before] : len(encoded) - shared_tail]
        if len(inner) >= SHORTEST + 2:
            forms |= {inner, inner.replace("+", "-").replace("/", "_")}
    whole = base64.b64encode(raw).decode()
    forms |= {whole, whole.rstrip("="), base64.urlsafe_b64encode(raw).decode()}
    return forms | {quote(form, safe="") for form in forms}
