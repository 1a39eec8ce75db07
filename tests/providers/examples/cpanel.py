"""cPanel. Shapes: https://api.docs.cpanel.net/openapi/cpanel/operation/Market-get_providers_list and
the pages named in `providers/cpanel.py`. Nothing is shown there of a wrong token, a missing
parameter, a limit, or of a cancel that fails or comes second."""

from __future__ import annotations

from providers.contract import Result, Standing
from providers.cpanel import CPanel
from providers.http import Answer, NoAnswer
from tests.providers.examples.exchange import (
    NOT_SENT,
    TOO_LATE,
    Example,
    Examples,
    says_json,
    says_text,
)

ID, STORE = "10427508", "cPStore"
CANCEL = "/execute/Market/cancel_pending_ssl_certificate"
QUEUE = "/execute/Market/get_pending_ssl_certificates"
CERTIFICATE = "/execute/Market/get_ssl_certificate_if_available"
STORES = "/execute/Market/get_providers_list"
Outer = dict[str, object]


def entry(**changes: object) -> dict[str, object]:
    return {
        "created_time": 1458061262,
        "csr": "-----BEGIN CERTIFICATE REQUEST-----",
        "domains": ["example1.com", "example2.com"],
        "expired": 0,
        "first_poll_time": 1458061262,
        "last_poll_time": 1458061262,
        "last_status_code": "RequiresApproval",
        "order_id": "1392472",
        "order_item_id": ID,
        "product_id": "143",
        "provider": STORE,
        "status": "confirmed",
        "support_uri": "http://support.example.com/",
        "vhost_names": ["abcde.com"],
    } | changes


def flat(data: object, **changes: object) -> dict[str, object]:
    """The envelope over HTTP."""
    usual: dict[str, object] = {"data": data, "status": 1, "errors": None, "messages": None}
    return usual | {"metadata": {"transformed": 1}, "warnings": None} | changes


def in_result(function: str, inner: dict[str, object]) -> dict[str, object]:
    """The envelope of the reference pages."""
    return {"apiversion": 3, "func": function, "module": "Market", "result": inner}


def failed(words: str, data: object = None) -> Answer:
    return says_json(flat(data, status=0, errors=[words]))


def certificate(pem: str | None, code: str | None, words: str | None = None) -> Answer:
    about = {"certificate_pem": pem, "encrypted_action_urls": None}
    return says_json(flat(about | {"status_code": code, "status_message": words}))


def stores(*names: tuple[str, str]) -> Answer:
    return says_json(flat([{"name": name, "display_name": label} for name, label in names]))


def cancel(name: str, answer: Answer | NoAnswer, reads: Result, says: str, *, shown: bool = True) -> Example:
    return Example(f"cancel: {name}", "cancel", ID, CANCEL, answer, reads, says, shown=shown)


def queue(name: str, answer: Answer, reads: Standing, says: str, *, shown: bool = True) -> Example:
    return Example(f"queue: {name}", "look_up", ID, QUEUE, answer, reads, says, shown=shown)


def at_store(name: str, answer: Answer, reads: Standing, says: str, *, shown: bool = True) -> Example:
    return Example(f"store: {name}", "look_up", ID, CERTIFICATE, answer, reads, says, shown=shown)


def check(name: str, answer: Answer, reads: bool | None, says: str, *, shown: bool = True) -> Example:
    return Example(f"check: {name}", "check", ID, STORES, answer, reads, says, shown=shown)


LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Login</title></head><body>Invalid login.</body></html>"
DENIED = {"apiversion": "2", "error": "Access denied", "type": "text"}
POLLING = "The system failed to stop the polling job: example."
AS_NUMBERS = entry(order_item_id=10427508, order_id=1392472, product_id=143)
AS_TEXT = entry(
    created_time="1458061262", expired="0", first_poll_time="1458061262", last_poll_time="1458061262"
)
UNPAID = entry(
    status="unconfirmed", last_status_code=None, checkout_url="https://store.example.com/checkout/1"
)
OTHER = entry(
    domains=["other.example"],
    last_status_code=None,
    order_id="1392473",
    order_item_id="10427509",
    status="unconfirmed",
)
IN_PROGRESS = {
    "actionUrls": {},
    "domain_details": {"domain": "www.example.com", "status": "AWAITINGBRAND"},
    "status_details": {
        "brandValStatus": "in-progress",
        "certificateStatus": "in-progress",
        "csrStatus": "completed",
        "dcvStatus": "completed",
        "evClickThroughStatus": "in-progress",
        "freeDVUPStatus": "not applicable",
        "organizationValidationStatus": "not applicable",
        "ovCallbackStatus": "not applicable",
        "validationStatus": "in-progress",
    },
}
NOT_LISTED = f"The order item ID “{ID}” does not match any entries in the pending queue."

CANCELS = (
    cancel("removed, flat", says_json(flat([entry()])), Result.CANCELLED, "Removed"),
    cancel(
        "removed, in result",
        says_json(in_result("cancel_pending_ssl_certificate", flat([entry()]))),
        Result.CANCELLED,
        "Removed",
    ),
    cancel("IDs as numbers", says_json(flat([AS_NUMBERS])), Result.CANCELLED, "Removed", shown=False),
    cancel("times as text", says_json(flat([AS_TEXT])), Result.CANCELLED, "Removed"),
    cancel(
        "polling goes on",
        says_json(flat([entry()], messages=[POLLING])),
        Result.CANCELLED,
        "failed to stop",
        shown=False,
    ),
    cancel(
        "empty data: unknown, another store, or a second time",
        says_json(flat([])),
        Result.UNKNOWN,
        "did not name this order",
        shown=False,
    ),
    cancel(
        "another item whose parent order has our number",
        says_json(flat([entry(order_item_id="99999999", order_id=ID)])),
        Result.UNKNOWN,
        "did not name this order",
        shown=False,
    ),
    cancel(
        "not in the queue, in the form of a sibling call",
        failed(NOT_LISTED, {"error_type": "EntryDoesNotExist", "order_item_ids": [10427508]}),
        Result.UNKNOWN,
        "does not match any entries",
        shown=False,
    ),
    cancel(
        "no feature",
        failed("You do not have the feature “market”."),
        Result.REFUSED,
        "the cancel needs market",
        shown=False,
    ),
    cancel(
        "no parameter",
        failed("Provide the “order_item_id” argument."),
        Result.UNKNOWN,
        "order_item_id",
        shown=False,
    ),
    cancel("401 page", says_text(LOGIN_PAGE, 401), Result.REFUSED, "CPANEL_API_TOKEN", shown=False),
    cancel(
        "403 in a third envelope",
        says_json({"cpanelresult": DENIED | {"data": {"reason": "Access denied", "result": "0"}}}, 403),
        Result.REFUSED,
        "CPANEL_API_TOKEN",
        shown=False,
    ),
    cancel(
        "200 page",
        says_text("<!DOCTYPE html><html><body>Session expired</body></html>"),
        Result.UNKNOWN,
        "login or maintenance page",
        shown=False,
    ),
    cancel("429", says_text("Too Many Requests", 429), Result.UNKNOWN, "too many calls", shown=False),
    cancel(
        "500 page",
        says_text("<html><body><h1>Internal Server Error</h1></body></html>", 500),
        Result.UNKNOWN,
        "500",
        shown=False,
    ),
    cancel("no connection", NOT_SENT, Result.NO_EFFECT, "Nothing was sent", shown=False),
    cancel("no answer", TOO_LATE, Result.UNKNOWN, "in time", shown=False),
)

LOOK_UPS = (
    queue("listed", says_json(flat([entry(), OTHER])), Standing.CANCELLABLE, "Paid order"),
    queue(
        "listed, in result",
        says_json(in_result("get_pending_ssl_certificates", flat([entry()]))),
        Standing.CANCELLABLE,
        "Waiting",
    ),
    queue("unpaid", says_json(flat([UNPAID])), Standing.CANCELLABLE, "Waiting"),
    queue("empty", says_json(flat([])), Standing.NOT_FOUND, "Not in the queue", shown=False),
    queue(
        "no feature",
        failed("You do not have the feature “tls_wizard”."),
        Standing.UNREADABLE,
        "tls_wizard",
        shown=False,
    ),
    at_store("issued", certificate("-----BEGIN CERTIFICATE-----", None), Standing.NOT_CANCELLABLE, "late"),
    at_store(
        "cancelled",
        certificate(None, "OrderCanceled", "The order was canceled."),
        Standing.CANCELLED,
        "at the store",
    ),
    at_store(
        "waiting",
        certificate(None, "RequiresApproval", "The certificate requires approval."),
        Standing.NOT_FOUND,
        "Not in the queue",
    ),
    at_store(
        "unknown",
        certificate(None, "CertificateNotFound", "The certificate was not found."),
        Standing.NOT_FOUND,
        "Not in the queue",
    ),
    at_store(
        "what a call of another name says",
        says_json(
            in_result(
                "get_certificate_status_details",
                flat(IN_PROGRESS, messages=["Certificate request is still being processed."]),
            )
        ),
        Standing.UNREADABLE,
        "unreadable",
    ),
)

CHECKS = (
    check("our store", stores(("cPStore", "cPanel Store")), True, "store cPStore"),
    check("another store", stores(("OtherStore", "Other Store")), False, "MARKET_PROVIDER", shown=False),
    check("wrong token", says_text(LOGIN_PAGE, 401), False, "CPANEL_API_TOKEN", shown=False),
)

CPANEL = Examples(
    lambda http: CPanel(http, "shopowner", "T0KENT0KEN", STORE),
    {QUEUE: says_json(flat([])), CERTIFICATE: certificate(None, "CertificateNotFound")},
    (*CANCELS, *LOOK_UPS, *CHECKS),
)
