"""A pretend Payvalida: one merchant's purchase orders, guarded by a checksum each."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from sandbox.vendors.vendor import Call, Kind, Refusal, Vendor

PATH = re.compile(r"/api/v3/porders/([^/]+)")
FINAL = "Order is not registered or are APPROVED, EXPIRED or CANCELLED"


@dataclass(slots=True)
class PurchaseOrder:
    """An order that a customer may still pay, or no longer."""

    reference: str
    state: str = "PENDIENTE"
    amount: str = "120.00"
    description: str = "Two cinema tickets"
    method: str = ""
    created: str = "2026-02-07 10:45:57"
    number: int = 95585


class PayvalidaVendor(Vendor[PurchaseOrder]):
    """Checks the checksum over the raw order number, and answers with result codes over HTTP 200."""

    name = "payvalida"
    label = "Payvalida"
    merchant = "kuanto"
    fixed_hash = "pretend-fixed-hash-5c1d"

    def __init__(self) -> None:
        super().__init__()
        self.samples = {
            "cancellable": self._put("1496953766724_6"),
            "another": self._put("test11031", amount="2589.00", description="Concert ticket, row 4"),
            "third": self._put("prue303459", description="Theatre box for four"),
            "fourth": self._put("shop-2026-000117", amount="75.50", description="Gift card"),
            "cancelled": self._put("test11030", "CANCELADA"),
            "too_late": self._put("test11029", "APROBADA", method="PSE"),
            "expired": self._put("test11028", "VENCIDA"),
            "refunded": self._put("test11027", "ANULADA", method="PSE"),
            "strange": self._put("test11026", "EN_REVISION"),
        }
        self.unknown = "nosuchorder"

    def recognise(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],  # noqa: ARG002
        body: bytes,  # noqa: ARG002
    ) -> tuple[Kind, str | None]:
        found = PATH.fullmatch(path)
        return ("cancel" if found and method == "DELETE" else "read"), found[1] if found else None

    def handle(self, call: Call) -> web.Response:
        order = self.orders.get(self._allowed(call))
        if call.method == "GET":
            return self._shown(order) if order else _failure("0041", FINAL)
        if order is None or order.state != "PENDIENTE":
            return _failure("0041", FINAL)
        order.state = "CANCELADA"
        self.took_effect(order.reference)
        return _deleted(order.reference, order.number)

    def about_another(self, call: Call) -> web.Response:
        other = PurchaseOrder("somebody-elses-order")
        return _deleted(other.reference, other.number) if call.kind == "cancel" else self._shown(other)

    def rejection(self, call: Call) -> web.Response:  # noqa: ARG002
        return _failure("0019", "Not authorized merchant")

    def credentials(self) -> dict[str, str]:
        return {"PAYVALIDA_MERCHANT": self.merchant, "PAYVALIDA_FIXED_HASH": self.fixed_hash}

    def is_cancelled(self, reference: str) -> bool:
        return self.state_of(reference) == "CANCELADA"

    def new_order(self) -> str:
        return self.add_order(PurchaseOrder(f"new-order-{len(self.orders) + 1}"))

    def checksum(self, order: str) -> str:
        """As the documentation describes it; on purpose not the bot's own function."""
        text = order.encode() + self.merchant.encode() + self.fixed_hash.encode()
        return hashlib.sha512(text).hexdigest().upper()

    def _allowed(self, call: Call) -> str:
        if call.order is None or call.method not in {"GET", "DELETE"}:
            raise Refusal(
                "no such call", web.Response(status=404, text="<h1>404</h1>", content_type="text/html")
            )
        if "cookie" in call.headers or call.body:
            raise Refusal("cookie or body sent", _failure("0011", "Error in the content"))
        if call.query.get("merchant") != self.merchant:
            raise Refusal("unknown merchant", _failure("0018", "Merchant not register on Payvalida"))
        # Capital and small digits are both in use among clients, so both are taken.
        if call.query.get("checksum", "").upper() != self.checksum(call.order):
            raise Refusal("wrong checksum", _failure("0025", "The checksum is not valid"))
        return call.order

    def _put(self, reference: str, state: str = "PENDIENTE", **details: str) -> str:
        number = 95585 + len(self.orders)
        return self.add_order(PurchaseOrder(reference, state, number=number, **details))

    def _shown(self, order: PurchaseOrder) -> web.Response:
        data = {
            "CURRENCY": "COP",
            "NOTIFICATION_RESPONSE": "",
            "UDPATE_DATE": order.created,
            "CREATION_DATE": order.created,
            "STATE": order.state,
            "PAYMNENT_METHOD": order.method,
            "EMAIL": "payer@example.com",
            "LIFE_TIME": "445h",
            "ORDER": order.reference,
            "CODE": order.number,
            "AMOUNT": order.amount,
            "DESCRIPTION": order.description,
            "REFERENCE": "80011572",
            "checkout": "sandbox-checkout.payvalida.com?token=pretend-checkout-token",
        }
        return web.json_response({"CODE": "0000", "DESC": "OK", "DATA": data})


def _deleted(reference: str, number: int) -> web.Response:
    data = {
        "Reference": "3102292330",
        "Amount": "0.0",
        "Operation": "DELETED",
        "OrderID": reference,
        "PVOrderID": str(number),
    }
    return web.json_response({"CODE": "0000", "DATA": data, "DESC": "OK"})


def _failure(code: str, words: str) -> web.Response:
    return web.json_response({"CODE": code, "DESC": words})
