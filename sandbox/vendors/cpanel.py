"""A pretend cPanel server with its queue of certificate orders, and the store behind it.

The shapes follow the public reference; where that is silent (a wrong token, a parameter that is
missing) the answer is a plausible one. https://api.docs.cpanel.net/openapi/cpanel/operation/Market-get_providers_list
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from aiohttp import web

from sandbox.vendors.vendor import LOGIN_PAGE, Call, Kind, Refusal, Vendor

STORE = "cPStore"
_FUNCTIONS: dict[str, frozenset[str]] = {
    "cancel_pending_ssl_certificate": frozenset({"provider", "order_item_id"}),
    "get_pending_ssl_certificates": frozenset({"provider"}),
    "get_ssl_certificate_if_available": frozenset({"provider", "order_item_id"}),
    "get_providers_list": frozenset(),
}
_PEM = "-----BEGIN CERTIFICATE-----\nMIIBpretend\n-----END CERTIFICATE-----\n"


@dataclass(slots=True)
class CPanelOrder:
    reference: str
    state: str = "pending"
    """pending (in the queue), removed, issued, canceled (at the store)."""
    order_id: str = "1392472"
    domains: tuple[str, ...] = ("shop.example", "www.shop.example")
    paid: bool = True
    clean_up_fails: bool = False
    """The entry can be removed, but the polling job cannot be stopped."""


class CPanelVendor(Vendor[CPanelOrder]):
    name: ClassVar[str] = "cpanel"
    label: ClassVar[str] = "cPanel"

    def __init__(self) -> None:
        super().__init__()
        self.username = "shopowner"
        self.token = "PRETEND7CPANEL9TOKEN"  # noqa: S105  (opens nothing but this class)
        self.features = {"market", "tls_wizard"}
        self.wrapped = False
        """Answer in the envelope of the reference pages, not in the flat one."""
        self.unknown = "99999999"
        self._next = 10427600
        self._fill()

    def _fill(self) -> None:
        orders = {
            "cancellable": CPanelOrder("10427508"),
            "another": CPanelOrder("10427509", order_id="1392473", domains=("blog.example",)),
            "cancellable_3": CPanelOrder("10427510", order_id="1392474", domains=("mail.example",)),
            "cancellable_4": CPanelOrder("10427511", order_id="1392475", domains=("wiki.example",)),
            "unpaid": CPanelOrder("10427512", order_id="1392476", domains=("new.example",), paid=False),
            "clean_up_fails": CPanelOrder("10427513", order_id="1392477", clean_up_fails=True),
            "cancelled": CPanelOrder("10427520", "canceled", order_id="1392480"),
            "removed": CPanelOrder("10427521", "removed", order_id="1392481"),
            "too_late": CPanelOrder("10427522", "issued", order_id="1392482", domains=("live.example",)),
        }
        self.orders = {order.reference: order for order in orders.values()}
        self.samples = {what: order.reference for what, order in orders.items()}
        self.samples["parent_order"] = orders["cancellable"].order_id

    def credentials(self) -> dict[str, str]:
        return {
            "CPANEL_USERNAME": self.username,
            "CPANEL_API_TOKEN": self.token,
            "CPANEL_MARKET_PROVIDER": STORE,
        }

    def is_cancelled(self, reference: str) -> bool:
        return self.orders[reference].state in {"removed", "canceled"}

    def new_order(self) -> str:
        self._next += 1
        return self.add_order(CPanelOrder(str(self._next), order_id=str(self._next - 9_000_000)))

    def recognise(
        self,
        method: str,  # noqa: ARG002  (the path alone tells)
        path: str,
        query: Mapping[str, str],
        body: bytes,  # noqa: ARG002
    ) -> tuple[Kind, str | None]:
        cancels = path.endswith("/cancel_pending_ssl_certificate")
        return "cancel" if cancels else "read", query.get("order_item_id")

    def handle(self, call: Call) -> web.Response:
        function = self._checked(call)
        answers: dict[str, Callable[[Call], web.Response]] = {
            "cancel_pending_ssl_certificate": self._cancel,
            "get_pending_ssl_certificates": self._pending,
            "get_ssl_certificate_if_available": self._certificate,
            "get_providers_list": self._stores,
        }
        return answers[function](call)

    def _checked(self, call: Call) -> str:
        if call.headers.get("authorization") != f"cpanel {self.username}:{self.token}":
            page = web.Response(status=401, text=LOGIN_PAGE, content_type="text/html")
            raise Refusal("wrong credentials", page)
        function = call.path.removeprefix("/execute/Market/")
        if call.method != "GET" or function not in _FUNCTIONS:
            raise Refusal("no such function", self._failure("Function not found."))
        wanted = _FUNCTIONS[function]
        for name in sorted(wanted ^ set(call.query)):
            raise Refusal(
                f"parameter {name}", self._failure(f"Provide the “{name}” argument, and only what is asked.")
            )
        needed = {"market"} if "cancel" in function or "list" in function else {"market", "tls_wizard"}
        for feature in sorted(needed - self.features):
            raise Refusal(f"feature {feature}", self._failure(f"You do not have the feature “{feature}”."))
        return function

    def _cancel(self, call: Call) -> web.Response:
        """Filter the queue and return what was removed: nothing found is no failure."""
        order = self.orders.get(call.query["order_item_id"])
        if order is None or order.state != "pending" or call.query["provider"] != STORE:
            return self._success([])
        entry = _entry(order)
        order.state = "removed"
        self.took_effect(order.reference)
        messages = ["The system failed to stop the polling job."] if order.clean_up_fails else None
        return self._success([entry], messages)

    def _pending(self, call: Call) -> web.Response:  # noqa: ARG002
        """The provider parameter is demanded and ignored, like in the public server code."""
        return self._success([_entry(order) for order in self.orders.values() if order.state == "pending"])

    def _certificate(self, call: Call) -> web.Response:
        order = self.orders.get(call.query["order_item_id"])
        state = order.state if order and call.query["provider"] == STORE else "unknown"
        codes = {"issued": None, "canceled": "OrderCanceled", "unknown": "CertificateNotFound"}
        code = codes.get(state, "RequiresApproval")
        return self._success(
            {
                "certificate_pem": _PEM if state == "issued" else None,
                "encrypted_action_urls": None,
                "status_code": code,
                "status_message": f"The store says {code}." if code else None,
            }
        )

    def _stores(self, call: Call) -> web.Response:  # noqa: ARG002
        return self._success([{"name": STORE, "display_name": "cPanel Store"}])

    def about_another(self, call: Call) -> web.Response:
        """Another item, whose parent order even carries the number that was asked for."""
        other = CPanelOrder("55555555", order_id=call.order or "1392472")
        return self._success([_entry(other)])

    def rejection(self, call: Call) -> web.Response:
        text = f"The order item ID “{call.order}” does not match any entries in the pending queue."
        return self._failure(text, {"error_type": "EntryDoesNotExist", "order_item_ids": [call.order]})

    def _success(self, data: object, messages: list[str] | None = None) -> web.Response:
        return self._envelope({"status": 1, "data": data, "errors": None, "messages": messages})

    def _failure(self, text: str, data: object = None) -> web.Response:
        return self._envelope({"status": 0, "data": data, "errors": [text], "messages": None})

    def _envelope(self, inner: dict[str, object]) -> web.Response:
        full = {**inner, "metadata": {"transformed": 1}, "warnings": None}
        return web.json_response(
            {"apiversion": 3, "module": "Market", "result": full} if self.wrapped else full
        )


def _entry(order: CPanelOrder) -> dict[str, object]:
    return {
        "order_item_id": order.reference,
        "order_id": order.order_id,
        "product_id": "143",
        "provider": STORE,
        "status": "confirmed" if order.paid else "unconfirmed",
        "last_status_code": "RequiresApproval" if order.paid else None,
        "domains": list(order.domains),
        "vhost_names": list(order.domains[:1]),
        "csr": "-----BEGIN CERTIFICATE REQUEST-----\nMIIBpretend\n-----END CERTIFICATE REQUEST-----\n",
        "created_time": 1458061262,
        "first_poll_time": 1458061262,
        "last_poll_time": 1458061262,
        "expired": 0,
        "support_uri": "http://support.example/",
    }
