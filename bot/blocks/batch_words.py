"""The words for several orders at once: how many, which, and how far they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bot.batch.rules import Batch
from bot.blocks.text import capital, code, literal, mention, sentence
from bot.blocks.words import in_words, label, listing, tally, word
from bot.model import Request, State
from providers.contract import Facts

LINES_SHOWN = 8
"""On the card and in forms: what a phone shows without scrolling for long."""
TEXT_MAX = 2900

AS_WISHED = frozenset({State.CANCELLED, State.ALREADY_CANCELLED})
"""What becomes of a line if all goes well."""

_TOGETHER = (State.DENIED, State.WITHDRAWN, State.EXPIRED)
_ONE_BY_ONE = frozenset(
    {
        State.REFUSED,
        State.FAILED,
        State.NOT_CANCELLABLE,
        State.UNKNOWN,
        State.NEEDS_PERSON,
        State.CLOSED,
    }
)

_FIRST = (
    State.NEEDS_PERSON,
    State.UNKNOWN,
    State.FAILED,
    State.REFUSED,
    State.NOT_CANCELLABLE,
    State.PENDING,
)
"""What people should see of a list that is cut off: first what is not as they expect it."""


def counts(lines: Sequence[Request]) -> Counter[State]:
    return Counter(line.state for line in lines)


def orders(count: int) -> str:
    return f"{count} order" if count == 1 else f"{count} orders"


def in_numbers(lines: Sequence[Request]) -> str:
    """Such as "38 cancelled and 2 refused by the provider"."""
    found = counts(lines)
    return listing([f"{found[state]} {word(state)}" for state in State if found[state]])


def these(batch: Batch, facts: Facts) -> str:
    """Such as "40 orders at DigiCert"."""
    account = f" ({literal(batch.asked.account_name, 40)})" if batch.asked.account_name else ""
    return f"{orders(len(batch.asked.lines))} at {label(facts)}{account}"


def lowest_tally(asked: Sequence[Request]) -> str:
    """How many approvals every one of these lines has."""
    return tally(min(asked, key=lambda line: len(line.counted)))


def numbered(lines: Sequence[Request], reason: str, rest: str = "more in *Details*") -> str:
    """A line for each of the first few: which order, what it is, its state unless it is the same for all
    or what is being asked about, and why, unless that is `reason`."""
    rank = {state: n for n, state in enumerate(_FIRST)}
    every = sorted(enumerate(lines, 1), key=lambda one: (rank.get(one[1].state, len(rank)), one[0]))
    few = sorted(every[:LINES_SHOWN], key=lambda one: one[0])
    differ = len(counts(lines)) > 1
    left = len(lines) - len(few)
    shown = [
        _line(number, line, with_state=differ and line.state is not State.PENDING, reason=reason)
        for number, line in few
    ]
    return "\n".join([*shown, *([f"and {left} {rest}"] if left else [])])


def _line(number: int, line: Request, *, with_state: bool, reason: str) -> str:
    held = " (on hold)" if line.state is State.APPROVED and line.held else ""
    state = f"*{in_words(line)}*{held}" if with_state else held.strip()
    own = "" if line.reason == reason else f"because: {literal(line.reason, 60)}"
    return " ".join(filter(None, [f"{number}.", code(line.reference, 60), _what_it_is(line), state, own]))


def _what_it_is(line: Request) -> str:
    """What tells one order from another: its name, or else the first fact about it."""
    if line.order is None:
        return ""
    first = line.order.facts[0][1] if line.order.facts else ""
    return literal(line.order.known_as or first, 40)


def not_as_wished(lines: Sequence[Request], most: int) -> list[str]:
    """Which were not cancelled, and why: one by one what the provider did not do, together what people
    decided."""
    told, alone = [], [line for line in lines if line.state in _ONE_BY_ONE]
    for line in alone[:most]:
        why = sentence(literal(_why(line), 200))
        told.append(f"• {code(line.reference, 60)}: *{in_words(line)}*. {why}".rstrip())
    if left := len(alone) - len(told):
        told.append(f"• {left} more of this kind in *Details*")
    for state in _TOGETHER:
        if which := [line for line in lines if line.state is state]:
            names = listing([code(line.reference, 60) for line in which])
            told.append(f"• {capital(word(state))}{_by(which[0])}: {names}.")
    return told


def _why(line: Request) -> str:
    if line.outcome and line.outcome.said:
        return line.outcome.said
    return line.order.detail or line.order.status if line.order else ""


def _by(line: Request) -> str:
    by = f" by {mention(line.decided_by.user)}" if line.decided_by else ""
    return f"{by} (“{literal(line.decision, 300)}”)" if line.decision else by


def whole(lines: Sequence[str]) -> str:
    """As many whole lines as a section holds."""
    kept: list[str] = []
    for line in filter(None, lines):
        if sum(map(len, kept)) + len(kept) + len(line) > TEXT_MAX:
            return "\n".join([*kept, "… and more in *Details*"])
        kept.append(line)
    return "\n".join(kept)
