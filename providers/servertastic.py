"""Servertastic: cancel an SSL order. Whoever knows an order's token can cancel it, so it is a secret.

Documentation: https://support.servertastic.com/knowledgebase/article/how-to-cancel-a-ssltls-order
Calls and fields: https://github.com/servertastic/servertastic-api (api2.md)
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
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

COMPLETED = "Completed"
CANCELLED = "Cancelled"

# The states of an order, from api2.md. "Queued" is not issued, so the general rule holds for it: a guess.
STATES = {
    "Order Placed": (Standing.CANCELLABLE, "Not configured yet; cancelled at once."),
    "Awaiting Customer Verification": (Standing.CANCELLABLE, "Not issued yet; cancelled at once."),
    "Awaiting Provider Approval": (Standing.CANCELLABLE, "Not issued yet; cancelled at once."),
    "Queued": (Standing.CANCELLABLE, "Not issued yet; cancelled at once."),
    CANCELLED: (Standing.CANCELLED, "The order is cancelled."),
    "Roll Back": (Standing.NOT_CANCELLABLE, "The order failed to be placed; there is nothing to cancel."),
    # Nothing says whether a held order can be cancelled, so it is not called cancellable.
    "Servertastic Review": (Standing.UNCLEAR, "Servertastic holds this order for a review by hand."),
}
BY_EMAIL = "The Admin contact must approve by e-mail; until then nothing is cancelled."
MAYBE_TOO_OLD = "The issue date is not known; more than 30 days after it, Servertastic refuses."
TOO_OLD = "Issued more than 30 days ago: only Servertastic's support can cancel it, without a refund."
SMARTER = "SmarterTools products cannot be cancelled."
NOT_KNOWN = "Servertastic knows no order by this token or reference. A reseller order ID (STR…) is neither."
ANOTHER_ORDER = "Servertastic answered about another order. Look at both orders there."
TWO_ORDERS = "This reference stands for more than one order; use the order's token."
MOVED = "The reference stands for another order by now than for the one that was approved."
NOT_JSON = "Servertastic gave no JSON (HTTP {}): check SERVERTASTIC_BASE_URL."

# Order data are synchronised every five minutes (api2.md); a minute is added to be sure.
SYNC = timedelta(minutes=6)
# No zone is given for times, so the furthest one is assumed.
ISSUE_WINDOW = timedelta(days=30, hours=14)
CANCELLED_BEFORE = re.compile(r"already|(?:is|was|been|status)\W+cancell?ed", re.IGNORECASE)
SOON = timedelta(minutes=1)
FOR_EMAIL = timedelta(minutes=30)
BUSY_WAIT = timedelta(seconds=30)
LOOK_FIRST = frozenset({404, 408, 409, 410, 425, 499})
"""Errors that may also mean "done before" or "given up on": not a plain no."""


class Servertastic:
    """One reseller account at Servertastic."""

    facts: ClassVar[Facts] = Facts(
        name="servertastic",
        label="Servertastic",
        reference_label="Order token or reference",
        # Neither length nor alphabet is documented; nothing here means anything in a URL.
        reference=re.compile(r"[A-Za-z0-9_-]{6,64}", re.ASCII),
        reference_form="your own order reference, or the order token: letters, digits, _ and -, 6 to 64",
        example="abc123456789",
        not_to_confuse="Not the reseller order ID (STR_…) and not the certificate authority's number.",
        consequence="The certificate order is cancelled and cannot be re-instated.",
        warnings=(
            "Need a new certificate for this domain? Place that order first, or it is held for review.",
            "Points come back only up to 30 days after issuance.",
        ),
        success_means="the order is cancelled; for an issued one, after the Admin contact approved by e-mail",
        limits="Not issued: at once. Issued: within 30 days, by e-mail approval. SmarterTools: never.",
        docs="https://support.servertastic.com/knowledgebase/article/how-to-cancel-a-ssltls-order",
        reference_is_secret=True,
        confirm_within=timedelta(days=7),
        settings=(
            Setting("SERVERTASTIC_API_KEY", "The account's API key; it only reads here.", secret=True),
            Setting(
                "SERVERTASTIC_BASE_URL",
                # Two hosts are in use; the newer public clients use the second one.
                "Or https://api.servertastic.com/v2, or https://test-api2.servertastic.com for tests.",
                default="https://api2.servertastic.com",
                is_url=True,
            ),
        ),
    )

    def __init__(self, http: Http, api_key: str, now: Callable[[], float] = time.time) -> None:
        self._http = http
        self._api_key = api_key
        self._now = now

    @classmethod
    def from_settings(cls, values: Mapping[str, str], limits: HttpLimits) -> Self:
        return cls(Http(values["SERVERTASTIC_BASE_URL"], limits), values["SERVERTASTIC_API_KEY"])

    @property
    def account(self) -> str:
        """No account name is known, so a fingerprint of the key tells two accounts apart."""
        print_of_key = hashlib.sha256(f"servertastic account {self._api_key}".encode()).hexdigest()[:8]
        return f"{self._http.origin}, account {print_of_key}"

    def turn(self) -> AbstractAsyncContextManager[None]:
        return self._http.turn()

    async def look_up(self, reference: str) -> OrderState:
        token = await self._token(reference)
        if isinstance(token, OrderState):
            return token
        try:
            answer = await self._http.read("GET", "/order/review.json", query={"order_token": token})
        except NoAnswer as error:
            return OrderState(Standing.UNREADABLE, detail=_not_asked(error), target=_mark(token))
        now = datetime.fromtimestamp(self._now(), UTC)
        return replace(read_review(answer, token, now, (self._api_key,)), target=_mark(token))

    async def cancel(self, reference: str, note: str, before: OrderState) -> Outcome:  # noqa: ARG002
        """Cancel once; a GET that must never be followed, fetched or repeated. There is no note."""
        token = reference if _mark(reference) == before.target else await self._token(reference)
        if isinstance(token, OrderState):
            return Outcome(Result.NO_EFFECT, f"No cancel was sent. {token.detail}", "token_unresolved")
        if before.target not in ("", _mark(token)):
            return Outcome(Result.NO_EFFECT, f"No cancel was sent. {MOVED}", "another_order")
        try:
            answer = await self._http.send("GET", "/order/cancel.json", query={"order_token": token})
        except NoAnswer as error:
            return _unanswered(error)
        return read_cancel(answer, before, (token, self._api_key))

    async def follow_up(self, reference: str, attempt: Attempt) -> Outcome:
        return judge(await self.look_up(reference), attempt)

    async def check(self) -> Credentials:
        try:
            answer = await self._http.read("GET", "/account/review.json", query={"api_key": self._api_key})
        except NoAnswer as error:
            return Credentials(None, _not_asked(error))
        return read_credentials(answer, (self._api_key,))

    async def close(self) -> None:
        await self._http.close()

    async def _token(self, reference: str) -> str | OrderState:
        """The token that people mean, or why there is none."""
        if not self.facts.reference.fullmatch(reference):
            return OrderState(Standing.NOT_FOUND, detail="This is not a token or reference of Servertastic.")
        try:
            answer = await self._http.read("GET", "/order/showtokens.json", query={"api_key": self._api_key})
        except NoAnswer as error:
            return OrderState(Standing.UNREADABLE, detail=_not_asked(error))
        return read_tokens(answer, reference, (self._api_key,))


def _mark(token: str) -> str:
    """Stands for a token, which is a secret of its own."""
    return hashlib.sha256(f"servertastic token {token}".encode()).hexdigest()[:32]


def read_tokens(answer: Answer, reference: str, secrets: Iterable[str] = ()) -> str | OrderState:
    """The token behind a reseller's own reference; a value that the account does not list is a token."""
    body = answer.json_or_none()
    if trouble := _trouble(answer, body, secrets):
        return OrderState(Standing.UNREADABLE, detail=trouble)
    found = {token for token, own in _listed(body) if reference in (token, own)}
    if len(found) > 1:
        return OrderState(Standing.UNCLEAR, detail=TWO_ORDERS)
    return found.pop() if found else reference


def read_review(answer: Answer, token: str, now: datetime, secrets: Iterable[str] = ()) -> OrderState:
    """What an answer to a review says. The data may be five minutes old."""
    body = answer.json_or_none()
    secrets = (token, *secrets)
    if _error_code(answer.status, body) in (401, 403, 404):
        # An unknown token and a forbidden one look alike: the token is the order and the key to it.
        return OrderState(Standing.NOT_FOUND, detail=NOT_KNOWN)
    if trouble := _trouble(answer, body, secrets):
        return OrderState(Standing.UNREADABLE, detail=trouble)
    fields = body if isinstance(body, dict) else {}
    if _is_another(fields, token):
        return OrderState(Standing.UNCLEAR, detail=ANOTHER_ORDER)
    status = clean_text(fields.get("order_status"), limit=60, secrets=secrets)
    issued = issue_date(fields)
    product = clean_text(fields.get("st_product_code"), limit=60, secrets=secrets)
    standing, detail, warnings = _meaning(status, product, issued, now)
    return OrderState(
        standing,
        status,
        detail,
        known_as=clean_text(fields.get("reseller_order_id"), limit=60, secrets=secrets),
        identity=clean_text(fields.get("reseller_order_id"), limit=60, secrets=secrets),
        facts=_card(fields, issued, secrets),
        warnings=warnings,
    )


def read_cancel(answer: Answer, before: OrderState, secrets: Iterable[str] = ()) -> Outcome:
    """What an answer to a cancel proves, given the order as it was just before."""
    http = f"http_{answer.status}"
    if answer.status == 429:
        # Nothing says that a request over the limit is not carried out, so this is not a "no".
        said = "Servertastic asks for fewer requests; whether it took the cancel is not known."
        wait = answer.retry_after or BUSY_WAIT
        return Outcome(Result.UNKNOWN, said, http, settled=True, look_again=wait)
    body = answer.json_or_none()
    if not isinstance(body, dict) or answer.status >= 500 or 300 <= answer.status < 400:
        return Outcome(Result.UNKNOWN, _no_sense(answer, body), http, look_again=SOON)
    if body.get("error"):
        return _read_no(_error_code(answer.status, body), _error_words(body, secrets))
    words = clean_text(body.get("success"), limit=200, secrets=secrets)
    if answer.status != 200 or not words:
        said = "Servertastic answered without a success or an error."
        return Outcome(Result.UNKNOWN, said, http, settled=True, look_again=SOON)
    return _read_yes(words, before)


def judge(now: OrderState, attempt: Attempt) -> Outcome:
    """What a look-up after a cancel proves about it."""
    before, kept = attempt.before, Result.ACCEPTED if attempt.accepted else Result.UNKNOWN
    code = now.status.lower().replace(" ", "_") or now.standing.value
    if now.standing is Standing.UNREADABLE:
        return Outcome(kept, now.detail, code, look_again=SOON)
    is_elsewhere = bool(now.target and before.target and now.target != before.target)
    if is_elsewhere or now.known_as != before.known_as:
        said = "Servertastic shows no order, or another one, where the order was. Look at it there."
        return Outcome(Result.UNKNOWN, said, "other_order", look_again=FOR_EMAIL)
    if now.standing is Standing.CANCELLED:
        late = before.standing is Standing.CANCELLED
        return Outcome(Result.ALREADY_CANCELLED if late else Result.CANCELLED, now.detail, code)
    if attempt.age < SYNC:
        said = "Not shown as cancelled yet; Servertastic's data may be five minutes old."
        return Outcome(kept, said, code, look_again=min(SOON, SYNC - attempt.age))
    if COMPLETED in (now.status, before.status):
        # Whether the e-mail went out is shown nowhere, so an old status is never a "no" here.
        return Outcome(kept, f"Not cancelled so far. {BY_EMAIL}", code, look_again=FOR_EMAIL)
    if attempt.accepted:
        said = "Servertastic took the cancel, but still shows the order as it was."
        return Outcome(Result.ACCEPTED, said, code, look_again=FOR_EMAIL)
    if now.standing is Standing.CANCELLABLE:
        return Outcome(Result.NO_EFFECT, "Six minutes later the order is still open; nothing happened.", code)
    if now.standing is Standing.NOT_CANCELLABLE:
        return Outcome(Result.REFUSED, now.detail, code)
    return Outcome(Result.UNKNOWN, now.detail, code, look_again=FOR_EMAIL)


def read_credentials(answer: Answer, secrets: Iterable[str] = ()) -> Credentials:
    body = answer.json_or_none()
    if _error_code(answer.status, body) in (401, 403):
        return Credentials(False, "Servertastic refused the API key: check SERVERTASTIC_API_KEY.")
    if trouble := _trouble(answer, body, secrets):
        return Credentials(None, trouble)
    return Credentials(True, "Servertastic accepted the API key.")


def issue_date(fields: Mapping[str, Any]) -> datetime | None:
    """When the order was first completed. There is no field for it, only the list of what happened.

    The zone is not documented; UTC stands in for it.
    """
    times = [
        _time(entry.get("timestamp"))
        for entry in _several(_inner(fields.get("modifications"), "modification"))
        if entry.get("event_name") == COMPLETED
    ]
    known = [time for time in times if time is not None]
    return min(known) if known and len(known) == len(times) else None


def _meaning(
    status: str, product: str, issued: datetime | None, now: datetime
) -> tuple[Standing, str, tuple[str, ...]]:
    unknown = (Standing.UNCLEAR, "Servertastic names a state that Countersign does not know.")
    standing, detail = STATES.get(status, unknown)
    if product.lower().startswith("smarter") and (standing is Standing.CANCELLABLE or status == COMPLETED):
        return Standing.NOT_CANCELLABLE, SMARTER, ()
    if status != COMPLETED:
        return standing, detail, ()
    if issued is None:
        return Standing.CANCELLABLE, "The certificate is issued.", (BY_EMAIL, MAYBE_TOO_OLD)
    if now - issued > ISSUE_WINDOW:
        return Standing.NOT_CANCELLABLE, TOO_OLD, ()
    return Standing.CANCELLABLE, "The certificate is issued.", (BY_EMAIL,)


def _read_yes(words: str, before: OrderState) -> Outcome:
    named = re.fullmatch(r"Order cancelled - (\S+)", words, re.IGNORECASE)
    if named and before.known_as and named[1] != before.known_as:
        return Outcome(Result.UNKNOWN, ANOTHER_ORDER, "other_order", settled=True, look_again=SOON)
    if before.status == COMPLETED:
        # The text is the same whether the order is gone or an e-mail went out; that it is, is inferred.
        said = "Waiting for the Admin contact's e-mail approval; nothing is cancelled until then."
        return Outcome(Result.ACCEPTED, said, "http_200", settled=True, look_again=FOR_EMAIL)
    if named and named[1] == before.known_as:
        # Documented as immediate for an order that is not issued. But what we know of `before` may be
        # five minutes old (api2.md), and for one issued meanwhile the same words only send an e-mail.
        said = "Servertastic says that the order is cancelled; its order data has to confirm it."
        return Outcome(Result.ACCEPTED, said, "http_200", settled=True, look_again=timedelta(seconds=1))
    said = "Servertastic took the request without naming the order."
    return Outcome(Result.ACCEPTED, said, "http_200", settled=True, look_again=SOON)


def _read_no(code: int, words: str) -> Outcome:
    """4xx is a problem with the request, 5xx one of the API (api2.md); the messages are not listed."""
    if code >= 500:
        return Outcome(Result.UNKNOWN, f"Servertastic had trouble: {words}", f"error_{code}", look_again=SOON)
    # A GET may be repeated by anything on the way, and the repeat then reads "already cancelled".
    # The wording only ever makes us look; it never decides.
    if not 400 <= code < 500 or code in LOOK_FIRST or CANCELLED_BEFORE.search(words):
        said = f"Servertastic answered with an error: {words}"
        return Outcome(Result.UNKNOWN, said, f"error_{code}", settled=True, look_again=SOON)
    hint = " The token is not known, or not allowed to do this." if code in (401, 403) else ""
    return Outcome(Result.REFUSED, f"Servertastic refused: {words}.{hint}", f"error_{code}", settled=True)


def _listed(body: object) -> list[tuple[str, str]]:
    """Token and own reference of every order, used and unused tokens alike."""
    entries = [
        entry
        for group in ("used_tokens", "unused_tokens")
        for entry in _several(_inner(_inner(body, group), "order_token"))
    ]
    pairs = [(entry.get("token"), entry.get("reseller_unique_reference")) for entry in entries]
    return [(token, str(own or "")) for token, own in pairs if isinstance(token, str) and token]


def _is_another(fields: Mapping[str, Any], token: str) -> bool:
    """Whether the address of the order's page, documented as …/token/[order_token], is not ours.

    The token stands nowhere else in a review. An address in another form proves nothing.
    """
    address = fields.get("invite_url")
    named = re.search(r"/token/([^/?#]+)", address) if isinstance(address, str) else None
    return named is not None and named[1] != token


def _inner(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, dict) else None


def _several(value: object) -> list[Mapping[str, Any]]:
    """The JSON grew out of XML: one element may come bare, none as {} or "" (a guess, and harmless)."""
    found = value if isinstance(value, list) else [value]
    return [entry for entry in found if isinstance(entry, dict)]


def _trouble(answer: Answer, body: object, secrets: Iterable[str]) -> str:
    """Why an answer to a question cannot be used; empty when it can."""
    if answer.status == 429:
        return "Servertastic asks for fewer requests."
    if isinstance(body, dict) and body.get("error"):
        hint = " Check SERVERTASTIC_API_KEY." if _error_code(answer.status, body) in (401, 403) else ""
        return f"Servertastic refused: {_error_words(body, secrets)}.{hint}"
    usable = answer.status == 200 and isinstance(body, dict) and body.get("success")
    return "" if usable else _no_sense(answer, body)


def _error_code(status: int, body: object) -> int:
    """The code in the error, which may come as text, or the HTTP status; 0 without an error."""
    error = _inner(body, "error")
    if not error:
        return 0
    code = _inner(error, "code")
    if isinstance(code, str) and re.fullmatch(r"[1-5][0-9]{2}", code, re.ASCII):
        return int(code)
    return code if type(code) is int else status


def _error_words(body: Mapping[str, Any], secrets: Iterable[str]) -> str:
    error = body.get("error")
    words = _inner(error, "message") if isinstance(error, dict) else error
    return clean_text(words, limit=200, secrets=secrets).rstrip(".") or "no reason given"


def _no_sense(answer: Answer, body: object) -> str:
    if 300 <= answer.status < 400:
        # Not followed: the token is in the URL and would go to another place with it.
        return f"Servertastic points to another address (HTTP {answer.status}): check SERVERTASTIC_BASE_URL."
    if body is None and answer.status < 500:
        # XML was once the default, and is what a wrong address still answers.
        return NOT_JSON.format(answer.status)
    return f"Servertastic gave no usable answer (HTTP {answer.status})."


def _not_asked(error: NoAnswer) -> str:
    return f"Servertastic could not be asked. {error.sentence}"


def _unanswered(error: NoAnswer) -> Outcome:
    if error.sent:
        said = f"The request was sent to Servertastic. {error.sentence}"
        return Outcome(Result.UNKNOWN, said, error.code, look_again=SOON)
    return Outcome(Result.NO_EFFECT, f"Nothing was sent to Servertastic. {error.sentence}", error.code)


def _card(
    fields: Mapping[str, Any], issued: datetime | None, secrets: Iterable[str]
) -> tuple[tuple[str, str], ...]:
    """Never invite_url (it holds the token), never a contact, never the certificate."""

    def field(key: str) -> str:
        return clean_text(fields.get(key), limit=100, secrets=secrets)

    rows = (
        ("Reseller order ID", field("reseller_order_id")),
        ("Domain", field("domain_name")),
        ("Product", field("st_product_code")),
        ("Status", field("order_status")),
        ("Issued", issued.strftime("%Y-%m-%d %H:%M:%S") if issued else ""),
    )
    return tuple((label, value) for label, value in rows if value)


def _time(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found and found.tzinfo is None else found
