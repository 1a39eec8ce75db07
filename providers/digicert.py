"""DigiCert CertCentral: cancel a certificate order that is not issued yet.

The call: https://dev.digicert.com/en/certcentral-apis/services-api/orders/update-order-status.html
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import ClassVar, Self

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
from providers.http import Answer, Http, HttpLimits, NoAnswer, Pace
from providers.text import clean_text

Secrets = tuple[str, ...]

_OPEN = frozenset({"pending", "waiting_pickup"})
"""The states for which the page of the call documents a cancellation."""
_CANCELLED = frozenset({"canceled", "cancelled"})
_OVER = {
    "issued": "Too late: the certificate is issued. It can only be revoked.",
    "rejected": "The order was rejected, so there is nothing left to cancel.",
    "revoked": "The certificate is revoked, so there is nothing left to cancel.",
    "expired": "The order has expired, so there is nothing left to cancel.",
}
_NOT_YET = {
    "reissue_pending": "Issued, with a reissue pending. This call would drop only the reissue.",
    "needs_approval": "The order is not placed yet. Reject its request in CertCentral instead.",
    "needs_csr": "The order waits for a CSR, and cancelling is not documented for that state.",
    "processing": "The order is being processed, and cancelling is not documented for that state.",
}
_WAIT_AFTER_LIMIT = timedelta(seconds=5)
"""The limit counts calls of the last five seconds; no waiting time is documented.
https://dev.digicert.com/en/certcentral-apis/services-api/rate-limits.html"""
PACE = (67, 0.2)
"""Calls at once, and seconds for one more: 92 in any 5 seconds and 967 in any 3 minutes, and up to eight that
had their turn just before. Allowed are 100 and 1000:
https://dev.digicert.com/en/certcentral-apis/services-api/rate-limits.html"""
_MAYBE_RUNNING = frozenset({408, 425, 499})
_LIMITED_USER = 2
_SHOWN_NAMES = 20
_MAX_NOTE = 1000

_BAD_KEY = "DigiCert does not accept DIGICERT_API_KEY. Check that it is a CertCentral key and not revoked."
_NO_RIGHT = (
    "DigiCert forbids this call: check the role behind DIGICERT_API_KEY, and that it is not View Only."
)
_NO_ORDER = "DigiCert knows no such order in this account."
_BAD_URL = "DigiCert does not know this address: DIGICERT_BASE_URL looks wrong."


class DigiCert:
    facts: ClassVar[Facts] = Facts(
        name="digicert",
        label="DigiCert",
        reference_label="Order ID",
        reference=re.compile(r"[1-9][0-9]{0,17}"),
        reference_form="digits only, such as 123456",
        example="123456",
        not_to_confuse="Not the certificate ID, request ID, serial number or thumbprint.",
        consequence="DigiCert closes the order for good, and no certificate will be issued from it.",
        warnings=(
            "Money may not come back by itself: ask DigiCert support.",
            "Validation work done for this order is lost.",
            "DigiCert keeps a note with the order that names the requester.",
        ),
        success_means="the order is canceled in CertCentral",
        limits="Only while it is pending or waiting for pickup; an issued certificate must be revoked.",
        docs="https://dev.digicert.com/en/certcentral-apis/services-api/orders/update-order-status.html",
        # The change shows at once as far as is known; an hour leaves room for a bad day.
        confirm_within=timedelta(hours=1),
        settings=(
            Setting("DIGICERT_API_KEY", "CertCentral API key (not a DigiCert ONE key)", secret=True),
            Setting(
                "DIGICERT_BASE_URL",
                "CertCentral address; accounts in Europe have their own",
                default="https://www.digicert.com/services/v2",
                is_url=True,
            ),
            # Older revisions of the page demand capitals, the present one small letters, and both
            # call the value case-sensitive. One is sent, never both in a row.
            Setting(
                "DIGICERT_CANCEL_STATUS",
                "Spelling of the status that is sent",
                default="canceled",
                choices=("canceled", "CANCELED"),
            ),
        ),
    )

    def __init__(self, http: Http, key: str, cancel_status: str) -> None:
        self._http = http
        self._cancel_status = cancel_status
        self._secrets: Secrets = (key,)
        self._print_of_key = hashlib.sha256(f"digicert account {key}".encode()).hexdigest()[:8]
        # https://dev.digicert.com/en/certcentral-apis/services-api/authentication.html
        self._headers = {"X-DC-DEVKEY": key, "Content-Type": "application/json"}

    @classmethod
    def from_settings(cls, values: Mapping[str, str], limits: HttpLimits) -> Self:
        http = Http(values["DIGICERT_BASE_URL"], limits, Pace(*PACE))
        return cls(http, values["DIGICERT_API_KEY"], values["DIGICERT_CANCEL_STATUS"])

    @property
    def account(self) -> str:
        """The account's number is behind the key; a fingerprint of the key tells two accounts apart."""
        return f"CertCentral on {self._http.origin}, key {self._print_of_key}"

    def turn(self) -> AbstractAsyncContextManager[None]:
        return self._http.turn()

    async def look_up(self, reference: str) -> OrderState:
        if not self.facts.reference.fullmatch(reference):
            return OrderState(Standing.NOT_FOUND, detail=f"An order ID is {self.facts.reference_form}.")
        try:
            answer = await self._http.read("GET", f"/order/certificate/{reference}", headers=self._headers)
        except NoAnswer as trouble:
            return OrderState(Standing.UNREADABLE, detail=f"DigiCert could not be asked. {trouble.sentence}")
        return read_order(answer, reference, self._secrets)

    async def cancel(self, reference: str, note: str, before: OrderState) -> Outcome:
        if not self.facts.reference.fullmatch(reference):
            return Outcome(Result.NO_EFFECT, "Not sent: this is no order ID.", code="bad_reference")
        if before.status == "reissue_pending":
            # The answer to a dropped reissue is the same 204 as to a cancelled order.
            return Outcome(Result.REFUSED, _NOT_YET[before.status], "reissue_pending", settled=True)
        try:
            answer = await self._http.send(
                "PUT",
                f"/order/certificate/{reference}/status",
                headers=self._headers,
                content=write_cancel(self._cancel_status, note),
            )
        except NoAnswer as trouble:
            return read_silence(trouble)
        return read_cancel(answer, self._secrets)

    async def follow_up(self, reference: str, attempt: Attempt) -> Outcome:
        return read_follow_up(await self.look_up(reference), attempt)

    async def check(self) -> Credentials:
        """https://dev.digicert.com/services-api/users/user-info/"""
        try:
            answer = await self._http.read("GET", "/user/me", headers=self._headers)
        except NoAnswer as trouble:
            return Credentials(None, f"DigiCert could not be asked. {trouble.sentence}")
        return read_user(answer, self._secrets)

    async def close(self) -> None:
        await self._http.close()


def write_cancel(status: str, note: str) -> bytes:
    """A cancellation without a note is invalid, so an empty one is never sent."""
    text = clean_text(note, limit=_MAX_NOTE) or "Cancelled with Countersign."
    return json.dumps({"status": status, "note": text}, separators=(",", ":")).encode()


def read_cancel(answer: Answer, secrets: Secrets = ()) -> Outcome:
    """204 is the documented success, but also what a dropped reissue gets: the order tells."""
    code = _code(answer, secrets)
    match answer.status:
        case 204:
            said = "DigiCert took the request; the order is read again to make sure."
            return Outcome(Result.ACCEPTED, said, code, settled=True, look_again=timedelta(0))
        case 401 | 403 | 404:
            return Outcome(Result.REFUSED, _why_not(answer), code, settled=True)
        case 429:
            wait = answer.retry_after or _WAIT_AFTER_LIMIT
            said = "DigiCert turned the call away: too many calls."
            # The page on errors names one code for this; any other 429 is not documented as "not done".
            result = Result.NO_EFFECT if code == "request_limit_exceeded" else Result.UNKNOWN
            return Outcome(result, said, code, settled=True, look_again=wait)
        case status if 400 <= status < 500 and status not in _MAYBE_RUNNING and _errors(answer):
            # Codes for "wrong state" and "already cancelled" are not documented: the order decides.
            return Outcome(Result.UNKNOWN, _said(answer, secrets), code, settled=True)
        case status:
            return Outcome(Result.UNKNOWN, f"DigiCert answered with HTTP status {status}.", code)


def read_silence(trouble: NoAnswer) -> Outcome:
    """No complete answer to a cancel."""
    if not trouble.sent:
        return Outcome(Result.NO_EFFECT, f"Nothing was sent. {trouble.sentence}", trouble.code, settled=True)
    return Outcome(Result.UNKNOWN, trouble.sentence, trouble.code)


def read_order(answer: Answer, reference: str, secrets: Secrets = ()) -> OrderState:
    """https://dev.digicert.com/en/certcentral-apis/services-api/orders/order-info.html

    The same address takes serial numbers and thumbprints, so the ID in the answer has to match.
    """
    if answer.status != 200:
        gone = answer.status == 404 and _is_unknown_order(answer)
        return OrderState(Standing.NOT_FOUND if gone else Standing.UNREADABLE, detail=_why_not(answer))
    body = answer.json_or_none()
    if not isinstance(body, dict):
        detail = "DigiCert did not answer in its API's form; perhaps with a login or maintenance page."
        return OrderState(Standing.UNREADABLE, detail=detail)
    found = _number(body.get("id"))
    if found != reference:
        real = f" That number belongs to order {found}." if found else ""
        return OrderState(Standing.UNCLEAR, detail=f"DigiCert answered about something else.{real}")
    status = clean_text(body.get("status"), limit=60, secrets=secrets).lower()
    standing, detail = _standing(status)
    return OrderState(standing, status, detail, facts=_card(body, status, secrets))


def _standing(status: str) -> tuple[Standing, str]:
    if status in _OPEN:
        return Standing.CANCELLABLE, "The certificate is not issued yet."
    if status in _CANCELLED:
        return Standing.CANCELLED, "The order is canceled."
    sentence = _OVER.get(status) or _NOT_YET.get(status)
    if sentence:
        return Standing.NOT_CANCELLABLE, sentence
    return Standing.UNCLEAR, "The order is in a state that this bot does not know."


def _card(body: Mapping[str, object], status: str, secrets: Secrets) -> tuple[tuple[str, str], ...]:
    """Names, product and dates only: the rest of the answer is long or personal."""
    certificate, product = _object(body.get("certificate")), _object(body.get("product"))
    rows = (
        ("Common name", clean_text(certificate.get("common_name"), limit=100, secrets=secrets)),
        ("Other names", _names(certificate.get("dns_names"), secrets)),
        ("Product", clean_text(product.get("name"), limit=100, secrets=secrets)),
        ("Status", status),
        ("Created", clean_text(certificate.get("date_created"), limit=40, secrets=secrets).partition("T")[0]),
        ("Issued", clean_text(certificate.get("date_issued"), limit=40, secrets=secrets)),
    )
    return tuple((label, value) for label, value in rows if value)


def read_follow_up(now: OrderState, attempt: Attempt) -> Outcome:
    """Inferred, not documented: the status is read live, with no delay behind the change."""
    match now.standing:
        case Standing.CANCELLED if attempt.before.standing is Standing.CANCELLED:
            return Outcome(Result.ALREADY_CANCELLED, now.detail, now.status, settled=True)
        case Standing.CANCELLED:
            return Outcome(Result.CANCELLED, now.detail, now.status, settled=True)
        case Standing.CANCELLABLE if attempt.accepted:
            wait = min(max(attempt.age, timedelta(seconds=5)), timedelta(minutes=5))
            said = "DigiCert accepted the cancel but still shows the order as open."
            return Outcome(Result.ACCEPTED, said, now.status, settled=True, look_again=wait)
        case Standing.CANCELLABLE:
            return Outcome(Result.NO_EFFECT, "The order is still open.", now.status, settled=True)
        case Standing.NOT_CANCELLABLE if now.status in _OVER:
            return Outcome(Result.REFUSED, _ended(now, attempt), now.status, settled=True)
        case _:
            return Outcome(Result.UNKNOWN, now.detail, now.status or now.standing.value)


def _ended(now: OrderState, attempt: Attempt) -> str:
    if now.status == "issued" and attempt.before.status == "reissue_pending":
        return "Only the reissue was dropped: the order is issued again and was not cancelled."
    return f"Not cancelled. {now.detail}"


def read_user(answer: Answer, secrets: Secrets = ()) -> Credentials:
    if answer.status in {401, 403, 404}:
        return Credentials(False, _why_not(answer))
    body = answer.json_or_none() if answer.status == 200 else None
    account = _number(body.get("account_id")) if isinstance(body, dict) else ""
    if not isinstance(body, dict) or not account:
        return Credentials(None, _why_not(answer))
    if str(body.get("status", "active")).lower() != "active":
        return Credentials(False, f"The user of the key is not active in account {account}.")
    return Credentials(True, f"Account {account}{_roles(body.get('access_roles'), secrets)}")


def _roles(value: object, secrets: Secrets) -> str:
    """Roles by number: https://dev.digicert.com/zh-cn/glossary/"""
    roles = [_object(role) for role in value[:5]] if isinstance(value, list) else []
    names = ", ".join(clean_text(role.get("name"), limit=40, secrets=secrets) for role in roles)
    limited = any(role.get("id") == _LIMITED_USER for role in roles)
    warning = " A limited user sees only the orders it placed itself." if limited else ""
    # A View Only key cannot be told from here; it shows as a 403 when something is cancelled.
    return (f", role {names}." if names else ".") + warning


def _why_not(answer: Answer) -> str:
    """A sentence for an answer that is not about the state of an order."""
    match answer.status:
        case 401:
            return _BAD_KEY
        case 403:
            return _NO_RIGHT
        case 404:
            return _NO_ORDER if _is_unknown_order(answer) else _BAD_URL
        case 429:
            return "DigiCert says that there were too many calls. Try again in a moment."
        case 200:
            return "DigiCert did not answer in its API's form; perhaps with a login or maintenance page."
        case status:
            return f"DigiCert answered with HTTP status {status}."


def _is_unknown_order(answer: Answer) -> bool:
    """Other 404s mean a wrong address, not a missing order.

    https://dev.digicert.com/en/certcentral-apis/services-api/errors.html
    """
    return any(error.get("code") == "not_found|order" for error in _errors(answer))


def _errors(answer: Answer) -> list[Mapping[str, object]]:
    body = answer.json_or_none()
    errors = body.get("errors") if isinstance(body, dict) else None
    return [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []


def _code(answer: Answer, secrets: Secrets) -> str:
    for error in _errors(answer)[:1]:
        return clean_text(error.get("code"), limit=60, secrets=secrets) or f"http_{answer.status}"
    return f"http_{answer.status}"


def _said(answer: Answer, secrets: Secrets) -> str:
    texts = [clean_text(error.get("message"), secrets=secrets) for error in _errors(answer)[:3]]
    return clean_text(f"DigiCert says: {' '.join(texts)} ({_code(answer, secrets)})", secrets=secrets)


def _number(value: object) -> str:
    """An ID as text, whether it came as a number or as digits; empty for anything else."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if re.fullmatch(r"[0-9]{1,40}", text) else ""


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _names(value: object, secrets: Secrets) -> str:
    names = (
        [clean_text(name, limit=100, secrets=secrets) for name in value] if isinstance(value, list) else []
    )
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(name for name in names[:_SHOWN_NAMES] if name) + more
