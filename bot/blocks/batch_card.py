"""The one message about several orders at once, from the look-ups to the outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from bot.batch.rules import Batch, batch_digest, is_checking, is_done, stoppable, waiting
from bot.blocks import ids
from bot.blocks.batch_words import (
    AS_WISHED,
    counts,
    in_numbers,
    lowest_tally,
    not_as_wished,
    numbered,
    orders,
    these,
    whole,
)
from bot.blocks.cards import CALLED_OFF, CANNOT_BE_UNDONE, REASON_SHOWN, WARNING_SHOWN, Message
from bot.blocks.pauses import on_hold, waits_for_a_resume
from bot.blocks.text import (
    Block,
    code,
    context,
    cut,
    literal,
    mention,
    plain,
    plain_text,
    section,
    sentence,
    when,
)
from bot.blocks.words import account_of, all_warnings, label, listing, missing, named
from bot.model import ENDED, Request, State
from providers.contract import Facts

EXPLAINED = 5
"""Orders that the card tells by themselves what went wrong with; the thread and *Details* have all."""


def batch_card(batch: Batch, lines: Sequence[Request], facts: Facts) -> Message:
    """The one message about all of them. The same records give the same card."""
    parts = [
        section(f"{_headline(lines, facts)}\n{_wish(batch, lines, facts)}", ids.HEAD),
        section(f"> {literal(batch.asked.reason, REASON_SHOWN)}", ids.QUOTED_REASON),
        *_so_far(lines),
        _which(batch, lines),
        *([] if is_checking(counts(lines)) else [*_to_think_of(lines, facts), *_approvals(batch, lines)]),
        *_buttons(batch, lines, facts),
        context(_foot(batch, lines), ids.FOOT),
    ]
    return Message(_in_words(batch, lines, facts), parts)


def _in_words(batch: Batch, lines: Sequence[Request], facts: Facts) -> str:
    """The card in two sentences, for a notification or a screen reader."""
    asks = "asked" if is_done(counts(lines)) else "asks"
    undone = "" if facts.reversible or not stoppable(lines) else f"{CANNOT_BE_UNDONE} "
    reason = f"Reason: {sentence(literal(batch.asked.reason, 600))}"
    who = mention(batch.requester.user)
    return f"{who} {asks} to cancel {these(batch, facts)}. {undone}State: {in_numbers(lines)}. {reason}"


def _so_far(lines: Sequence[Request]) -> Iterator[Block]:
    """How many are where; left out where the first line says so already."""
    found = counts(lines)
    if len(found) > 1 and not is_done(found):
        yield section(f"*So far:* {in_numbers(lines)}.", ids.ORDER)


def _which(batch: Batch, lines: Sequence[Request]) -> Block:
    """The orders; in the end only those that people should look at, if there are any."""
    wrong = not_as_wished(lines, EXPLAINED) if is_done(counts(lines)) else []
    return section(whole(wrong) or numbered(lines, batch.asked.reason), ids.LINE_LIST)


def _headline(lines: Sequence[Request], facts: Facts) -> str:
    found, at = counts(lines), label(facts)
    if is_checking(found):
        looked_up = len(lines) - found[State.CHECKING]
        return f":mag: *Looking {orders(len(lines))} up at {at}:* {looked_up} of {len(lines)} done."
    if is_done(found):
        sign = ":white_check_mark:" if set(found) <= AS_WISHED else ":warning:"
        return f"{sign} *Outcome:* {in_numbers(lines)}."
    asked = [line for line in lines if line.state is State.PENDING]
    if asked:
        undone = "" if facts.reversible else " and cannot be undone"
        again = _again(lines)
        return f":warning: *This cancels {orders(len(asked))}{undone}.* {_approved(asked)}{again}"
    return f":hourglass_flowing_sand: *Cancelling at {at}:* {_progress(lines)}.{_on_hold(lines)}"


def _again(lines: Sequence[Request]) -> str:
    """Some are asked about once more while others went on: that they differ from what was approved is the
    first thing to know."""
    went_on = [line for line in lines if line.attempts or line.state is State.APPROVED]
    if not went_on:
        return ""
    return (
        " Since they were approved they changed, or an approver left. "
        f"The others went on: {_progress(lines)}.{_on_hold(lines)}"
    )


def _approved(asked: Sequence[Request]) -> str:
    return f"{lowest_tally(asked)} approvals so far."


def _on_hold(lines: Sequence[Request]) -> str:
    held = [line for line in lines if line.state is State.APPROVED and line.held]
    if not held:
        return ""
    return f" *{len(held)} on hold:* {on_hold(held[0].held)} Nothing is sent for them meanwhile."


def _progress(lines: Sequence[Request]) -> str:
    """Of those that were approved: how many are decided."""
    sent = [line for line in lines if line.attempts or line.state is State.APPROVED]
    return f"{sum(line.state in ENDED for line in sent)} of {len(sent)} done"


def _wish(batch: Batch, lines: Sequence[Request], facts: Facts) -> str:
    asks = "asked" if is_done(counts(lines)) else "asks"
    where = f", account {account_of(lines[0])}" if batch.asked.account else ""
    return f"{mention(batch.requester.user)} {asks} to cancel {these(batch, facts)}{where}, because:"


def _to_think_of(lines: Sequence[Request], facts: Facts) -> Iterator[Block]:
    asked = waiting(lines)
    if not asked:
        return
    warned = Counter(warning for line in asked for warning in dict.fromkeys(all_warnings(line, facts)))
    said = [f"*If cancelled:* {sentence(literal(facts.consequence))}"]
    for one, n in warned.most_common(1):
        which = "" if n == len(asked) else f" ({n} of {len(asked)})"
        more = f" {len(warned) - 1} more in *Details*." if len(warned) > 1 else ""
        said.append(f"Warning{which}: {sentence(literal(one, WARNING_SHOWN))}{more}")
    yield section("\n".join(said), ids.CONSEQUENCE)


def _approvals(batch: Batch, lines: Sequence[Request]) -> Iterator[Block]:
    asked = waiting(lines)
    people = dict.fromkeys(a.by.user for line in asked or lines for a in line.approvals)
    who = [mention(user) + _doubt(user, asked) for user in people]
    if asked:
        needed = max(missing(line) for line in asked)
        more = f" {needed} more needed until {when(batch.asked.expires_at)}." if needed else ""
        called = any(line.escalated for line in asked)
        others = f" {named(batch.asked.escalation)} may decide too." if called else ""
        yield section(f"*Approved so far:* {listing(who) or 'nobody'}.{more}{others}", ids.APPROVALS)
    elif who:
        yield section(f"*Approved by* {listing(who)}", ids.APPROVALS)


def _doubt(user: str, asked: Sequence[Request]) -> str:
    """Why somebody's approval does not count, or not for every line that waits."""
    given = [(line, approval) for line in asked for approval in line.approvals if approval.by.user == user]
    if any(not approval.verified for _, approval in given):
        return " (being checked, does not count yet)"
    if any(approval not in line.counted for line, approval in given):
        return " (of the list before it changed, does not count)"
    return "" if len(given) in {0, len(asked)} else f" ({len(given)} of {len(asked)})"


def _foot(batch: Batch, lines: Sequence[Request]) -> str:
    """When, and under which ID."""
    ended = [line.ended_at for line in lines if line.ended_at]
    parts = [
        f"Asked {when(batch.created_at)}",
        f"Ended {when(max(ended))}" if ended and is_done(counts(lines)) else "",
        f"Request {code(batch.short_id)}",
    ]
    return " · ".join(filter(None, parts))


# --- what can be pressed ----------------------------------------------------------------------------


def _buttons(batch: Batch, lines: Sequence[Request], facts: Facts) -> Iterator[Block]:
    to_decide = _to_decide(batch, lines, facts)
    if to_decide:
        yield {"type": "actions", "block_id": ids.BUTTONS, "elements": to_decide}
    others = _other_buttons(batch, lines, facts)
    yield {"type": "actions", "block_id": ids.MORE_BUTTONS, "elements": others}


def _to_decide(batch: Batch, lines: Sequence[Request], facts: Facts) -> list[Block]:
    if is_checking(counts(lines)) or not stoppable(lines):
        return []
    deny = button(ids.BATCH_DENY, "Deny", batch.id, batch)
    is_needed = any(not waits_for_a_resume(line) for line in waiting(lines))
    return [_approve(batch, lines, facts), deny] if is_needed else [deny]


def _other_buttons(batch: Batch, lines: Sequence[Request], facts: Facts) -> list[Block]:
    before, others = stoppable(lines), []
    if before and not is_checking(counts(lines)):
        others.append(button(ids.BATCH_ASK, "Ask a question", batch.id, batch))
    if any(line.approvals for line in before):
        others.append(button(ids.BATCH_TAKE_BACK, "Take back my approval", batch.id, batch))
    if before:
        others.append(_withdraw(batch, before, facts))
    if is_done(counts(lines)) and any(line.state in CALLED_OFF for line in lines):
        others.append(button(ids.BATCH_ASK_AGAIN, "Ask again", batch.id, batch))
    return [*others, button(ids.BATCH_DETAILS, "Details", batch.id, batch)]


def decision_buttons(batch: Batch, lines: Sequence[Request], facts: Facts) -> list[Block]:
    """To decide on them elsewhere than on their card."""
    return [*_to_decide(batch, lines, facts), button(ids.BATCH_DETAILS, "Details", batch.id, batch)]


def _approve(batch: Batch, lines: Sequence[Request], facts: Facts) -> Block:
    asked = waiting(lines)
    value = f"{batch.id}:{batch_digest(batch, lines)}"
    approve = button(ids.BATCH_APPROVE, "Approve cancellation", value, batch)
    undone = "" if facts.reversible else f" {CANNOT_BE_UNDONE}"
    first = ", ".join(line.reference for line in asked[:5])
    text = f"{orders(len(asked))} at {facts.label}: {first}{', …' if len(asked) > 5 else ''}.{undone}"
    confirm = _dialog(f"Approve {orders(len(asked))}?", text, "Approve cancellation")
    return {**approve, "style": "danger", "confirm": {**confirm, "style": "danger"}}


def _withdraw(batch: Batch, before: Sequence[Request], facts: Facts) -> Block:
    which = f"{orders(len(before))} at {facts.label}."
    text = f"{which} Only the person who asked can do this. Nothing more is sent."
    confirm = _dialog("Withdraw this request?", text, "Withdraw request")
    return {**button(ids.BATCH_WITHDRAW, "Withdraw", batch.id, batch), "confirm": confirm}


def button(action: str, text: str, value: str, batch: Batch) -> Block:
    """A button about all of them, that says so when it is read aloud."""
    spoken = f"{text}: {orders(len(batch.asked.lines))}, request {batch.short_id}"
    return {
        "type": "button",
        "action_id": action,
        "text": plain_text(text),
        "value": value,
        "accessibility_label": cut(spoken, 75),
    }


def _dialog(title: str, text: str, yes: str) -> Block:
    return {
        "title": plain_text(cut(title, 100)),
        "text": plain_text(plain(text, 300)),
        "confirm": plain_text(yes),
        "deny": plain_text("Go back"),
    }
