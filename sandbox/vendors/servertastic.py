"""A pretend Servertastic: tokens that are keys, e-mails that must be approved, and stale data."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aiohttp import web

from sandbox.vendors.vendor import Call, Kind, Refusal, Vendor

OPEN = frozenset({"Order Placed", "Awaiting Customer Verification", "Awaiting Provider Approval", "Queued"})
JSON_CALL = re.compile(r"/(order/cancel|order/review|order/showtokens|account/review)\.json")


@dataclass(slots=True)
class SslOrder:
    """An order for a certificate. Its token is both its name and the key to it."""

    reference: str
    """The token."""
    state: str
    number: str
    """The reseller order ID: public, and no use for cancelling."""
    own: str = ""
    """The reseller's own reference."""
    domain: str = "shop.example.com"
    product: str = "RapidSSL-12"
    placed: datetime = datetime(2026, 1, 7, 11, 23, tzinfo=UTC)
    issued: datetime | None = None
    shown_before: str = ""
    changed_at: float = float("-inf")


class ServertasticVendor(Vendor[SslOrder]):
    """Knows orders by token only, accounts by API key only, and answers XML off the `.json` path."""

    name = "servertastic"
    label = "Servertastic"
    api_key = "pretend-api-key-42c7"

    def __init__(self, *, lag: float = 0.0, now: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.lag = lag
        """Seconds for which a review still shows the state of before; the real one takes up to 300."""
        self.now = now
        self.emails: list[str] = []
        """Token of every order whose admin contact was asked to approve."""
        self.samples = {
            "cancellable": self._put("abc123456789", "Awaiting Provider Approval", own="ref123"),
            "another": self._put("def123456789", "Queued", own="web-shop-17", domain="www.example.org"),
            "third": self._put("ghi123456789", "Awaiting Customer Verification"),
            "not_configured": self._put("jkl123456789", "Order Placed", own="ref124", domain=""),
            "issued": self._put("mno123456789", "Completed", own="api-gateway", issued=self._days_ago(3)),
            "too_late": self._put("pqr123456789", "Completed", issued=self._days_ago(45)),
            "issue_date_unknown": self._put("stu123456789", "Completed"),
            "smartertools": self._put("vwx123456789", "Queued", product="SmarterMail-Pro"),
            "cancelled": self._put("yza123456789", "Cancelled"),
            "rolled_back": self._put("bcd123456789", "Roll Back"),
            "in_review": self._put("efg123456789", "Servertastic Review"),
        }
        self.samples["by_reference"] = "ref123"
        self.unknown = "nosuchtoken1"

    def recognise(
        self,
        method: str,  # noqa: ARG002
        path: str,
        query: Mapping[str, str],
        body: bytes,  # noqa: ARG002
    ) -> tuple[Kind, str | None]:
        return ("cancel" if "cancel" in path else "read"), query.get("order_token")

    def handle(self, call: Call) -> web.Response:
        match self._allowed(call):
            case "account/review":
                return web.json_response({"success": "Reseller Overview", "purchased_points": "120"})
            case "order/showtokens":
                return self._tokens()
            case "order/review":
                return self._review(self._order(call))
        return self._cancel(self._order(call))

    def about_another(self, call: Call) -> web.Response:
        if call.kind == "cancel":
            return web.json_response({"success": "Order cancelled - STR_9_209901010000"})
        if call.path == "/order/review.json":
            return self._review(SslOrder("zzz999999999", "Queued", "STR_9_209901010000"))
        return self._tokens()

    def rejection(self, call: Call) -> web.Response:
        if call.kind == "cancel":
            return _error(400, "Order cannot be cancelled")
        return _error(403, "Invalid API key")

    def credentials(self) -> dict[str, str]:
        return {"SERVERTASTIC_API_KEY": self.api_key}

    def state_of(self, reference: str) -> str:
        """By token, or by the reseller's own reference."""
        return self._by_any_name(reference).state

    def is_cancelled(self, reference: str) -> bool:
        return self.state_of(reference) == "Cancelled"

    def set_state(self, reference: str, state: str) -> None:
        order = self._by_any_name(reference)
        order.shown_before, order.changed_at = order.state, self.now()
        order.state = state
        self.changed()

    def new_order(self) -> str:
        return self._put(f"new{len(self.orders):09d}", "Awaiting Provider Approval")

    def approve_email(self, reference: str) -> None:
        """The admin contact follows the link in the e-mail and approves."""
        order = self._by_any_name(reference)
        if order.reference not in self.emails:
            raise ValueError("nobody sent an e-mail about this order")
        self.set_state(reference, "Cancelled")
        self.took_effect(order.reference)

    def _cancel(self, order: SslOrder) -> web.Response:
        if order.state == "Cancelled":
            return _error(400, "Order has already been cancelled")
        if order.product.startswith("Smarter"):
            return _error(400, "This order cannot be cancelled")
        if order.state == "Completed" and not self._older_than_30_days(order):
            self.emails.append(order.reference)
            self.changed()
        elif order.state in OPEN:
            self.set_state(order.reference, "Cancelled")
            self.took_effect(order.reference)
        else:
            return _error(400, "Order cannot be cancelled")
        # The same words in both cases: what an issued order really gets is not documented.
        return web.json_response({"success": f"Order cancelled - {order.number}"})

    def _review(self, order: SslOrder) -> web.Response:
        happened = [_event("1", "Order Placed", order.placed)]
        if order.issued:
            happened.append(_event("9", "Completed", order.issued))
        contact = {"first_name": "Ada", "last_name": "Example", "email": "admin@example.com"}
        return web.json_response(
            {
                "success": "Review Order",
                "reseller_order_id": order.number,
                "provider_order_id": "1234567",
                "st_product_code": order.product,
                "order_status": self._shown(order),
                "order_state_further_info": "",
                "domain_name": order.domain,
                "invite_url": f"https://api2.servertastic.com/token/{order.reference}",
                "end_customer_email": "customer@example.com",
                "admin_contact": contact,
                # As converters from XML do it: one element is not a list.
                "modifications": {"modification": happened if len(happened) > 1 else happened[0]},
            }
        )

    def _tokens(self) -> web.Response:
        used = [order for order in self.orders.values() if order.state != "Order Placed"]
        unused = [order for order in self.orders.values() if order.state == "Order Placed"]
        return web.json_response(
            {
                "success": "Order tokens",
                "unused_tokens": {"order_token": [_token(order) for order in unused]},
                "used_tokens": {"order_token": [_token(order) for order in used]},
            }
        )

    def _allowed(self, call: Call) -> str:
        """The call's name, when a real host would listen to it."""
        found = JSON_CALL.fullmatch(call.path)
        if not found or call.method != "GET":
            xml = '<?xml version="1.0"?>\n<response><error><code>404</code></error></response>'
            raise Refusal("not a JSON call", web.Response(status=404, text=xml, content_type="text/xml"))
        if "cookie" in call.headers:
            raise Refusal("cookie sent", _error(400, "Bad request"))
        needs_key = found[1] in {"account/review", "order/showtokens"}
        if needs_key and call.query.get("api_key") != self.api_key:
            raise Refusal("wrong API key", _error(403, "Invalid API key"))
        if not needs_key and set(call.query) != {"order_token"}:
            raise Refusal("more than a token", _error(400, "Bad request"))
        return found[1]

    def _order(self, call: Call) -> SslOrder:
        order = self.orders.get(call.order or "")
        if order is None:
            raise Refusal("unknown token", _error(403, "Invalid order token"))
        return order

    def _shown(self, order: SslOrder) -> str:
        stale = self.lag > 0 and self.now() - order.changed_at < self.lag
        return order.shown_before if stale else order.state

    def _older_than_30_days(self, order: SslOrder) -> bool:
        return order.issued is not None and order.issued < self._days_ago(30)

    def _by_any_name(self, name: str) -> SslOrder:
        by_own = {order.own: order for order in self.orders.values() if order.own}
        return self.orders.get(name) or by_own[name]

    def _days_ago(self, days: int) -> datetime:
        return datetime.fromtimestamp(self.now(), UTC) - timedelta(days=days)

    def _put(
        self,
        token: str,
        state: str,
        *,
        own: str = "",
        domain: str = "shop.example.com",
        product: str = "RapidSSL-12",
        issued: datetime | None = None,
    ) -> str:
        number = f"STR_1_2026010711{len(self.orders):02d}"
        return self.add_order(SslOrder(token, state, number, own, domain, product, issued=issued))


def _token(order: SslOrder) -> dict[str, str]:
    return {"token": order.reference, "reseller_unique_reference": order.own}


def _event(number: str, name: str, when: datetime) -> dict[str, str]:
    return {"timestamp": when.strftime("%Y-%m-%d %H:%M:%S"), "event_id": number, "event_name": name}


def _error(code: int, words: str) -> web.Response:
    return web.json_response({"error": {"code": code, "message": words}}, status=code)
