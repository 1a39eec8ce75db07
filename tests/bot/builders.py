"""Records for tests: complete by themselves, so that a test names only what matters to it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View

from bot.model import Approval, Closing, Finding, Permit, Person, Request, State, digest, reference_key
from providers.contract import Facts, OrderState, Outcome, Result, Standing

TEAM = "T0NORTH"
CHANNEL = "C0APPROVE"
ALICE = Person(TEAM, "U0ALICE")
"""The requester."""
BOB = Person(TEAM, "U0BOB")
CAROL = Person(TEAM, "U0CAROL")
DAVE = Person(TEAM, "U0DAVE")
NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)

REQUEST_ID = "0f3c9a5e7b1d4286a0c4e8f215b7d936"


def some_facts(**changes: Any) -> Facts:
    """A provider of certificates, as most of them are."""
    facts = Facts(
        name="digicert",
        label="DigiCert",
        reference_label="Order ID",
        reference=re.compile(r"[1-9][0-9]{0,18}"),
        reference_form="digits only, such as 123456",
        example="123456",
        not_to_confuse="not the certificate ID, nor the order number of your shop",
        consequence="the order is cancelled and the certificate is never issued",
        warnings=(),
        success_means="the order is cancelled",
        limits="only while the order is pending",
        docs="https://docs.example.com/cancel",
    )
    return replace(facts, **changes)


def an_order(**changes: Any) -> OrderState:
    order = OrderState(
        Standing.CANCELLABLE,
        status="pending",
        known_as="shop.example.com",
        facts=(("Product", "Secure Site"), ("Organization", "Northwind Mobile"), ("Ordered", "2026-11-20")),
    )
    return replace(order, **changes)


def a_request(**changes: Any) -> Request:
    """Waiting for its first approval, unless changed."""
    provider = changes.get("provider", "digicert")
    account = changes.get("account", "https://www.digicert.com northwind")
    reference = changes.get("reference", "1042750")
    request = Request(
        id=REQUEST_ID,
        state=State.PENDING,
        team=TEAM,
        channel=CHANNEL,
        provider=provider,
        account=account,
        reference=reference,
        reference_key=reference_key(provider, account, reference),
        requester=ALICE,
        reason="Ordered twice by mistake, see ticket 4711",
        quorum=2,
        approvers=("S0ONCALL", BOB.user, CAROL.user, ALICE.user),
        created_at=NOW,
        expires_at=NOW + timedelta(hours=24),
        version=2,
        order=an_order(),
    )
    return replace(request, **changes)


def approved_by(request: Request, *people: Person, verified: bool = True) -> Request:
    """The request with further approvals of exactly what it shows."""
    card = digest(request)
    at = request.created_at + timedelta(minutes=5 + 7 * len(request.approvals))
    more = (Approval(by, card, at + timedelta(minutes=7 * n), verified) for n, by in enumerate(people))
    return replace(request, approvals=(*request.approvals, *more))


def approved(**changes: Any) -> Request:
    """Enough have approved; nothing has been sent yet."""
    return replace(approved_by(a_request(), BOB, CAROL), **{"state": State.APPROVED, **changes})


def executing(**changes: Any) -> Request:
    permit = Permit("epoch-1", 1, NOW + timedelta(minutes=13), an_order())
    sent: dict[str, Any] = {"state": State.EXECUTING, "permit": permit, "attempts": 1}
    return approved(**{**sent, **changes})


def concluded(state: State, said: str = "", result: Result | None = None, **changes: Any) -> Request:
    """After a cancel was sent, with what came of it."""
    outcome = Outcome(result or RESULTS.get(state, Result.UNKNOWN), said)
    known: dict[str, Any] = {"state": state, "outcome": outcome, "ended_at": NOW + timedelta(minutes=14)}
    return executing(**{**known, **changes})


RESULTS = {
    State.CANCELLED: Result.CANCELLED,
    State.ALREADY_CANCELLED: Result.ALREADY_CANCELLED,
    State.ACCEPTED: Result.ACCEPTED,
    State.REFUSED: Result.REFUSED,
    State.FAILED: Result.NO_EFFECT,
    State.UNKNOWN: Result.UNKNOWN,
    State.NEEDS_PERSON: Result.UNKNOWN,
    State.CLOSED: Result.UNKNOWN,
}


def found(by: Person = BOB, finding: Finding = Finding.CANCELLED, **changes: Any) -> Closing:
    """What somebody found out about an order that needs a person."""
    evidence = "The order list of CertCentral shows it as Canceled, by API, 03:14."
    return replace(Closing(by, finding, evidence, NOW + timedelta(hours=30)), **changes)


def requests_in_every_state() -> dict[str, Request]:
    """At least one request in each state, by a name that says what is special about it."""
    pending, ended = a_request(), NOW + timedelta(hours=1)
    silence = "No answer within 30 s (read timeout)."
    unread = OrderState(Standing.UNREADABLE, detail="No connection")
    taken = an_order(standing=Standing.CANCELLED, status="canceled", detail="It is cancelled")
    issued = an_order(standing=Standing.NOT_CANCELLABLE, status="issued", detail="It has been issued")
    return {
        "checking": a_request(state=State.CHECKING, order=None, version=1),
        "pending": pending,
        "pending, half-way": approved_by(pending, BOB),
        "pending, one being checked": approved_by(approved_by(pending, BOB), CAROL, verified=False),
        "pending, could not be asked": a_request(order=unread),
        "pending, unclear": a_request(order=OrderState(Standing.UNCLEAR, status="processing_2")),
        "approved": approved(),
        "approved, on hold": approved(held="Slack could not be read"),
        "approved, second attempt": concluded(
            State.APPROVED, "No connection could be made.", Result.NO_EFFECT, ended_at=None
        ),
        "executing": executing(),
        "accepted": concluded(
            State.ACCEPTED, "waiting for the admin contact's e-mail approval", ended_at=None
        ),
        "unknown": concluded(State.UNKNOWN, silence, ended_at=None),
        "needs a person": concluded(State.NEEDS_PERSON, silence, ended_at=None),
        "needs a person, one has looked": concluded(
            State.NEEDS_PERSON, silence, ended_at=None, closing=found()
        ),
        "closed": concluded(State.CLOSED, silence, closing=found(confirmed_by=CAROL)),
        "cancelled": concluded(State.CANCELLED, "The order is canceled."),
        "already cancelled": concluded(State.ALREADY_CANCELLED, "The order was canceled before."),
        "already cancelled, nothing sent": a_request(
            state=State.ALREADY_CANCELLED, order=taken, ended_at=ended
        ),
        "refused": concluded(State.REFUSED, "The certificate has been issued."),
        "failed": concluded(State.FAILED, "No connection could be made.", attempts=2),
        "not cancellable": a_request(state=State.NOT_CANCELLABLE, order=issued, ended_at=ended),
        "denied": a_request(
            state=State.DENIED, decided_by=BOB, decision="Customer wants to keep it", ended_at=ended
        ),
        "withdrawn": a_request(state=State.WITHDRAWN, decided_by=ALICE, ended_at=ended),
        "expired": replace(approved_by(pending, BOB), state=State.EXPIRED, ended_at=ended),
        "expired, approved": approved(state=State.EXPIRED, held="Slack could not be read", ended_at=ended),
    }


# --- what Slack takes -------------------------------------------------------------------------------

HOSTILE = (
    "<!channel> <@U1> <https://evil.example|click> & *bold* _it_ ~no~ `code` ```\n> fake\n*Approved* "
    ":white_check_mark: \u202egnp.exe\u202c zero\u200bwidth \x1b[31m \x00 \u2028 {0.__class__} %s"
)
"""Everything that could become structure if it were not made literal."""

_OURS = re.compile(r"<@[A-Z0-9]+>|<#[A-Z0-9]+>|<!subteam\^[A-Z0-9]+>|<!date\^\d+\^[^<>|]+\|[^<>|]+>")
_QUOTES = re.compile(r"^> ", re.MULTILINE)
_UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def check_message(text: str, blocks: list[dict[str, Any]]) -> None:
    """Fail on what Slack would refuse, and on a text that could be more than text."""
    assert 0 < len(text) <= 4000
    assert 0 < len(blocks) <= 50
    block_ids = [block["block_id"] for block in blocks]
    assert len(block_ids) == len(set(block_ids))
    check_mrkdwn(text)
    check_blocks(blocks)


def check_blocks(blocks: list[dict[str, Any]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parsed = Block.parse_all(blocks)
        assert len(parsed) == len(blocks)
        for block, source in zip(parsed, blocks, strict=True):
            block.validate_json()
            assert block.to_dict()["type"] == source["type"]
    for text in _texts(blocks):
        assert 0 < len(text["text"]) <= 3000
        assert not _UNSEEN.search(text["text"])
        if text["type"] == "mrkdwn":
            check_mrkdwn(text["text"])
        else:
            assert not {"<", ">"} & set(text["text"])


def check_view(view: dict[str, Any]) -> None:
    """A modal that Slack would open."""
    assert max(len(view[name]["text"]) for name in ("title", "submit", "close") if name in view) <= 24
    assert ("submit" in view) == any(block["type"] == "input" for block in view["blocks"])
    assert len(view["blocks"]) <= 100
    assert len(view.get("private_metadata", "")) <= 3000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        View(**view).validate_json()
    check_blocks(view["blocks"])


def check_mrkdwn(text: str) -> None:
    """Apart from our own mentions, times and quotes, nothing has a meaning in it."""
    rest = _QUOTES.sub("", _OURS.sub("", text))
    assert "<" not in rest
    assert ">" not in rest
    assert not _UNSEEN.search(rest)


def _texts(value: object) -> Iterator[dict[str, Any]]:
    """Every text object in there, at any depth."""
    if isinstance(value, dict):
        if value.get("type") in {"mrkdwn", "plain_text"}:
            yield value
        for inside in value.values():
            yield from _texts(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from _texts(inside)


def shown(blocks: list[dict[str, Any]]) -> str:
    """All texts, one below the other."""
    return "\n".join(text["text"] for text in _texts(blocks))


def action_ids(blocks: list[dict[str, Any]]) -> list[str]:
    """Of the buttons, from left to right."""
    buttons = (element for block in blocks for element in block.get("elements", ()))
    return [button["action_id"] for button in buttons if "action_id" in button]


def longest_request() -> Request:
    """Everything as long as it may be, and made of what grows when it is escaped."""
    order = an_order(
        status="&" * 300,
        detail="&" * 300,
        known_as="<" * 300,
        facts=tuple((f"{'&' * 299}{n}", ">" * 300) for n in range(20)),
        warnings=("&" * 300,) * 10,
    )
    return a_request(reference="9" * 200, reason="\u202e" * 500, order=order, account="&" * 300)


def longest_facts() -> Facts:
    text = "&" * 300
    return some_facts(
        label=text, reference_label=text, consequence=text, warnings=(text,) * 10, success_means=text
    )
