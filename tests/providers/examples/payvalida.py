"""Payvalida. Pages: https://docs.payvalida.com/api-recaudo/api-recaudo-en/messages/excepciones and those
named in `providers/payvalida.py`. They show failures as codes only: which HTTP status comes with
one, what an unknown order gets and what happens the second time is not said."""

from __future__ import annotations

from typing import Any

from providers.contract import Result, Standing
from providers.http import Answer, NoAnswer
from providers.payvalida import NO_SUCH_ORDER, Payvalida
from tests.providers.examples.exchange import (
    NOT_SENT,
    TOO_LATE,
    Example,
    Examples,
    says_json,
    says_text,
)

ORDER, SEEN = "test11031", "prue303459"
FINAL = "Order is not registered or are APPROVED, EXPIRED or CANCELLED"
DELETED = {"Reference": "10522318", "Amount": "2589.0", "Operation": "DELETED", "PVOrderID": "1934631"}
NEVER_PAID = {"NOTIFICATION_RESPONSE": "", "UDPATE_DATE": "2022-02-07 10:46:00", "PAYMNENT_METHOD": ""}
PAID = {
    "NOTIFICATION_RESPONSE": "Error al procesar los datos",
    "UDPATE_DATE": "2022-02-07 10:48:21",
    "PAYMNENT_METHOD": "PSE",
    "TRANSACTION": {},
    "ADITIONAL_INFO": {"CUS": "2539443"},
}


def path(order: str) -> str:
    return f"/api/v3/porders/{order}"


def failure(code: object, words: str, status: int = 200) -> Answer:
    return says_json({"CODE": code, "DESC": words}, status)


def ok(data: dict[str, Any] | None) -> Answer:
    return says_json({"CODE": "0000", "DESC": "OK"} | ({} if data is None else {"DATA": data}))


def shown_as(state: str, how: dict[str, Any]) -> Answer:
    return ok(
        {
            "CURRENCY": "COP",
            "CREATION_DATE": "2022-02-07 10:45:57",
            "STATE": state,
            "EMAIL": "someone@example.com",
            "LIFE_TIME": "445h",
            "ORDER": SEEN,
            "CODE": 2202776,
            "AMOUNT": "120.00",
            "DESCRIPTION": "prueb040",
            "REFERENCE": "80011572",
            "checkout": "sandbox-checkout.payvalida.com?token=tokencheckout",
        }
        | how
    )


def cancel(
    name: str, answer: Answer | NoAnswer, reads: Result, says: str, *, shown: bool = True, order: str = ORDER
) -> Example:
    return Example(f"cancel: {name}", "cancel", order, path(order), answer, reads, says, shown=shown)


def look_up(
    name: str, answer: Answer, reads: Standing, says: str, *, shown: bool = True, order: str = SEEN
) -> Example:
    return Example(f"look-up: {name}", "look_up", order, path(order), answer, reads, says, shown=shown)


def check(name: str, answer: Answer, reads: bool | None, says: str) -> Example:
    """The pages know no call for this, so what comes back is inferred."""
    order = NO_SUCH_ORDER
    return Example(f"check: {name}", "check", order, path(order), answer, reads, says, shown=False)


BAD_SUM = failure("0025", "The checksum is not valid")
NO_MERCHANT = failure("0018", "Merchant not register on Payvalida")
TROUBLE = failure("0009", "Processing error")
FOUR = failure("0041", FINAL)

CANCELS = (
    cancel(
        "deleted, first example",
        ok(
            {
                "Reference": "3102292330",
                "Amount": "0.0",
                "Operation": "DELETED",
                "OrderID": "1496953766724_6",
                "PVOrderID": "95585",
            }
        ),
        Result.CANCELLED,
        "deleted",
        order="1496953766724_6",
    ),
    cancel("deleted, second example", ok(DELETED | {"OrderID": ORDER}), Result.CANCELLED, "deleted"),
    cancel(
        "deleted, with the Spanish keys",
        ok(
            {
                "Referencia": "10522318",
                "Amount": "2589.0",
                "Operation": "DELETED",
                "OrdenID": ORDER,
                "PVordenID": "1934631",
            }
        ),
        Result.CANCELLED,
        "deleted",
        shown=False,
    ),
    cancel(
        "another order deleted",
        ok(
            {
                "Reference": "1",
                "Amount": "0.0",
                "Operation": "DELETED",
                "OrderID": "test11032",
                "PVOrderID": "2",
            }
        ),
        Result.UNKNOWN,
        "another order",
        shown=False,
    ),
    cancel("OK and nothing else", ok(None), Result.UNKNOWN, "without naming", shown=False),
    # One code for four situations: a look-up tells them apart.
    cancel("unknown, paid, expired or cancelled", FOUR, Result.UNKNOWN, "it does not say which"),
    cancel("the second time", FOUR, Result.UNKNOWN, "it does not say which", shown=False),
    cancel("the code as a number", failure(41, FINAL), Result.UNKNOWN, "it does not say which", shown=False),
    cancel("wrong checksum", BAD_SUM, Result.REFUSED, "PAYVALIDA_FIXED_HASH"),
    cancel(
        "wrong checksum, 400",
        failure("0025", "The checksum is not valid", 400),
        Result.REFUSED,
        "PAYVALIDA_FIXED_HASH",
        shown=False,
    ),
    cancel(
        "wrong merchant", failure("0017", "MerchantID is not valid"), Result.REFUSED, "PAYVALIDA_MERCHANT"
    ),
    cancel("unknown merchant", NO_MERCHANT, Result.REFUSED, "PAYVALIDA_BASE_URL"),
    cancel("not allowed", failure("0019", "Not authorized merchant"), Result.REFUSED, "Ask Payvalida"),
    cancel("wrong content", failure("0011", "Error in the content"), Result.REFUSED, "error in Countersign"),
    cancel("trouble", TROUBLE, Result.UNKNOWN, "had trouble"),
    cancel(
        "an invitation to try again",
        failure("0028", "An error ocurred on transaction. Try again in a few minutes"),
        Result.UNKNOWN,
        "had trouble",
    ),
    cancel(
        "a code unheard of", failure("9999", "Something new"), Result.UNKNOWN, "Something new", shown=False
    ),
    cancel(
        "403 page",
        says_text(
            "<!DOCTYPE html><html><head><title>Attention Required!</title></head><body></body></html>", 403
        ),
        Result.UNKNOWN,
        "in front of Payvalida",
        shown=False,
    ),
    cancel("429", says_text("Too Many Requests", 429), Result.UNKNOWN, "fewer requests", shown=False),
    cancel(
        "500 page",
        says_text("<html><body>Internal Server Error</body></html>", 500),
        Result.UNKNOWN,
        "500",
        shown=False,
    ),
    cancel("no connection", NOT_SENT, Result.NO_EFFECT, "Nothing was sent", shown=False),
    cancel("no answer", TOO_LATE, Result.UNKNOWN, "in time", shown=False),
)

LOOK_UPS = (
    look_up("pending", shown_as("PENDIENTE", NEVER_PAID), Standing.CANCELLABLE, "Waiting for payment"),
    look_up("cancelled", shown_as("CANCELADA", NEVER_PAID), Standing.CANCELLED, "cancelled"),
    look_up("paid", shown_as("APROBADA", PAID), Standing.NOT_CANCELLABLE, "paid"),
    look_up("expired", shown_as("VENCIDA", NEVER_PAID), Standing.NOT_CANCELLABLE, "expired"),
    look_up("refunded", shown_as("ANULADA", NEVER_PAID), Standing.NOT_CANCELLABLE, "refunded"),
    look_up(
        "a state unheard of", shown_as("EN_REVISION", PAID), Standing.UNCLEAR, "does not know", shown=False
    ),
    look_up(
        "another order",
        shown_as("APROBADA", PAID),
        Standing.UNCLEAR,
        "another order",
        shown=False,
        order="prue303460",
    ),
    look_up("no such order", FOUR, Standing.NOT_FOUND, "no order", shown=False, order="nosuchorder"),
    look_up("wrong checksum", BAD_SUM, Standing.UNREADABLE, "PAYVALIDA_FIXED_HASH"),
    look_up("500", says_text("Internal Server Error", 500), Standing.UNREADABLE, "500", shown=False),
)

CHECKS = (
    check("no such order, so all is well", FOUR, True, "accepted"),
    check("wrong checksum", BAD_SUM, False, "PAYVALIDA_FIXED_HASH"),
    check("unknown merchant", NO_MERCHANT, False, "PAYVALIDA_MERCHANT"),
    check("trouble", TROUBLE, None, "0009"),
)

PAYVALIDA = Examples(
    lambda http: Payvalida(http, "kuanto", "s3cr3t-hash"), {}, (*CANCELS, *LOOK_UPS, *CHECKS)
)
