"""What somebody who is in a hurry typed or pasted: which order they may mean. Pure.

Whatever is found here only fills the form in. It is the requester who sends it, and the form says what
in it is a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from bot import typed
from providers.contract import Facts

LONGEST = 3000
"""Characters that are looked at; a pasted log file is no order."""
NEAR = 0.75
"""How alike a word must be to be taken for the name of a provider."""

NO_NAMES = frozenset({"cancel", "order"})
"""What people begin with who write a sentence, and what is one letter away from the name of a provider."""

_WORD = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Meant:
    """What goes into the form."""

    provider: str = ""
    account: str = ""
    reference: str = ""
    reason: str = ""
    note: str = ""
    """What the person should check, in a sentence; empty where nothing was guessed."""


def read_command(
    words: Sequence[str], enabled: Sequence[Facts], accounts: Mapping[str, Sequence[str]]
) -> Meant | None:
    """`<provider> [account] <reference> [reason…]`, or a line from somewhere else. None: no order in it.

    `accounts`: the names of each provider's accounts.
    """
    if not words:
        return Meant()
    first = words[0].lower()
    known = {facts.name: facts for facts in enabled}
    if first in known:
        return _as_documented(known[first], words[1:], accounts.get(first, ()))
    near = [] if first in NO_NAMES else get_close_matches(first, known, 1, cutoff=NEAR)
    if near:
        meant = _as_documented(known[near[0]], words[1:], accounts.get(near[0], ()))
        return replace(meant, note=f"{words[0][:40]} was taken for {known[near[0]].label}.")
    found = read_text(" ".join(words), enabled)
    return found if found.reference else None


def read_text(text: str, enabled: Sequence[Facts]) -> Meant:
    """A link, a line of a ticket, somebody's message: the first thing in it that looks like a reference.

    The provider is the one that is named in the text. Where none is named, it is guessed from the form
    of the reference if only one fits; the note says so in either case.
    """
    text = text[:LONGEST]
    words = _WORD.findall(text)
    named = _named(words, enabled)
    for facts in [named] if named else enabled:
        if reference := _first_reference(words, [facts]):
            break
    else:
        return Meant(provider=named.name if named else "")
    fitting = [facts for facts in ([named] if named else enabled) if _fits(reference, facts)]
    provider = fitting[0].name if len(fitting) == 1 else ""
    secret = any(facts.reference_is_secret for facts in fitting)
    reason = "" if secret or typed.complaint("reason", text.strip()) or len(words) < 4 else text.strip()
    return Meant(provider, "", reference, reason, _note(reference, named, fitting))


def _as_documented(facts: Facts, rest: Sequence[str], accounts: Sequence[str]) -> Meant:
    account, *rest = rest if rest and rest[0] in accounts else ("", *rest)
    return Meant(facts.name, account, rest[0] if rest else "", " ".join(rest[1:]))


def _named(words: Iterable[str], enabled: Sequence[Facts]) -> Facts | None:
    said = {word.lower() for word in words}
    return next((facts for facts in enabled if said & _names(facts)), None)


def _names(facts: Facts) -> set[str]:
    """By which a provider is known: its name, and the words of its label."""
    return {facts.name, *(word.lower() for word in _WORD.findall(facts.label))}


def _first_reference(words: Iterable[str], fitting: Sequence[Facts]) -> str:
    return next((word for word in words if any(_fits(word, facts) for facts in fitting)), "")


def _fits(word: str, facts: Facts) -> bool:
    """Of the provider's form, and no ordinary word: at least four characters, most of them digits or
    with digits among them."""
    digits = sum(character.isdigit() for character in word)
    return len(word) >= 4 and digits >= 3 and bool(facts.reference.fullmatch(word))


def _note(reference: str, named: Facts | None, fitting: Sequence[Facts]) -> str:
    shown = "The reference" if any(facts.reference_is_secret for facts in fitting) else reference[:60]
    if named:
        return f"{shown} was found in what you gave. Check that it is the {named.reference_label} you mean."
    if len(fitting) == 1:
        return f"{shown} has the form of {fitting[0].label}, so that was guessed. Check it."
    labels = ", ".join(facts.label for facts in fitting)
    return f"{shown} could be an order of {labels}. Choose which."
