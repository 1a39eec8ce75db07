"""A pretend DigiCert CertCentral.

Codes marked "invented" are not in the public list of errors; the adapter must not lean on them.
https://dev.digicert.com/en/certcentral-apis/services-api/errors.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from aiohttp import web

from sandbox.vendors.vendor import Call, Kind, Refusal, Vendor

_ORDER = re.compile(r"/order/certificate/([^/]+)")
_STATUS = re.compile(r"/order/certificate/([^/]+)/status")


@dataclass(slots=True)
class DigiCertOrder:
    reference: str
    state: str = "pending"
    """CertCentral's own word."""
    common_name: str = "shop.example"
    other_names: tuple[str, ...] = ("www.shop.example",)
    serial: str = ""
    """Of the issued certificate; the order can be read by it as well."""


class DigiCertVendor(Vendor[DigiCertOrder]):
    name: ClassVar[str] = "digicert"
    label: ClassVar[str] = "DigiCert"
    prefix: ClassVar[str] = "/services/v2"

    def __init__(self) -> None:
        super().__init__()
        self.key = "PRETEND4DIGICERT2KEY"
        self.view_only = False
        """The key may read and may change nothing."""
        self.role: tuple[int, str] = (1, "Administrator")
        self.accepted_status = "canceled"
        self.notes: dict[str, str] = {}
        """The note stored with each order."""
        self.unknown = "999999999"
        self._next = 123600
        self._fill()

    def _fill(self) -> None:
        orders = {
            "cancellable": DigiCertOrder("123456"),
            "another": DigiCertOrder("123457", common_name="blog.example", other_names=()),
            "cancellable_3": DigiCertOrder("123458", common_name="mail.example"),
            "cancellable_4": DigiCertOrder("123459", common_name="wiki.example"),
            "waiting_pickup": DigiCertOrder("123460", "waiting_pickup", "new.example"),
            "cancelled": DigiCertOrder("123470", "canceled", "old.example"),
            "too_late": DigiCertOrder("123471", "issued", "live.example", serial="70481923"),
            "reissue": DigiCertOrder("123472", "reissue_pending", "pay.example", serial="70481924"),
            "needs_approval": DigiCertOrder("123473", "needs_approval", "plan.example"),
            "rejected": DigiCertOrder("123474", "rejected", "no.example"),
            "unheard_of": DigiCertOrder("123475", "quantum_hold", "odd.example"),
        }
        self.orders = {order.reference: order for order in orders.values()}
        self.samples = {what: order.reference for what, order in orders.items()}
        self.samples["serial"] = orders["too_late"].serial

    def credentials(self) -> dict[str, str]:
        return {"DIGICERT_API_KEY": self.key, "DIGICERT_CANCEL_STATUS": self.accepted_status}

    def is_cancelled(self, reference: str) -> bool:
        return self.orders[reference].state == "canceled"

    def new_order(self) -> str:
        self._next += 1
        return self.add_order(DigiCertOrder(str(self._next), common_name=f"n{self._next}.example"))

    def recognise(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],  # noqa: ARG002  (the path alone tells)
        body: bytes,  # noqa: ARG002
    ) -> tuple[Kind, str | None]:
        if status := _STATUS.fullmatch(path):
            return "cancel" if method != "GET" else "read", status[1]
        order = _ORDER.fullmatch(path)
        return "read", order[1] if order else None

    def handle(self, call: Call) -> web.Response:
        if call.headers.get("x-dc-devkey") != self.key:
            raise _refusal(401, "invalid_api_key", "The API key is not valid.")  # invented
        if not call.headers.get("user-agent"):
            raise _refusal(400, "bad_request_format", "A user agent is required.")
        if call.query:
            raise _refusal(400, "invalid_parameter", "Unknown query parameter.")  # invented
        if call.method == "GET" and call.path == "/user/me":
            return self._user()
        if call.method == "PUT" and _STATUS.fullmatch(call.path):
            return self._change_status(call)
        if call.method == "GET" and _ORDER.fullmatch(call.path):
            return web.json_response(_described(self._found(call.order)))
        raise _refusal(404, "not_found|route", "The endpoint does not exist.")

    def _user(self) -> web.Response:
        number, name = self.role
        return web.json_response(
            {
                "id": 7,
                "username": "bot@shop.example",
                "email": "bot@shop.example",
                "account_id": 123654,
                "status": "active",
                "access_roles": [{"id": number, "name": name}],
            }
        )

    def _found(self, wanted: str | None) -> DigiCertOrder:
        for order in self.orders.values():
            if wanted and wanted in {order.reference, order.serial}:
                return order
        raise _refusal(404, "not_found|order", "The specified order was not found.")

    def _change_status(self, call: Call) -> web.Response:
        if self.view_only:
            raise _refusal(403, "access_denied|missing_permission", "The key may not carry out this request.")
        note = self._checked_note(call)
        order = self._found(call.order)
        if order.state == "reissue_pending":
            order.state = "issued"  # only the reissue goes; the answer looks the same
            self.changed()
        elif order.state in {"pending", "waiting_pickup"}:
            order.state = "canceled"
            self.took_effect(order.reference)
        else:
            raise _refusal(400, "invalid_order_status", "The order status does not allow this.")  # invented
        self.notes[order.reference] = note
        return web.Response(status=204)

    def _checked_note(self, call: Call) -> str:
        if call.headers.get("content-type") != "application/json":
            raise _refusal(400, "bad_request_format", "The body must be JSON.")
        try:
            body = json.loads(call.body)
        except ValueError:
            raise _refusal(400, "bad_request_format", "The request body is malformed.") from None
        if not isinstance(body, dict) or body.get("status") != self.accepted_status:
            raise _refusal(400, "invalid_parameter", "status has a wrong value.")  # invented
        note = body.get("note")
        if not isinstance(note, str) or not note.strip():
            raise _refusal(400, "missing_required_field", "note is required.")  # invented
        return note

    def about_another(self, call: Call) -> web.Response:
        other = next(order for order in self.orders.values() if order.reference != call.order)
        return web.json_response(_described(DigiCertOrder(other.reference, "canceled")))

    def rejection(self, call: Call) -> web.Response:  # noqa: ARG002
        return _refusal(403, "access_denied|missing_permission", "The key may not do this.").response

    def rate_limited(self, call: Call) -> web.Response:  # noqa: ARG002
        text = "Service unavailable, please limit request volume"
        return _refusal(429, "request_limit_exceeded", text).response


def _refusal(status: int, code: str, message: str) -> Refusal:
    response = web.json_response({"errors": [{"code": code, "message": message}]}, status=status)
    return Refusal(f"{status} {code}", response)


def _described(order: DigiCertOrder) -> dict[str, object]:
    certificate: dict[str, object] = {
        "common_name": order.common_name,
        "dns_names": list(order.other_names),
        "date_created": "2018-10-16T20:05:28+00:00",
        "csr": "<csr>",
        "organization": {"id": 112233},
    }
    if order.serial:
        certificate |= {"serial_number": order.serial, "date_issued": "2018-10-20T00:00:00+00:00"}
    return {
        "id": int(order.reference),
        "certificate": certificate,
        "status": order.state,
        "product": {"name_id": "ssl_basic", "name": "Basic OV"},
    }
