"""cPanel: take an SSL certificate order that is not issued yet out of a server's pending queue.

The call: https://api.docs.cpanel.net/specifications/cpanel.openapi/ssl-certificates/market-cancel_pending_ssl_certificate
It is a GET that changes something, so its URL must never reach anything that opens links.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
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
from providers.http import Answer, Http, HttpLimits, NoAnswer
from providers.text import clean_text

Item = Mapping[str, object]
Secrets = tuple[str, ...]

_CANCELLED_AT_STORE = frozenset({"OrderCanceled", "OrderItemCanceled"})
_PAID = {"confirmed": "yes", "unconfirmed": "no"}
"""The two values of `status` that the documentation of the pending list names."""
_PAID_WARNING = "Paid order: it may live on at the store. Ask the store's support about it and the money."
_NAME = re.compile(r"[\x21-\x39\x3b-\x7e]{1,128}")
_SHOWN_DOMAINS = 20


class CPanel:
    facts: ClassVar[Facts] = Facts(
        name="cpanel",
        label="cPanel",
        reference_label="Order item ID",
        # The length is not documented; eighteen digits is far more than any number seen.
        reference=re.compile(r"[1-9][0-9]{0,17}"),
        reference_form="digits only, such as 10427508",
        example="10427508",
        not_to_confuse="Not the order ID (the parent order, often shorter), nor the product ID.",
        consequence="The order leaves this server's queue: validation stops and no certificate is installed.",
        warnings=(
            "Acts on this server only: the store may keep the order.",
            "If validation is already complete, it may still be issued and billed.",
        ),
        success_means="removed from the pending queue of this server",
        limits="Only while it waits in this server's queue; an issued certificate is too late.",
        docs="https://api.docs.cpanel.net/specifications/cpanel.openapi/ssl-certificates/market-cancel_pending_ssl_certificate",
        settings=(
            Setting(
                "CPANEL_BASE_URL",
                "cPanel server with port, such as https://host.example.com:2083",
                is_url=True,
            ),
            Setting("CPANEL_USERNAME", "cPanel account that owns the orders"),
            Setting("CPANEL_API_TOKEN", "API token of that account (not a WHM token)", secret=True),
            Setting(
                "CPANEL_MARKET_PROVIDER",
                "Store of the orders, upper and lower case matter",
                default="cPStore",
            ),
        ),
    )

    def __init__(self, http: Http, username: str, token: str, store: str) -> None:
        self._http = http
        self._username = username
        self._store = store
        self._secrets: Secrets = (token,)
        # https://docs.cpanel.net/knowledge-base/security/how-to-use-cpanel-api-tokens/
        self._headers = {"Authorization": f"cpanel {username}:{token}"}

    @classmethod
    def from_settings(cls, values: Mapping[str, str], limits: HttpLimits) -> Self:
        username, store = values["CPANEL_USERNAME"], values["CPANEL_MARKET_PROVIDER"]
        if not _NAME.fullmatch(username) or not _NAME.fullmatch(store):
            raise ValueError(
                "CPANEL_USERNAME and CPANEL_MARKET_PROVIDER must be plain names without spaces or ':'"
            )
        http = Http(values["CPANEL_BASE_URL"], limits)
        return cls(http, username, values["CPANEL_API_TOKEN"], store)

    @property
    def account(self) -> str:
        return f"{self._username} on {self._http.origin}, store {self._store}"

    def turn(self) -> AbstractAsyncContextManager[None]:
        return self._http.turn()

    async def look_up(self, reference: str) -> OrderState:
        if not self.facts.reference.fullmatch(reference):
            return OrderState(Standing.NOT_FOUND, detail=f"An order item ID is {self.facts.reference_form}.")
        try:
            pending = await self._read("get_pending_ssl_certificates", provider=self._store)
            listed = read_pending(pending, reference, self._store, self._secrets)
            if listed is not None:
                return listed
            certificate = await self._read(
                "get_ssl_certificate_if_available", provider=self._store, order_item_id=reference
            )
        except NoAnswer as trouble:
            return OrderState(Standing.UNREADABLE, detail=f"cPanel could not be asked. {trouble.sentence}")
        return read_certificate(
            certificate, hint=mix_up(pending, reference, self._secrets), secrets=self._secrets
        )

    async def cancel(self, reference: str, note: str, before: OrderState) -> Outcome:  # noqa: ARG002
        """The call has no room for a note, and the queue needs no state before it."""
        if not self.facts.reference.fullmatch(reference):
            return Outcome(Result.NO_EFFECT, "Not sent: this is no order item ID.", code="bad_reference")
        try:
            answer = await self._http.send(
                "GET",
                "/execute/Market/cancel_pending_ssl_certificate",
                query={"provider": self._store, "order_item_id": reference},
                headers=self._headers,
            )
        except NoAnswer as trouble:
            return read_silence(trouble)
        return read_cancel(answer, reference, self._store, self._secrets)

    async def follow_up(self, reference: str, attempt: Attempt) -> Outcome:
        return read_follow_up(await self.look_up(reference), attempt)

    async def check(self) -> Credentials:
        """The store list proves the token and the feature `market`, the queue proves `tls_wizard`.

        https://api.docs.cpanel.net/openapi/cpanel/operation/Market-get_providers_list
        """
        try:
            stores = await self._read("get_providers_list")
            found = read_stores(stores, self._store, self._secrets)
            if not found.ok:
                return found
            queue = await self._read("get_pending_ssl_certificates", provider=self._store)
        except NoAnswer as trouble:
            return Credentials(None, f"cPanel could not be asked. {trouble.sentence}")
        blocked = _blocked(queue, self._secrets)
        if blocked is None:
            return Credentials(True, f"Account {self._username}, store {self._store}.")
        return Credentials(False if _says_no(queue) else None, blocked)

    async def close(self) -> None:
        await self._http.close()

    async def _read(self, function: str, **query: str) -> Answer:
        return await self._http.read("GET", f"/execute/Market/{function}", query=query, headers=self._headers)


def read_cancel(answer: Answer, reference: str, store: str, secrets: Secrets = ()) -> Outcome:
    """The removed entries come back in `data`; only our own entry in there is a success.

    A second cancel, an unknown ID and another store's name all give status 1 with an empty list:
    the public source of the server module filters the queue and finds nothing wrong with that.
    """
    code = f"http_{answer.status}"
    if answer.status in {401, 403}:
        return Outcome(Result.REFUSED, _NOT_LET_IN, code, settled=True)
    if answer.status == 429:
        # No limit is documented, so neither is that a limited call was not carried out.
        said = "cPanel says that there were too many calls."
        return Outcome(Result.UNKNOWN, said, code, settled=True, look_again=answer.retry_after)
    envelope = _envelope(answer)
    if envelope is None:
        return Outcome(Result.UNKNOWN, _blocked(answer, secrets) or "", code)
    if str(envelope["status"]) == "0":
        return _read_refusal(envelope, secrets)
    if not any(_is(item, reference, store) for item in _items(envelope) or ()):
        said = "cPanel reported success but did not name this order."
        return Outcome(Result.UNKNOWN, said, "not_in_data", settled=True)
    notes = _texts(envelope, "messages", secrets)
    said = "Removed from the pending queue of this server."
    # Clean-up that failed shows in the messages of a success.
    return Outcome(
        Result.CANCELLED, f"{said} cPanel adds: {notes}" if notes else said, "removed", settled=True
    )


def _read_refusal(envelope: Item, secrets: Secrets) -> Outcome:
    """https://api.docs.cpanel.net/openapi/cpanel/operation/set_status_of_pending_queue_items

    That page shows the shape of a failure; for the cancel itself none is shown.
    """
    data = envelope.get("data")
    kind = clean_text(data.get("error_type"), limit=60, secrets=secrets) if isinstance(data, dict) else ""
    said = _no(envelope, secrets)
    # Which failures leave the order untouched is not documented, and this is a GET that something on
    # the way may have sent twice; so the order decides. Only a feature that the account lacks is a no
    # by itself: then the call never began.
    result = Result.REFUSED if "feature" in said.lower() and not kind else Result.UNKNOWN
    return Outcome(result, said, kind or "uapi_0", settled=True)


def read_silence(trouble: NoAnswer) -> Outcome:
    """No complete answer to a cancel."""
    if not trouble.sent:
        return Outcome(Result.NO_EFFECT, f"Nothing was sent. {trouble.sentence}", trouble.code, settled=True)
    return Outcome(Result.UNKNOWN, trouble.sentence, trouble.code)


def read_pending(answer: Answer, reference: str, store: str, secrets: Secrets = ()) -> OrderState | None:
    """The order as the queue lists it; None when a complete queue does not list it.

    https://api.docs.cpanel.net/specifications/cpanel.openapi/ssl-certificates/market-get_pending_ssl_certificates
    The documented filter by store is ignored by the public server code, so it is repeated here.
    """
    blocked = _blocked(answer, secrets)
    items = _items(_envelope(answer) or {})
    if blocked or items is None:
        return OrderState(Standing.UNREADABLE, detail=blocked or "cPanel's pending queue could not be read.")
    ours = [item for item in items if _text(item, "order_item_id") == reference]
    if not ours:
        return None
    same_store = [item for item in ours if _is(item, reference, store)]
    if len(same_store) != 1:
        detail = (
            f"It is in the queue, but not once and under the store {store}. Check CPANEL_MARKET_PROVIDER."
        )
        return OrderState(Standing.UNCLEAR, detail=detail)
    return _listed(same_store[0], secrets)


def _listed(item: Item, secrets: Secrets) -> OrderState:
    status = clean_text(_text(item, "status"), limit=60, secrets=secrets)
    at_store = clean_text(_text(item, "last_status_code"), limit=60, secrets=secrets)
    warnings = [_PAID_WARNING] if status == "confirmed" else []
    if _text(item, "expired") not in {"", "0"}:
        warnings.append("The queue marks this order as expired.")
    if at_store in _CANCELLED_AT_STORE:
        standing, detail = Standing.CANCELLED, "Cancelled at the store; only the queue still lists it."
    elif status in _PAID:
        standing, detail = Standing.CANCELLABLE, "Waiting in the queue of this server."
    else:
        standing, detail = Standing.UNCLEAR, "In the queue, in a state that this bot does not know."
    return OrderState(
        standing,
        status=status,
        detail=detail,
        known_as=clean_text(_text(item, "order_id"), limit=60, secrets=secrets),
        facts=_card(item, status, at_store, secrets),
        warnings=tuple(warnings),
    )


def _card(item: Item, status: str, at_store: str, secrets: Secrets) -> tuple[tuple[str, str], ...]:
    rows = (
        ("Domains", _names(item.get("domains"), secrets)),
        ("Paid", _PAID.get(status, "")),
        ("At the store", at_store),
        ("Product ID", clean_text(_text(item, "product_id"), limit=60, secrets=secrets)),
        ("Order ID", clean_text(_text(item, "order_id"), limit=60, secrets=secrets)),
        ("Ordered", _day(_text(item, "created_time"))),
    )
    return tuple((label, value) for label, value in rows if value)


def read_certificate(answer: Answer, *, hint: str = "", secrets: Secrets = ()) -> OrderState:
    """What the store knows about an order that the queue does not list.

    https://api.docs.cpanel.net/specifications/cpanel.openapi/ssl-certificates/market-get_ssl_certificate_if_available
    """
    blocked = _blocked(answer, secrets)
    data = (_envelope(answer) or {}).get("data")
    if blocked or not isinstance(data, dict) or not _says_if_issued(data):
        return OrderState(
            Standing.UNREADABLE, detail=blocked or "cPanel's word on the certificate is unreadable."
        )
    status = clean_text(data.get("status_code"), limit=60, secrets=secrets)
    if data["certificate_pem"]:
        return OrderState(Standing.NOT_CANCELLABLE, "issued", "Too late: the certificate has been issued.")
    if status in _CANCELLED_AT_STORE:
        return OrderState(Standing.CANCELLED, status, "Cancelled at the store.")
    # Inferred: gone from the queue looks the same as never having been in it.
    detail = (
        hint or "Not in the queue of this server: already cancelled here, or never ordered by this account."
    )
    return OrderState(Standing.NOT_FOUND, status, detail)


def _says_if_issued(data: Item) -> bool:
    """A missing key is not the documented null: it does not prove that no certificate was issued."""
    return "certificate_pem" in data and isinstance(data["certificate_pem"], str | None)


def mix_up(pending: Answer, reference: str, secrets: Secrets = ()) -> str:
    """A sentence for people who gave the parent order's ID."""
    for item in _items(_envelope(pending) or {}) or ():
        if _text(item, "order_id") == reference:
            right = clean_text(_text(item, "order_item_id"), limit=60, secrets=secrets)
            return f"This is an order ID; the cancel needs the order item ID, here {right}."
    return ""


def read_follow_up(now: OrderState, attempt: Attempt) -> Outcome:
    """The queue is read live, so what it lists now is newer than a finished cancel."""
    match now.standing:
        case Standing.CANCELLABLE:
            return Outcome(Result.NO_EFFECT, "Still waiting in the queue.", "in_queue", settled=True)
        case Standing.CANCELLED:
            return Outcome(Result.CANCELLED, now.detail, "cancelled_at_store", settled=True)
        case Standing.NOT_CANCELLABLE:
            return Outcome(Result.REFUSED, now.detail, "issued", settled=True)
        case Standing.NOT_FOUND if attempt.before.standing is Standing.CANCELLABLE:
            # Inferred, not documented: with no certificate there is no other known way out of the queue.
            said = "It was in the queue before the cancel, is not now, and no certificate was issued."
            return Outcome(Result.CANCELLED, said, "left_queue", settled=True)
        case _:
            return Outcome(Result.UNKNOWN, now.detail, now.standing.value)


def read_stores(answer: Answer, store: str, secrets: Secrets = ()) -> Credentials:
    blocked = _blocked(answer, secrets)
    if blocked:
        return Credentials(False if _says_no(answer) else None, blocked)
    items = _items(_envelope(answer) or {})
    if items is None:
        return Credentials(None, "cPanel's list of stores could not be read.")
    if not any(_text(item, "name") == store for item in items):
        detail = f"The token works, but this server has no store {store}. Check CPANEL_MARKET_PROVIDER."
        return Credentials(False, detail)
    return Credentials(True, f"The token works and the store {store} exists.")


_NOT_LET_IN = (
    "cPanel did not let us in: check CPANEL_USERNAME and CPANEL_API_TOKEN, and if the token expired."
)


def _blocked(answer: Answer, secrets: Secrets) -> str | None:
    """Why this answer says nothing about an order, or None for a UAPI success."""
    if answer.status in {401, 403}:
        return _NOT_LET_IN
    if answer.status == 429:
        return "cPanel says that there were too many calls. Try again later."
    if answer.status != 200:
        return f"cPanel answered with HTTP status {answer.status}."
    envelope = _envelope(answer)
    if envelope is None:
        return "cPanel did not answer in its API's form; perhaps with a login or maintenance page."
    return _no(envelope, secrets) if str(envelope["status"]) == "0" else None


def _says_no(answer: Answer) -> bool:
    """A refusal that somebody has to fix, other than trouble that may pass."""
    return answer.status in {401, 403} or _envelope(answer) is not None


def _no(envelope: Item, secrets: Secrets) -> str:
    said = _texts(envelope, "errors", secrets)
    if re.search("market|tls_wizard", said):
        # The public server code asks for `market` to cancel and for both to look up.
        return (
            f"cPanel says: {said} Look-ups need the features market and tls_wizard, the cancel needs market."
        )
    return f"cPanel says: {said}" if said else "cPanel refused without giving a reason."


def _envelope(answer: Answer) -> Item | None:
    """UAPI over HTTP is flat; the reference pages show the same inside `result`. Both are read."""
    body = answer.json_or_none() if answer.status == 200 else None
    inner = body.get("result", body) if isinstance(body, dict) else None
    return inner if isinstance(inner, dict) and str(inner.get("status")) in {"0", "1"} else None


def _items(envelope: Item) -> list[Item] | None:
    """The list in `data`, or None if it is not a list of objects from end to end."""
    data = envelope.get("data")
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        return None
    return data


def _is(item: Item, reference: str, store: str) -> bool:
    return _text(item, "order_item_id") == reference and _text(item, "provider") == store


def _text(item: Item, key: str) -> str:
    """Numbers come as numbers or as strings, depending on the version."""
    value = item.get(key)
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _texts(envelope: Item, key: str, secrets: Secrets) -> str:
    value = envelope.get(key)
    texts = value if isinstance(value, list) else [value]
    return clean_text(" ".join(clean_text(text, secrets=secrets) for text in texts[:5]), secrets=secrets)


def _names(value: object, secrets: Secrets) -> str:
    names = (
        [clean_text(name, limit=100, secrets=secrets) for name in value] if isinstance(value, list) else []
    )
    more = f" and {len(names) - _SHOWN_DOMAINS} more" if len(names) > _SHOWN_DOMAINS else ""
    return ", ".join(name for name in names[:_SHOWN_DOMAINS] if name) + more


def _day(seconds: str) -> str:
    if not re.fullmatch(r"[0-9]{1,10}", seconds):
        return ""
    return datetime.fromtimestamp(int(seconds), UTC).date().isoformat()
