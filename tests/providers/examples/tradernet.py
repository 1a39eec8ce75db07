"""Tradernet. Pages: https://freedom24.com/tradernet-api/orders-delete and those named in
`providers/tradernet.py`; refusals and limits as the vendor's own client libraries know them. What an
unknown, a filled or a cancelled order gets is not said."""

from __future__ import annotations

from typing import Any

from providers.contract import Result, Standing
from providers.http import Answer, NoAnswer
from providers.tradernet import Tradernet
from tests.providers.examples.exchange import (
    NOT_SENT,
    TOO_LATE,
    Example,
    Examples,
    says_json,
    says_text,
)

ID = "2929292929"
CANCEL, CURRENT, HISTORY = "/api/delTradeOrder", "/api/getNotifyOrderJson", "/api/getOrdersHistory"
BUSY = "Your request limit has been exceeded. Please try again later"
DESK = "This order may only be cancelled by a Cancellation Order or through traders"


def row(stat: object, **changes: object) -> dict[str, Any]:
    """An order as the lists show it; the last fields are about people and must not be shown."""
    return {
        "id": 2929292929,
        "order_id": 2929292929,
        "date": "2026-08-19T14:30:00.000",
        "stat": stat,
        "stat_orig": stat,
        "stat_d": "2026-08-19T14:30:00.100",
        "instr": "AAPL.US",
        "oper": 1,
        "type": 2,
        "cur": "USD",
        "p": 190.5,
        "stop": 0,
        "stop_init_price": 0,
        "stop_activated": 0,
        "q": 5,
        "leaves_qty": 5,
        "aon": 0,
        "exp": 3,
        "rep": 0,
        "name": "Apple",
        "name2": "Apple",
        "stat_prev": 1,
        "trailing": 0,
        "trailing_price": 0,
        "instr_type": 1,
        "curr_q": 2,
        "mkt_id": 30000000001,
        "order_nb": "123456789",
        "condition": "",
        "text": "",
        "owner_login": "ignored-user",
        "creator_login": "ignored-user",
    } | changes


def listed(order: object) -> Answer:
    return says_json({"result": {"orders": {"key": "%ignored-user", "order": order}}})


def cancel(name: str, answer: Answer | NoAnswer, reads: Result, says: str, *, shown: bool = True) -> Example:
    return Example(f"cancel: {name}", "cancel", ID, CANCEL, answer, reads, says, shown=shown)


def look_up(
    name: str, answer: Answer, reads: Standing, says: str = "in the market", *, shown: bool = True
) -> Example:
    return Example(f"look-up: {name}", "look_up", ID, CURRENT, answer, reads, says, shown=shown)


def stat(
    number: object, reads: Standing, says: str = "in the market", *, shown: bool = True, **changes: object
) -> Example:
    return look_up(f"stat {number}", listed([row(number, **changes)]), reads, says, shown=shown)


def history(name: str, answer: Answer, reads: Standing, says: str, order: str = ID) -> Example:
    return Example(f"history: {name}", "look_up", order, HISTORY, answer, reads, says)


def check(name: str, answer: Answer, reads: bool | None, says: str) -> Example:
    return Example(f"check: {name}", "check", ID, CURRENT, answer, reads, says)


def trade(quantity: int) -> list[dict[str, object]]:
    return [{"id": 987654321, "q": quantity, "p": "190.40"}]


ACCEPTED = says_json({"order_id": 2929292929})
BAD_KEY = says_json({"error": "Invalid api key provided", "code": None}, 403)
LIMIT = {"error": BUSY, "errMsg": BUSY, "code": 429}
NO_ORDERS = says_json({"result": {"orders": {"key": "%ignored-user"}}})
NOT_FOUND = says_json({"error": "Order not found", "code": 0})
SECOND = row(10, id=2929292930, order_id=2929292930, instr="TSLA.US")
WITHOUT_ORDER_ID = {key: value for key, value in row(10).items() if key != "order_id"}
EXECUTED_TRADE = {
    "id": 987654321,
    "p": "190.40",
    "q": 5,
    "v": 952,
    "date": "2026-01-15T14:30:00.250",
    "profit": 0,
    "acd": 0,
    "fv": "100.00000000",
    "go_sum": 0,
    "trade_d_exch": "2026-01-15T07:30:00.250",
    "pay_d": "2026-01-16T00:00:00",
    "before_q": 10,
    "after_q": 15,
    "details": '{"account":"ignored","trader_id":"ignored"}',
}
EXECUTED = row(
    21,
    date="2026-01-15T14:30:00.000",
    stat_d="2026-01-15T14:30:00.500",
    stat_prev=10,
    leaves_qty=0,
    curr_q=10,
    order_nb="987654321",
    login="ignored@example.invalid",
    auth_login="ignored@example.invalid",
    temp_order_id="%IGNORED:AAPL.US:123456789",
    trade=[EXECUTED_TRADE],
)
ARCHIVED = {"id": 1111222222112, "stat": 31, "stat_prev": 2, "instr": "AAPL.US", "q": 10, "leaves_qty": 10}

CANCELS = (
    cancel("taken", ACCEPTED, Result.ACCEPTED, "not cancelled yet"),
    cancel("taken, at another host", ACCEPTED, Result.ACCEPTED, "not cancelled yet"),
    cancel(
        "taken, as the older form of the call is answered", ACCEPTED, Result.ACCEPTED, "not cancelled yet"
    ),
    cancel(
        "taken, with errors that are none",
        says_json({"order_id": 2929292929, "error": False, "errMsg": ""}),
        Result.ACCEPTED,
        "not cancelled yet",
    ),
    cancel(
        "taken, the ID as text",
        says_json({"order_id": ID}),
        Result.ACCEPTED,
        "not cancelled yet",
        shown=False,
    ),
    cancel("another order", says_json({"order_id": 1}), Result.UNKNOWN, "another order", shown=False),
    cancel("an empty object", says_json({}), Result.UNKNOWN, "without naming", shown=False),
    cancel(
        "code 0 with an error",
        says_json({"error": "Type of security not identified. Please contact Support.", "code": 0}),
        Result.UNKNOWN,
        "Type of security",
    ),
    cancel("no such order", NOT_FOUND, Result.UNKNOWN, "Order not found", shown=False),
    cancel("cancelled before", NOT_FOUND, Result.UNKNOWN, "Order not found", shown=False),
    cancel(
        "another spelling of the error",
        says_json({"errMsg": "fail", "code": 1}),
        Result.UNKNOWN,
        "fail",
    ),
    cancel("failed inside", says_json({"error": "Exec wrong", "code": 18}), Result.UNKNOWN, "Exec wrong"),
    cancel(
        "for the desk only",
        says_json({"code": 12, "errorMsg": DESK, "error": DESK}),
        Result.REFUSED,
        "dealing desk",
    ),
    cancel(
        "no such method",
        says_json({"errMsg": "Unsupported query method", "code": 2}),
        Result.REFUSED,
        "TRADERNET_BASE_URL",
    ),
    cancel("bad JSON", says_json({"errMsg": "Bad json", "code": 2}), Result.REFUSED, "Bad json"),
    cancel("wrong key", BAD_KEY, Result.REFUSED, "TRADERNET_PUBLIC_KEY"),
    cancel(
        "wrong signature",
        says_json({"error": "Invalid signature", "code": None}, 403),
        Result.REFUSED,
        "TRADERNET_PRIVATE_KEY",
        shown=False,
    ),
    cancel(
        "no session",
        says_json({"error": "you need to open a security session", "code": None}, 403),
        Result.REFUSED,
        "security session",
    ),
    cancel(
        "access denied",
        says_json({"error": "Access denied", "code": None}, 401),
        Result.REFUSED,
        "TRADERNET_PUBLIC_KEY",
    ),
    cancel(
        "403 page",
        says_text("<!DOCTYPE html><html><head><title>Just a moment...</title></head></html>", 403),
        Result.UNKNOWN,
        "not about the key",
    ),
    cancel("limit, 429", says_json(LIMIT, 429, retry_after="30"), Result.UNKNOWN, "fewer requests"),
    cancel("limit, 429 and empty", says_text("", 429, retry_after="3"), Result.UNKNOWN, "fewer requests"),
    cancel("limit, 200", says_json(LIMIT), Result.UNKNOWN, "fewer requests"),
    cancel("502 page", says_text("<h1>502 Bad Gateway</h1>", 502), Result.UNKNOWN, "502"),
    cancel(
        "200 page", says_text("<!DOCTYPE html><html></html>"), Result.UNKNOWN, "no usable answer", shown=False
    ),
    cancel("no connection", NOT_SENT, Result.NO_EFFECT, "Nothing was sent", shown=False),
    cancel("no answer", TOO_LATE, Result.UNKNOWN, "in time", shown=False),
)

LOOK_UPS = (
    look_up("two orders", listed([row(10), SECOND]), Standing.CANCELLABLE),
    look_up("a list at the root", says_json([row(10)]), Standing.CANCELLABLE),
    look_up("one order that is no list", listed(row(10)), Standing.CANCELLABLE, shown=False),
    look_up("by ID alone", listed([WITHOUT_ORDER_ID]), Standing.CANCELLABLE),
    look_up(
        "numbers as text",
        listed([row("10", id=ID, order_id=ID, oper="1", type="2", p="190.50", leaves_qty="5", q="5")]),
        Standing.CANCELLABLE,
    ),
    look_up(
        "our number as that of the client and of the exchange",
        listed([row(10, id=777, order_id=777, order_nb=ID, user_order_id=2929292929)]),
        Standing.NOT_FOUND,
        "Not among",
        shown=False,
    ),
    look_up("no orders", NO_ORDERS, Standing.NOT_FOUND, "Not among"),
    look_up("wrong key", BAD_KEY, Standing.UNREADABLE, "TRADERNET_PUBLIC_KEY"),
    look_up("limit, 200", says_json(LIMIT), Standing.UNREADABLE, "fewer requests"),
    stat(1, Standing.CANCELLABLE),
    stat(11, Standing.CANCELLABLE),
    stat(12, Standing.CANCELLABLE, "3 of 5 were filled", leaves_qty=2, trade=trade(3)),
    stat(20, Standing.CANCELLABLE, "3 of 5 were filled", leaves_qty=2, trade=trade(3)),
    stat(2, Standing.NOT_CANCELLABLE, "under way", stat_prev=10),
    Example(
        "look-up: stat 2, a part of it filled",
        "look_up",
        "123456789",
        CURRENT,
        listed([row(2, id=123456789, order_id=123456789, leaves_qty=3)]),
        Standing.NOT_CANCELLABLE,
        "2 of 5 were filled",
    ),
    stat(21, Standing.NOT_CANCELLABLE, "executed first", leaves_qty=0, trade=trade(5)),
    stat(30, Standing.CANCELLED, "3 of 5 were filled", leaves_qty=2, stat_prev=20, trade=trade(3)),
    stat(31, Standing.CANCELLED, "is cancelled", stat_prev=2),
    stat(70, Standing.NOT_CANCELLABLE, "rejected"),
    stat(71, Standing.NOT_CANCELLABLE, "expired"),
    stat(74, Standing.NOT_CANCELLABLE, "never reached"),
    stat(75, Standing.UNCLEAR, "MAY STILL BE LIVE", stat_prev=2),
    stat(99, Standing.UNCLEAR, "does not know", shown=False),
    history(
        "cancelled",
        says_json({"orders": {"key": "USER", "order": [ARCHIVED]}}),
        Standing.CANCELLED,
        "is cancelled",
        "1111222222112",
    ),
    history("executed", says_json({"orders": {"order": [EXECUTED]}}), Standing.NOT_CANCELLABLE, "first"),
    history("empty", says_json({"orders": {"key": "USER", "order": None}}), Standing.NOT_FOUND, "Not among"),
)

CHECKS = (
    check("no orders, so all is well", NO_ORDERS, True, "accepted the key"),
    check("wrong key", BAD_KEY, False, "TRADERNET_PUBLIC_KEY"),
    check("limit, 200", says_json(LIMIT), None, "fewer requests"),
)

TRADERNET = Examples(
    lambda http: Tradernet(http, "PUBLIC_KEY", "PRIVATE_KEY", lambda: 1_700_000_000.0),
    {CURRENT: NO_ORDERS, HISTORY: says_json({"orders": {"order": None}})},
    (*CANCELS, *LOOK_UPS, *CHECKS),
)
