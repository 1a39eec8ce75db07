"""Servertastic. Fields: https://github.com/servertastic/servertastic-api (api2.md, as XML); that the JSON
is built alike is inferred, and of errors only the shape and the meaning of 4xx and 5xx are known."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from providers.contract import OrderState, Result, Standing
from providers.http import Answer, NoAnswer
from providers.servertastic import Servertastic
from tests.providers.examples.exchange import (
    NOT_SENT,
    TOO_LATE,
    Example,
    Examples,
    says_json,
    says_text,
)

TOKEN, NUMBER = "abc123456789", "STR_1_201611071123"
CANCEL, REVIEW = "/order/cancel.json", "/order/review.json"
TOKENS, ACCOUNT = "/order/showtokens.json", "/account/review.json"
NOW = datetime(2016, 11, 20, 12, 0, tzinfo=UTC)
PLACED = {"timestamp": "2016-11-07 11:23:00", "event_id": "1", "event_name": "Order Placed"}
ISSUED = {"timestamp": "2016-11-07 12:00:00", "event_id": "9", "event_name": "Completed"}
AT_CA: dict[str, Any] = {"provider_order_id": "1234567"}
QUEUED = OrderState(Standing.CANCELLABLE, "Queued", known_as=NUMBER)
COMPLETED = OrderState(Standing.CANCELLABLE, "Completed", known_as=NUMBER)
NOBODY = {"title": "", "first_name": "", "last_name": "", "phone": ""}


def error(code: object, message: str, status: int | None = None) -> Answer:
    mirrored = code if isinstance(code, int) else 200
    return says_json({"error": {"code": code, "message": message}}, status or mirrored)


def order(status: str, **changes: object) -> dict[str, object]:
    return {
        "success": "Review Order",
        "reseller_order_id": NUMBER,
        "provider_order_id": "",
        "st_product_code": "RapidSSL-12",
        "order_status": status,
        "order_state_further_info": "",
        "domain_name": "example.com",
        "san_count": "0",
        "invite_url": f"https://api2.servertastic.com/token/{TOKEN}",
        "end_customer_email": "customer@domain.com",
        "organisation_info": {
            "name": "",
            "division": "",
            "address": {"city": "", "region": "", "country": ""},
        },
        "approver_email_address": "admin@example.com",
        "admin_contact": NOBODY | {"email": "admin@example.com"},
        "tech_contact": NOBODY | {"email": ""},
        "modifications": {"modification": [PLACED]},
        "certificate": "",
        "expiry_date": "",
    } | changes


def cancel(
    name: str,
    answer: Answer | NoAnswer,
    reads: Result,
    says: str,
    *,
    before: OrderState = QUEUED,
    shown: bool = False,
    given: str = TOKEN,
) -> Example:
    return Example(f"cancel: {name}", "cancel", given, CANCEL, answer, reads, says, before, shown)


def review(
    name: str, answer: Answer, reads: Standing, says: str, *, shown: bool = True, given: str = TOKEN
) -> Example:
    return Example(f"review: {name}", "look_up", given, REVIEW, answer, reads, says, shown=shown)


def status(word: str, reads: Standing, says: str, *, shown: bool = True, **changes: object) -> Example:
    return review(word, says_json(order(word, **changes)), reads, says, shown=shown)


YES = says_json({"success": f"Order cancelled - {NUMBER}"})
XML_YES = f'<?xml version="1.0"?>\n<response>\n  <success>Order cancelled - {NUMBER}</success>\n</response>\n'
XML_NO = (
    '<?xml version="1.0"?>\n<response>\n  <error>\n    <code>403</code>\n'
    "    <message>Invalid order token</message>\n  </error>\n</response>\n"
)
NO_TOKEN = error(403, "Invalid order token")
NO_CANCEL = error(400, "Order cannot be cancelled")
WITHOUT_CERTIFICATE = {
    key: value
    for key, value in order(
        "Completed", certificate_list=[{"expiration_date": "2027-11-07 00:00:00"}]
    ).items()
    if key not in {"certificate", "expiry_date"}
}
TOKEN_LIST = says_json(
    {
        "success": "Order tokens",
        "unused_tokens": {"order_token": [{"token": "def123456789", "reseller_unique_reference": "ref124"}]},
        "used_tokens": {"order_token": [{"token": TOKEN, "reseller_unique_reference": "ref123"}]},
    }
)
AUDIT = {
    "Timestamp": "2016-11-08 09:00:00",
    "PointsAdjustment": "10",
    "NewPointsTotal": "130",
    "Description": "Cancelled Order",
    "OrderDate": "2016-11-07",
    "OrderReference": NUMBER,
    "OrderToken": TOKEN,
    "Notes": "",
}
ACTIVE = {
    "reseller_order_id": NUMBER,
    "order_status": "Queued",
    "order_date": "2016-11-07",
    "domain_name": "example.com",
    "order_points": "10",
    "expiry_date": "",
    "st_product_code": "RapidSSL-12",
}

CANCELS = (
    # The same words for an order that is gone and for an e-mail that went out: a review confirms.
    cancel("done", YES, Result.ACCEPTED, "has to confirm it", shown=True),
    cancel("done, at the older host", YES, Result.ACCEPTED, "has to confirm it", shown=True),
    cancel("done, at the host for tests", YES, Result.ACCEPTED, "has to confirm it", shown=True),
    cancel("an e-mail went out", YES, Result.ACCEPTED, "e-mail", before=COMPLETED),
    cancel(
        "an e-mail went out, in other words",
        says_json({"success": "Cancellation request submitted"}),
        Result.ACCEPTED,
        "e-mail",
        before=COMPLETED,
    ),
    cancel(
        "success and error at once",
        says_json({"success": "", "error": {"code": 500, "message": "Unexpected error"}}),
        Result.UNKNOWN,
        "Unexpected error",
    ),
    cancel("second time", error(400, "Order has already been cancelled"), Result.UNKNOWN, "already"),
    cancel("no, with status 200", error(400, "Order cannot be cancelled", 200), Result.REFUSED, "cannot be"),
    cancel("older than 30 days", NO_CANCEL, Result.REFUSED, "cannot be cancelled", before=COMPLETED),
    cancel("SmarterTools", error(400, "This order cannot be cancelled"), Result.REFUSED, "cannot be"),
    cancel("unknown token, 403", NO_TOKEN, Result.REFUSED, "not known", given="nosuchtoken"),
    cancel(
        "unknown token, 404",
        error(404, "Order not found"),
        Result.UNKNOWN,
        "Order not found",
        given="nosuchtoken",
    ),
    cancel("the code as text", error("403", "Invalid order token"), Result.REFUSED, "not known"),
    cancel("the reseller order ID", NO_TOKEN, Result.REFUSED, "not known", given=NUMBER),
    cancel("500", error(500, "Internal error"), Result.UNKNOWN, "500", shown=True),
    cancel("502 page", says_text("<html><body>Bad Gateway</body></html>", 502), Result.UNKNOWN, "502"),
    cancel(
        "points elsewhere",
        says_text("", 301, location="https://app.servertastic.com/login"),
        Result.UNKNOWN,
        "SERVERTASTIC_BASE_URL",
    ),
    cancel("XML that says yes", says_text(XML_YES), Result.UNKNOWN, "SERVERTASTIC_BASE_URL", shown=True),
    cancel("XML that says no", says_text(XML_NO, 403), Result.UNKNOWN, "BASE_URL", shown=True),
    cancel("429", says_text("Too Many Requests", 429), Result.UNKNOWN, "fewer requests"),
    cancel("no connection", NOT_SENT, Result.NO_EFFECT, "Nothing was sent"),
    cancel("no answer", TOO_LATE, Result.UNKNOWN, "in time"),
)

LOOK_UPS = (
    status(
        "Order Placed",
        Standing.CANCELLABLE,
        "Not configured",
        domain_name="",
        approver_email_address="",
    ),
    status("Awaiting Customer Verification", Standing.CANCELLABLE, "Not issued", **AT_CA),
    status("Awaiting Provider Approval", Standing.CANCELLABLE, "Not issued", **AT_CA),
    status("Queued", Standing.CANCELLABLE, "Not issued", **AT_CA),
    status(
        "Completed",
        Standing.CANCELLABLE,
        "approve by e-mail",
        modifications={"modification": [PLACED, ISSUED]},
        certificate="-----BEGIN CERTIFICATE-----\nMIID...\n-----END CERTIFICATE-----",
        expiry_date="2017-11-07",
        **AT_CA,
    ),
    status("Cancelled", Standing.CANCELLED, "is cancelled", **AT_CA),
    status("Roll Back", Standing.NOT_CANCELLABLE, "failed to be placed"),
    status("Servertastic Review", Standing.UNCLEAR, "review by hand"),
    status("Something New", Standing.UNCLEAR, "does not know", shown=False),
    review(
        "issued, in newer fields",
        says_json(WITHOUT_CERTIFICATE),
        Standing.CANCELLABLE,
        "issue date is not known",
        shown=False,
    ),
    review(
        "one event that is no list",
        says_json(order("Queued", modifications={"modification": PLACED})),
        Standing.CANCELLABLE,
        "Not issued",
        shown=False,
    ),
    review("unknown token", NO_TOKEN, Standing.NOT_FOUND, "no order by", shown=False, given="nosuchtoken"),
    review(
        "what a call of another name says",
        says_json({"success": "PointsAudit", "record": [AUDIT]}),
        Standing.UNCLEAR,
        "does not know",
    ),
    Example(
        "tokens: the reseller's own reference",
        "look_up",
        "ref123",
        TOKENS,
        TOKEN_LIST,
        Standing.CANCELLABLE,
        "Not issued",
    ),
)

CHECKS = (
    Example(
        "check: good key",
        "check",
        TOKEN,
        ACCOUNT,
        says_json(
            {
                "success": "Reseller Overview",
                "purchased_points": "120",
                "active_orders": {"active_order": [ACTIVE]},
                "completed_orders": {"completed_order": []},
            }
        ),
        True,
        "accepted",
    ),
    Example(
        "check: wrong key",
        "check",
        TOKEN,
        ACCOUNT,
        error(403, "Invalid API key"),
        False,
        "SERVERTASTIC_API_KEY",
        shown=False,
    ),
)

SERVERTASTIC = Examples(
    lambda http: Servertastic(http, "pr1v4te-k3y", NOW.timestamp),
    {
        TOKENS: says_json({"success": "Order tokens", "unused_tokens": "", "used_tokens": ""}),
        REVIEW: says_json(order("Queued")),
    },
    (*CANCELS, *LOOK_UPS, *CHECKS),
)
