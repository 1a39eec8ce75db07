"""What people typed: it is kept for good and everybody reads it, so some of it is turned back."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bot.errors import Refused
from bot.logs import Redactor
from bot.model import Request, reference_key
from providers.contract import Facts

LONGEST = 500
"""Characters of a reason, or of what somebody found out."""


def refuse(what: str, text: str, requests: Iterable[Request], facts: Facts) -> None:
    """Raise `Refused` for what cannot be taken, or would tell the secret reference of one of `requests`."""
    reveals_one = any(repeats_a_secret_reference(text, request, facts) for request in requests)
    if problem := complaint(what, text) or (reveals(what) if reveals_one else ""):
        raise Refused("bad_text", problem)


def complaint(what: str, text: str) -> str:
    """Why this `what` cannot be taken, in a sentence for the person; empty when it can."""
    if not text.strip():
        return f"The {what} is missing."
    if len(text) > LONGEST:
        return f"Keep the {what} within {LONGEST} characters."
    if not _can_be_stored(text):
        return f"The {what} contains characters that cannot be shown. Type it anew."
    return reveals(what) if Redactor(()).text(text) != text else ""


def reveals(what: str) -> str:
    return f"The {what} seems to contain a token or key. Leave it out: everybody reads this."


def repeats_a_secret_reference(text: str, request: Request, facts: Facts) -> bool:
    """Whether a word of it is the order's exact reference where that is a secret. It may be wiped by
    now; its key still tells which word it would be."""
    if not facts.reference_is_secret:
        return False
    words = {*text.split(), *re.findall(r"[\w-]+", text)}
    keys = {reference_key(request.provider, request.account, word) for word in words}
    return request.reference_key in keys


def _can_be_stored(text: str) -> bool:
    """No NUL and no lone surrogate: databases and UTF-8 disagree about those."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
