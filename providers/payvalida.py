"""Payvalida: delete a purchase order that nobody has paid yet.

Documentation: https://docs.payvalida.com/api-recaudo/api-recaudo-en/purchase-orders/delete
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
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

OK = "0000"
NOT_REGISTERED_OR_FINAL = "0041"

# What to repair, by result code. The list of codes holds for the whole API, not for this call alone:
# https://docs.payvalida.com/api-recaudo/api-recaudo-en/messages/excepciones
WRONG_MERCHANT = "Check PAYVALIDA_MERCHANT and PAYVALIDA_BASE_URL."
MALFORMED = "0011"
FORBIDDEN = "Ask Payvalida to allow this merchant to use the call."
HINTS = {
    "0017": WRONG_MERCHANT,
    "0018": WRONG_MERCHANT,
    MALFORMED: "This looks like an error in Countersign: tell its operator.",
    "0019": FORBIDDEN,
    "0037": FORBIDDEN,
    "0025": "Check PAYVALIDA_FIXED_HASH and PAYVALIDA_MERCHANT.",
}
TROUBLE = frozenset({"0009", "0028", "0030"})
"""Trouble inside the API. Two of them invite to try again; a deletion is looked up instead."""

# The states of an order: https://docs.payvalida.com/api-recaudo/api-recaudo-en/purchase-orders/consult
STATES = {
    "PENDIENTE": (Standing.CANCELLABLE, "Waiting for payment."),
    "CANCELADA": (Standing.CANCELLED, "The order is cancelled and can no longer be paid."),
    "APROBADA": (Standing.NOT_CANCELLABLE, "The order is already paid."),
    "VENCIDA": (Standing.NOT_CANCELLABLE, "The order has expired; nothing is left to cancel."),
    "ANULADA": (Standing.NOT_CANCELLABLE, "The order was paid and then refunded."),
}
NO_SUCH_ORDER = "countersign-check-no-such-order"
ANOTHER_ORDER = "Payvalida answered about another order. Look at both orders there."
BUSY_WAIT = timedelta(seconds=30)


class Payvalida:
    """One merchant at Payvalida."""

    facts: ClassVar[Facts] = Facts(
        name="payvalida",
        label="Payvalida",
        reference_label="Order number",
        # Documented as alphanumeric, yet the documented examples contain "_"; "-" is allowed on a guess.
        # Nothing that has a meaning in a URL is.
        reference=re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,199}", re.ASCII),
        reference_form="your own order number: letters, digits, _ and -, up to 200, such as 1496953766724_6",
        example="1496953766724_6",
        not_to_confuse="Not the payment reference (Reference) and not Payvalida's own number (PVOrderID).",
        consequence="The order can no longer be paid, and its number can never be used again.",
        warnings=(
            "Payvalida tells nobody, neither the payer nor your systems.",
            "The number is burnt: a corrected order needs a new one.",
            "A payer who holds a voucher or link can no longer pay with it.",
            # Inferred: two writers, one order, and no lock is documented.
            "A payment made at this very moment may come first.",
        ),
        success_means="the order was deleted at Payvalida and can no longer be paid",
        limits="Only while the order waits for payment (PENDIENTE).",
        docs="https://docs.payvalida.com/api-recaudo/api-recaudo-en/purchase-orders/delete",
        settings=(
            Setting("PAYVALIDA_MERCHANT", "The merchant's identifier at Payvalida."),
            Setting("PAYVALIDA_FIXED_HASH", "The merchant's FIXED_HASH, which makes checksums.", secret=True),
            Setting(
                "PAYVALIDA_BASE_URL",
                "https://api-test.payvalida.com for the sandbox, which has credentials of its own.",
                default="https://api.payvalida.com",
                is_url=True,
            ),
        ),
    )

    def __init__(self, http: Http, merchant: str, fixed_hash: str) -> None:
        self._http = http
        self._merchant = merchant
        self._fixed_hash = fixed_hash

    @classmethod
    def from_settings(cls, values: Mapping[str, str], limits: HttpLimits) -> Self:
        return cls(
            Http(values["PAYVALIDA_BASE_URL"], limits),
            values["PAYVALIDA_MERCHANT"],
            values["PAYVALIDA_FIXED_HASH"],
        )

    @property
    def account(self) -> str:
        return f"{self._http.origin}, merchant {self._merchant}"

    def turn(self) -> AbstractAsyncContextManager[None]:
        return self._http.turn()

    async def look_up(self, reference: str) -> OrderState:
        if not self.facts.reference.fullmatch(reference):
            return OrderState(Standing.NOT_FOUND, detail="This is not a Payvalida order number.")
        try:
            answer = await self._http.read("GET", _path(reference), query=self._query(reference))
        except NoAnswer as error:
            return OrderState(Standing.UNREADABLE, detail=f"Payvalida could not be asked. {error.sentence}")
        return read_order(answer, reference, self._secrets(reference))

    async def cancel(self, reference: str, note: str, before: OrderState) -> Outcome:  # noqa: ARG002
        """Delete once. Payvalida has no field for a note."""
        if not self.facts.reference.fullmatch(reference):
            return Outcome(Result.NO_EFFECT, "This is not a Payvalida order number.", "bad_reference")
        try:
            answer = await self._http.send("DELETE", _path(reference), query=self._query(reference))
        except NoAnswer as error:
            return _unanswered(error)
        return read_cancel(answer, reference, self._secrets(reference))

    async def follow_up(self, reference: str, attempt: Attempt) -> Outcome:
        return judge(await self.look_up(reference), attempt)

    async def check(self) -> Credentials:
        """There is no call for this: ask for an order that nobody has."""
        try:
            answer = await self._http.read("GET", _path(NO_SUCH_ORDER), query=self._query(NO_SUCH_ORDER))
        except NoAnswer as error:
            return Credentials(None, f"Payvalida could not be asked. {error.sentence}")
        return read_credentials(answer, self._secrets(NO_SUCH_ORDER))

    async def close(self) -> None:
        await self._http.close()

    def _query(self, order: str) -> dict[str, str]:
        return {"merchant": self._merchant, "checksum": checksum(order, self._merchant, self._fixed_hash)}

    def _secrets(self, order: str) -> tuple[str, ...]:
        """The checksum counts: it holds for reading and deleting this order, for ever."""
        upper = checksum(order, self._merchant, self._fixed_hash)
        return (self._fixed_hash, upper, upper.lower())


def checksum(order: str, merchant: str, fixed_hash: str) -> str:
    """SHA-512 over the three texts, plainly joined, in capitals as the documented examples show it.

    https://docs.payvalida.com/api-recaudo/api-recaudo-en/purchase-orders/delete (UTF-8 is a guess)
    """
    return hashlib.sha512(f"{order}{merchant}{fixed_hash}".encode()).hexdigest().upper()


def read_order(answer: Answer, order: str, secrets: tuple[str, ...] = ()) -> OrderState:
    """What an answer to a look-up says about `order`."""
    body = _body(answer)
    code = result_code(body, secrets)
    if code == NOT_REGISTERED_OR_FINAL:
        # Inferred: orders in a final state are shown as data, so only "not registered" is left.
        return OrderState(Standing.NOT_FOUND, detail="Payvalida has no order with this number.")
    if code in HINTS:
        return OrderState(Standing.UNREADABLE, detail=_refusal(body, code, secrets))
    if code != OK or answer.status != 200:
        return OrderState(Standing.UNREADABLE, detail=_no_sense(answer, code))
    data = _data(body)
    if as_text(data.get("ORDER")) != order:
        return OrderState(Standing.UNCLEAR, detail=ANOTHER_ORDER)
    state = clean_text(data.get("STATE"), limit=40, secrets=secrets)
    unknown = (Standing.UNCLEAR, "Payvalida names a state that Countersign does not know.")
    standing, detail = STATES.get(state, unknown)
    return OrderState(standing, status=state, detail=detail, facts=_card(data, secrets))


def read_cancel(answer: Answer, order: str, secrets: tuple[str, ...] = ()) -> Outcome:
    """What an answer to a deletion proves. The result code counts before the HTTP status."""
    body = _body(answer)
    code = result_code(body, secrets)
    if code is None:
        return _read_bare_status(answer)
    if code in HINTS:
        return Outcome(Result.REFUSED, _refusal(body, code, secrets), code, settled=True)
    if code == OK:
        return _read_success(answer, body, order)
    words = _words(body, secrets)
    if code in TROUBLE:
        # Not called settled: the API reports trouble of its own, so some of it may still be running.
        return Outcome(Result.UNKNOWN, f"Payvalida had trouble: {words}", code, look_again=BUSY_WAIT)
    if code == NOT_REGISTERED_OR_FINAL:
        words = "Payvalida says that the order is unknown, paid, expired or cancelled; it does not say which."
        return Outcome(Result.UNKNOWN, words, code, settled=True)
    return Outcome(Result.UNKNOWN, f"Payvalida answered with code {code}: {words}", code, settled=True)


def judge(now: OrderState, attempt: Attempt) -> Outcome:
    """What a look-up after a deletion proves about it."""
    code = f"state_{now.status.lower()}" if now.status else now.standing.value
    if now.standing is Standing.CANCELLED:
        late = attempt.before.standing is Standing.CANCELLED
        return Outcome(Result.ALREADY_CANCELLED if late else Result.CANCELLED, now.detail, code)
    if now.standing is Standing.CANCELLABLE:
        return Outcome(Result.NO_EFFECT, "The order still waits for payment; nothing was cancelled.", code)
    if now.standing is Standing.NOT_CANCELLABLE:
        return Outcome(Result.REFUSED, now.detail, code)
    return Outcome(Result.UNKNOWN, now.detail, code)


def read_credentials(answer: Answer, secrets: tuple[str, ...] = ()) -> Credentials:
    """What the answer about an order that cannot exist says about our credentials."""
    body = _body(answer)
    code = result_code(body, secrets)
    if code in HINTS and code != MALFORMED:
        return Credentials(False, _refusal(body, code, secrets))
    if code in (OK, NOT_REGISTERED_OR_FINAL):
        # Inferred: the checksum is looked at before the order is.
        return Credentials(True, "Payvalida accepted the merchant and the checksum.")
    return Credentials(None, _no_sense(answer, code))


def result_code(body: Mapping[str, Any], secrets: tuple[str, ...] = ()) -> str | None:
    """The four digits in CODE. A number is put up with, but never as 0000: that must be the text."""
    code = body.get("CODE")
    if isinstance(code, str) and code:
        return clean_text(code, limit=20, secrets=secrets)
    if type(code) is int and 0 < code <= 9999:
        return f"{code:04d}"
    return None


def as_text(value: object) -> str:
    """A text or whole number as text; anything else as nothing."""
    return str(value) if isinstance(value, str) or type(value) is int else ""


def _read_success(answer: Answer, body: Mapping[str, Any], order: str) -> Outcome:
    data = _data(body)
    # The field table of the Spanish page spells it OrdenID, its example OrderID:
    # https://docs.payvalida.com/api-recaudo/ordenes-de-compra/eliminar
    named = {as_text(data[key]) for key in ("OrderID", "OrdenID") if key in data}
    if answer.status != 200:
        said = f"Payvalida answered OK and HTTP {answer.status} at once."
        return Outcome(Result.UNKNOWN, said, OK)
    if named and named != {order}:
        return Outcome(Result.UNKNOWN, ANOTHER_ORDER, "other_order", settled=True)
    if named and data.get("Operation") == "DELETED":
        return Outcome(Result.CANCELLED, "Payvalida deleted the order.", OK, settled=True)
    return Outcome(Result.UNKNOWN, "Payvalida answered OK without naming what it did.", OK, settled=True)


def _read_bare_status(answer: Answer) -> Outcome:
    """An answer without a result code: not the API's own."""
    code = f"http_{answer.status}"
    if answer.status == 429:
        # Nothing says that a request over the limit is not carried out, so this is not a "no".
        said = "Payvalida asks for fewer requests; whether it deleted the order is not known."
        return Outcome(Result.UNKNOWN, said, code, settled=True, look_again=answer.retry_after or BUSY_WAIT)
    return Outcome(Result.UNKNOWN, _no_sense(answer, None), code)


def _unanswered(error: NoAnswer) -> Outcome:
    if error.sent:
        return Outcome(Result.UNKNOWN, f"The request was sent to Payvalida. {error.sentence}", error.code)
    return Outcome(Result.NO_EFFECT, f"Nothing was sent to Payvalida. {error.sentence}", error.code)


def _refusal(body: Mapping[str, Any], code: str, secrets: tuple[str, ...]) -> str:
    return f"Payvalida refused: {_words(body, secrets)}. {HINTS[code]}"


def _words(body: Mapping[str, Any], secrets: tuple[str, ...]) -> str:
    return clean_text(body.get("DESC"), limit=200, secrets=secrets).rstrip(".") or "no reason given"


def _no_sense(answer: Answer, code: str | None) -> str:
    if code is not None:
        return f"Payvalida answered with code {code} (HTTP {answer.status})."
    if answer.status == 403:
        # Inferred from a content-network cookie in the documented examples.
        return "A page in front of Payvalida blocked the request (HTTP 403)."
    return f"Payvalida gave no usable answer (HTTP {answer.status})."


def _card(data: Mapping[str, Any], secrets: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The few fields an approver needs; the keys are misspelt like this on the wire.

    EMAIL is personal and checkout holds a token: neither is ever read.
    """

    def field(key: str, limit: int = 60) -> str:
        return clean_text(as_text(data.get(key)), limit=limit, secrets=secrets)

    rows = (
        ("Amount", f"{field('AMOUNT')} {field('CURRENCY')}".strip()),
        ("Description", field("DESCRIPTION", 200)),
        ("Created", field("CREATION_DATE")),  # the zone is not documented, so none is shown
        ("State", field("STATE")),
        ("Payment method", field("PAYMNENT_METHOD")),
    )
    return tuple((label, value) for label, value in rows if value)


def _body(answer: Answer) -> Mapping[str, Any]:
    body = answer.json_or_none()
    return body if isinstance(body, dict) else {}


def _data(body: Mapping[str, Any]) -> Mapping[str, Any]:
    data = body.get("DATA")
    return data if isinstance(data, dict) else {}


def _path(order: str) -> str:
    return f"/api/v3/porders/{order}"  # the pattern leaves nothing to quote
