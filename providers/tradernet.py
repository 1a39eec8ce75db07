"""Tradernet (Freedom24): withdraw an order from the market. An answer only accepts; the order tells.

Documentation: https://freedom24.com/tradernet-api/orders-delete
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar, Self

from providers.contract import (
    Attempt,
    Credentials,
    Facts,
    OrderState,
    Outcome,
    Result,
    Setting,
    Standing,
)
from providers.http import Answer, Http, HttpLimits, NoAnswer
from providers.text import clean_text

Entry = Mapping[str, Any]
"""One order as a list of orders shows it."""

# The codes of an order's `stat`: https://freedom24.com/tradernet-api/orders-get-current-history
WORKING = {"1": "received", "10": "active", "11": "sent", "12": "partly completed", "20": "partly executed"}
DONE = {"30": "partly cancelled", "31": "cancelled"}
OVER = {
    "0": ("ignored", "The market ignored this order."),
    "21": ("executed", "The order was executed first."),
    "70": ("rejected", "The order was rejected by the market."),
    "71": ("expired", "The order has expired."),
    "72": ("partly executed, then expired", "The order was partly executed and has then expired."),
    "74": ("send error", "The order never reached the market (send error)."),
}
CANCEL_PENDING = "2"
CANCEL_ERROR = "75"
ALARM = "Tradernet reports a cancel error: THE ORDER MAY STILL BE LIVE. Look at it in the terminal now."

SIDES = {"1": "buy", "2": "buy on margin", "3": "sell", "4": "sell short"}
TYPES = {"1": "market", "2": "limit", "3": "stop", "4": "stop limit", "5": "stop loss", "6": "take profit"}
PROTECTIVE = frozenset({"3", "4", "5", "6"})
VALIDITY = {"1": "this day", "2": "extended day", "3": "until cancelled"}

FIRST_LOOK = timedelta(seconds=2)
LAST_LOOK = timedelta(minutes=1)
BUSY_WAIT = timedelta(seconds=30)
TAKES_HOLD_AFTER = timedelta(seconds=15)
"""A cancel is carried out in the background. In the documented example that took five seconds; that
three times as much is enough is a guess. Before that, "still active" is not yet a "no"."""
HISTORY = timedelta(days=30)
NOT_LISTED = "Not among the current orders, nor among those of the last 30 days; an older one is not listed."


def _at_most(limit: str) -> str:
    """A pattern for 1 to `limit`: fewer digits, or equal up to one smaller digit, or equal."""
    parts = [f"[1-9][0-9]{{0,{len(limit) - 2}}}", limit]
    for place, digit in enumerate(limit):
        lowest = "0" if place else "1"
        if digit > lowest:
            below = chr(ord(digit) - 1)
            parts.append(f"{limit[:place]}[{lowest}-{below}][0-9]{{{len(limit) - place - 1}}}")
    return "|".join(parts)


class Tradernet:
    """One key pair at one of Tradernet's hosts."""

    facts: ClassVar[Facts] = Facts(
        name="tradernet",
        label="Tradernet (Freedom24)",
        reference_label="Order ID",
        reference=re.compile(_at_most(str(2**63 - 1)), re.ASCII),  # documented as a 64-bit integer
        reference_form="digits only, without a leading zero, such as 2929292929",
        example="2929292929",
        not_to_confuse="Not your own user_order_id, not the exchange's order_nb, not a trade's ID.",
        consequence="The open part of the order leaves the market; what is already filled stands.",
        warnings=(
            "A real order in a real market: it may fill before the cancel arrives.",
            "Its place in the queue is lost, and a new order is priced anew.",
            "Some orders can only be withdrawn through the dealing desk.",
        ),
        success_means="the order itself shows that its open part was cancelled",
        limits="Only while the order is open or partly filled.",
        docs="https://freedom24.com/tradernet-api/orders-delete",
        # A market works in seconds; this long without a result is a reason to call the desk.
        confirm_within=timedelta(hours=1),
        settings=(
            Setting("TRADERNET_PUBLIC_KEY", "The public half of the API key."),
            Setting("TRADERNET_PRIVATE_KEY", "The private half; it signs and never travels.", secret=True),
            Setting(
                "TRADERNET_BASE_URL",
                "The host that issued the key (freedom24.com, tradernet.com, …); it works on no other.",
                default="https://freedom24.com",
                is_url=True,
            ),
        ),
    )

    def __init__(
        self, http: Http, public_key: str, private_key: str, now: Callable[[], float] = time.time
    ) -> None:
        self._http = http
        self._public_key = public_key
        self._private_key = private_key
        self._now = now
        self._signatures: deque[str] = deque(maxlen=32)

    @classmethod
    def from_settings(cls, values: Mapping[str, str], limits: HttpLimits) -> Self:
        return cls(
            Http(values["TRADERNET_BASE_URL"], limits),
            values["TRADERNET_PUBLIC_KEY"],
            values["TRADERNET_PRIVATE_KEY"],
        )

    @property
    def account(self) -> str:
        return f"{self._http.origin}, key {self._public_key}"

    def turn(self) -> AbstractAsyncContextManager[None]:
        return self._http.turn()

    async def look_up(self, reference: str) -> OrderState:
        """Ask for the current orders, then for those of the last month: each list knows only a part."""
        if not self.facts.reference.fullmatch(reference):
            return OrderState(Standing.NOT_FOUND, detail="This is not a Tradernet order ID.")
        try:
            answer = await self._ask("getNotifyOrderJson", {"active_only": 0})
            state = read_order(answer, reference, self._secrets)
            if state.standing is Standing.NOT_FOUND:
                answer = await self._ask("getOrdersHistory", self._last_month())
                state = read_order(answer, reference, self._secrets)
        except NoAnswer as error:
            return OrderState(Standing.UNREADABLE, detail=f"Tradernet could not be asked. {error.sentence}")
        return state

    async def cancel(self, reference: str, note: str, before: OrderState) -> Outcome:  # noqa: ARG002
        """Ask once for the withdrawal. Tradernet has no field for a note."""
        if not self.facts.reference.fullmatch(reference):
            return Outcome(Result.NO_EFFECT, "This is not a Tradernet order ID.", "bad_reference")
        body, headers = self._signed({"order_id": int(reference)})
        try:
            answer = await self._http.send("POST", "/api/delTradeOrder", headers=headers, content=body)
        except NoAnswer as error:
            return _unanswered(error)
        return read_cancel(answer, reference, self._secrets)

    async def follow_up(self, reference: str, attempt: Attempt) -> Outcome:
        return judge(await self.look_up(reference), attempt)

    async def check(self) -> Credentials:
        try:
            answer = await self._ask("getNotifyOrderJson", {"active_only": 1})
        except NoAnswer as error:
            return Credentials(None, f"Tradernet could not be asked. {error.sentence}")
        return read_credentials(answer, self._secrets)

    async def close(self) -> None:
        await self._http.close()

    async def _ask(self, command: str, parameters: Mapping[str, object]) -> Answer:
        body, headers = self._signed(parameters)
        return await self._http.read("POST", f"/api/{command}", headers=headers, content=body)

    @property
    def _secrets(self) -> tuple[str, ...]:
        """The latest signatures count: for some minutes each opens the call that it was made for."""
        return (self._private_key, *self._signatures)

    def _signed(self, parameters: Mapping[str, object]) -> tuple[bytes, dict[str, str]]:
        """The bytes to send and the headers that sign these very bytes."""
        body = json.dumps(parameters, separators=(",", ":")).encode("ascii")
        timestamp = str(int(self._now()))
        self._signatures.append(signature(self._private_key, body, timestamp))
        return body, {
            "Content-Type": "application/json",
            "X-NtApi-PublicKey": self._public_key,
            "X-NtApi-Timestamp": timestamp,
            "X-NtApi-Sig": self._signatures[-1],
        }

    def _last_month(self) -> dict[str, str]:
        """The zone of these times is not documented, so the end lies a day ahead."""
        today = datetime.fromtimestamp(self._now(), UTC)
        return {
            "from": (today - HISTORY).strftime("%Y-%m-%dT00:00:00"),
            "till": (today + timedelta(days=1)).strftime("%Y-%m-%dT23:59:59"),
        }


def signature(private_key: str, body: bytes, timestamp: str) -> str:
    """HMAC-SHA256 over body and timestamp, as the vendor's own client libraries make it.

    https://github.com/tradernet-api/TradernetPhpSDK (docs/authentication.md)
    """
    return hmac.new(private_key.encode(), body + timestamp.encode("ascii"), hashlib.sha256).hexdigest()


def read_cancel(answer: Answer, order_id: str, secrets: Iterable[str] = ()) -> Outcome:
    """What an answer to a withdrawal proves. At best it proves that the request was taken."""
    body = answer.json_or_none()
    http = f"http_{answer.status}"
    if answer.status == 429 or _code(body) == "429":
        # The vendor's PHP client never repeats this call, not even now; so this is not a "no" either.
        said = "Tradernet asks for fewer requests; whether it took the cancel is not known."
        wait = answer.retry_after or BUSY_WAIT
        return Outcome(Result.UNKNOWN, said, "rate_limited", settled=True, look_again=wait)
    if not isinstance(body, dict) or answer.status >= 500 or 300 <= answer.status < 400:
        return Outcome(Result.UNKNOWN, _no_sense(answer), http)
    words = error_text(body, secrets)
    if words:
        return _read_no(answer.status, _code(body), words)
    if answer.status != 200 or number(body.get("order_id")) is None:
        return Outcome(Result.UNKNOWN, "Tradernet answered without naming an order.", http, settled=True)
    if number(body["order_id"]) != order_id:
        said = "Tradernet answered about another order. Look at both orders there."
        return Outcome(Result.UNKNOWN, said, "other_order", settled=True)
    said = "Tradernet took the request; the order is not cancelled yet."
    return Outcome(Result.ACCEPTED, said, http, settled=True, look_again=FIRST_LOOK)


def read_order(answer: Answer, order_id: str, secrets: Iterable[str] = ()) -> OrderState:
    """What a list of orders says about one of them."""
    body = answer.json_or_none()
    trouble = _trouble(answer, body, secrets)
    if trouble:
        return OrderState(Standing.UNREADABLE, detail=trouble)
    entries = orders_in(body)
    if entries is None:
        return OrderState(Standing.UNREADABLE, detail="Tradernet's answer holds no list of orders.")
    ours = [entry for entry in entries if is_order(entry, order_id)]
    if len({number(entry.get("stat")) for entry in ours}) > 1:
        return OrderState(Standing.UNCLEAR, detail="Tradernet lists this order twice, with different states.")
    return describe(ours[0], secrets) if ours else OrderState(Standing.NOT_FOUND, detail=NOT_LISTED)


def describe(entry: Entry, secrets: Iterable[str] = ()) -> OrderState:
    """One order in our words. Logins, account numbers and trade details are left out."""
    stat = number(entry.get("stat")) or ""
    standing, word, detail = _meaning(stat, _fills(entry))
    status = f"{stat} {word}".strip()
    return OrderState(
        standing, status, detail, facts=_card(entry, secrets), warnings=_warnings(entry, standing)
    )


def judge(now: OrderState, attempt: Attempt) -> Outcome:
    """What a look-up after a withdrawal proves about it."""
    stat = now.status.partition(" ")[0]
    code = f"stat_{stat}" if stat else now.standing.value
    again = min(max(attempt.age, FIRST_LOOK), LAST_LOOK)
    if now.standing is Standing.CANCELLED:
        late = attempt.before.standing is Standing.CANCELLED
        return Outcome(Result.ALREADY_CANCELLED if late else Result.CANCELLED, now.detail, code)
    if stat == CANCEL_PENDING:
        return Outcome(Result.ACCEPTED, now.detail, code, look_again=again)
    if now.standing is Standing.NOT_CANCELLABLE:
        return Outcome(Result.REFUSED, now.detail, code)
    if now.standing is Standing.CANCELLABLE:
        return _judge_still_open(code, again, attempt)
    if now.standing is Standing.UNREADABLE:
        known = Result.ACCEPTED if attempt.accepted else Result.UNKNOWN
        return Outcome(known, now.detail, code, look_again=BUSY_WAIT)
    # stat 75 is final: the cancel failed, and nobody but a person can tell whether the order lives.
    return Outcome(Result.UNKNOWN, now.detail, code, look_again=again, needs_person=stat == CANCEL_ERROR)


def read_credentials(answer: Answer, secrets: Iterable[str] = ()) -> Credentials:
    body = answer.json_or_none()
    words = error_text(body, secrets)
    if answer.status in (401, 403) and words:
        return Credentials(False, f"Tradernet refused: {words}. {_hint(words)}")
    trouble = _trouble(answer, body, secrets)
    if trouble or orders_in(body) is None:
        return Credentials(None, trouble or "Tradernet's answer holds no list of orders.")
    return Credentials(True, "Tradernet accepted the key. Whether it may trade is not shown by this.")


def orders_in(body: object) -> list[Entry] | None:
    """The orders in any of the envelopes that occur; None when it is none of them.

    The documentation shows a list at the root, the live service an object around it, with or without
    `result`: https://freedom24.com/tradernet-api/orders-get-current-history
    """
    if isinstance(body, dict):
        inner = body.get("result", body)
        orders = inner.get("orders") if isinstance(inner, dict) else inner
        if isinstance(orders, dict):
            # Without orders the key is missing or null; a single order as an object is a guess.
            found = orders.get("order")
            body = [found] if isinstance(found, dict) else (found or [])
        else:
            body = orders
    if not isinstance(body, list) or not all(isinstance(entry, dict) for entry in body):
        return None
    return body


def is_order(entry: Entry, order_id: str) -> bool:
    """By `id` and `order_id` alone: user_order_id and order_nb may look the same and are others."""
    return {number(entry[key]) for key in ("id", "order_id") if key in entry} == {order_id}


def error_text(body: object, secrets: Iterable[str] = ()) -> str:
    """The error in any of its three spellings; an empty one, false, 0 or "0" is none."""
    if not isinstance(body, dict):
        return ""
    for key in ("error", "errMsg", "errorMsg"):
        value = body.get(key)
        if value and value != "0":
            return clean_text(value, limit=200, secrets=secrets) or "an error without words"
    return ""


def number(value: object) -> str | None:
    """A whole number as text, whether it came as a number or as a text. Never from a float."""
    if type(value) is int:
        return str(value)
    if isinstance(value, str) and re.fullmatch(r"0|[1-9][0-9]{0,18}", value, re.ASCII):
        return value
    return None


def _read_no(status: int, code: str, words: str) -> Outcome:
    if status in (401, 403):
        said = f"Tradernet refused: {words}. {_hint(words)}"
        return Outcome(Result.REFUSED, said, f"http_{status}", settled=True)
    if code == "12":
        said = f"Tradernet refused: {words}. Ask the dealing desk."
        return Outcome(Result.REFUSED, said, "code_12", settled=True)
    if code == "2":
        said = f"Tradernet did not understand the request: {words}. Check TRADERNET_BASE_URL."
        return Outcome(Result.REFUSED, said, "code_2", settled=True)
    # Code 0 included. What an unknown, a filled or a cancelled order gets is not documented.
    said = f"Tradernet answered with an error: {words}"
    return Outcome(Result.UNKNOWN, said, f"code_{code or 'none'}", settled=True)


def _hint(words: str) -> str:
    """What to repair. Only advice hangs on the wording, no decision."""
    lower = words.lower()
    if "session" in lower:
        return "The key may not trade now: open a security session or allow trading for it."
    if "signature" in lower:
        return "Check TRADERNET_PRIVATE_KEY and this machine's clock."
    return "Check TRADERNET_PUBLIC_KEY, and TRADERNET_BASE_URL: a key works only on the host that issued it."


def _trouble(answer: Answer, body: object, secrets: Iterable[str]) -> str:
    """Why an answer to a question cannot be used; empty when it can."""
    if answer.status == 429 or _code(body) == "429":
        return "Tradernet asks for fewer requests."
    words = error_text(body, secrets)
    if words:
        hint = f" {_hint(words)}" if answer.status in (401, 403) else ""
        return f"Tradernet refused: {words}.{hint}"
    return _no_sense(answer) if answer.status != 200 or body is None else ""


def _no_sense(answer: Answer) -> str:
    if answer.status == 403:
        return "A page in front of Tradernet blocked the request (HTTP 403); that is not about the key."
    return f"Tradernet gave no usable answer (HTTP {answer.status})."


def _unanswered(error: NoAnswer) -> Outcome:
    if error.sent:
        return Outcome(Result.UNKNOWN, f"The request was sent to Tradernet. {error.sentence}", error.code)
    return Outcome(Result.NO_EFFECT, f"Nothing was sent to Tradernet. {error.sentence}", error.code)


def _judge_still_open(code: str, again: timedelta, attempt: Attempt) -> Outcome:
    if attempt.accepted:
        said = "Tradernet took the cancel; the order is still open."
        return Outcome(Result.ACCEPTED, said, code, look_again=again)
    if attempt.age < TAKES_HOLD_AFTER:
        said = "The order is still open; the cancel may not have arrived yet."
        return Outcome(Result.UNKNOWN, said, code, look_again=TAKES_HOLD_AFTER - attempt.age)
    return Outcome(Result.NO_EFFECT, "The order is still open, and no cancel is under way.", code)


def _meaning(stat: str, filled: str) -> tuple[Standing, str, str]:
    if stat in WORKING:
        rest = f" {filled} filled; only the rest can be cancelled." if filled else ""
        return Standing.CANCELLABLE, WORKING[stat], f"The order is in the market.{rest}"
    if stat in DONE:
        said = f"{filled} filled before; the rest is cancelled." if filled else "The order is cancelled."
        if stat == "30" and not filled:
            said = "A part was filled before (how much is not shown); the rest is cancelled."
        return Standing.CANCELLED, DONE[stat], said
    part = f" {filled} filled; that part stands." if filled else ""
    if stat in OVER:
        word, said = OVER[stat]
        return Standing.NOT_CANCELLABLE, word, said if stat == "21" else said + part
    if stat == CANCEL_PENDING:
        said = "A cancel of this order is under way in the market; wait for it."
        return Standing.NOT_CANCELLABLE, "cancel pending", said + part
    if stat == CANCEL_ERROR:
        return Standing.UNCLEAR, "cancel error", ALARM + part
    return Standing.UNCLEAR, "", "Tradernet shows a state that Countersign does not know."


def _fills(entry: Entry) -> str:
    """How much is filled, such as "3 of 5 were"; empty when nothing is or nobody knows."""
    whole, rest = _quantity(entry.get("q")), _quantity(entry.get("leaves_qty"))
    if whole is None or rest is None or not 0 <= rest < whole:
        return ""
    filled = whole - rest
    return f"{_plain(filled)} of {_plain(whole)} {'was' if filled == 1 else 'were'}"


def _warnings(entry: Entry, standing: Standing) -> tuple[str, ...]:
    if standing is not Standing.CANCELLABLE:
        return ()
    found = []
    if filled := _fills(entry):
        found.append(f"{filled} filled already; that part stands.")
    if (kind := number(entry.get("type"))) in PROTECTIVE:
        # Inferred: such orders mostly guard an open position.
        found.append(f"A {TYPES[kind]} order may protect an open position, which loses that protection.")
    return tuple(found)


def _card(entry: Entry, secrets: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Rows that stay the same while the order does; numbers look the same as text and as number.
    First what is cancelled and what it is worth: a card has room for the first few only."""
    currency = clean_text(entry.get("cur"), limit=10, secrets=secrets)

    def price(key: str) -> str:
        amount = _quantity(entry.get(key))
        return f"{_plain(amount)} {currency}".strip() if amount else ""

    def amount(key: str) -> str:
        value = _quantity(entry.get(key))
        return "" if value is None else _plain(value)

    rows = (
        ("Instrument", clean_text(entry.get("instr"), limit=60, secrets=secrets)),
        ("Side", SIDES.get(number(entry.get("oper")) or "", "")),
        ("Still open", _of_all(amount("leaves_qty"), amount("q"))),
        ("Price", price("p")),
        ("Quantity", amount("q")),
        ("Type", TYPES.get(number(entry.get("type")) or "", "")),
        ("Stop price", price("stop")),
        ("Valid", VALIDITY.get(number(entry.get("exp")) or "", "")),
    )
    return tuple((label, value) for label, value in rows if value)


def _of_all(still_open: str, quantity: str) -> str:
    return f"{still_open} of {quantity}" if still_open and quantity else still_open


def _quantity(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str) or len(str(value)) > 40:
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and abs(amount.adjusted()) < 30 else None


def _plain(amount: Decimal) -> str:
    """1E+2 as 100 and 190.50 as 190.5."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _code(body: object) -> str:
    return (number(body.get("code")) or "") if isinstance(body, dict) else ""
