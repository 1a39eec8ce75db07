"""A pretend Tradernet: signed calls, and a market that takes its time to let go of an order."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from sandbox.vendors.vendor import Call, Kind, Refusal, Vendor

WORKING = frozenset({"1", "10", "11", "12", "20"})
DESK_ONLY = "This order may only be cancelled by a Cancellation Order or through traders"
BUSY = "Your request limit has been exceeded. Please try again later"
LIBRARIES = ("python-httpx", "python-requests", "python/", "curl", "aiohttp", "go-http-client", "okhttp")
CLOCK_MAY_DIFFER = 300.0


@dataclass(slots=True)
class MarketOrder:
    """An order in the market, and what will become of it once somebody asks to cancel it."""

    reference: str
    state: str = "10"
    instrument: str = "AAPL.US"
    quantity: int = 5
    open: int = 5
    kind: int = 2
    side: int = 1
    becomes: str = "31"
    """Its stat when the market has dealt with a cancel."""
    desk_only: bool = False
    archived: bool = False
    """Shown by the history only."""
    placed: datetime = field(default_factory=lambda: datetime.now(UTC) - timedelta(hours=1))


class TradernetVendor(Vendor[MarketOrder]):
    """Checks key, clock and signature over the very bytes; cancels first to stat 2, later to 31."""

    name = "tradernet"
    label = "Tradernet (Freedom24)"
    public_key = "pretend-public-key-1f0a"
    private_key = "pretend-private-key-77e2"

    def __init__(self, *, settle_after: float | None = 1.0, now: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.settle_after = settle_after
        """Seconds that the market needs; 0 is at once, None waits for `settle`."""
        self.may_trade = True
        self.at_root = False
        """Show current orders as a list at the root, as the documentation does."""
        self.as_text = False
        """Write numbers as text."""
        self.now = now
        self._timers: set[asyncio.TimerHandle] = set()
        self.samples = {
            "cancellable": self._put("2929292929"),
            "another": self._put("2929292930", instrument="TSLA.US", quantity=12, open=12, side=3),
            "third": self._put("4982349829328", instrument="MSFT.US", quantity=3, open=3),
            "fourth": self._put("1111222222112", instrument="NVDA.US", quantity=8, open=8),
            "protective": self._put("2929292931", instrument="NVDA.US", quantity=8, open=8, kind=5, side=3),
            "partly_filled": self._put("2929292932", "12", open=2, becomes="30"),
            "executed_instead": self._put("2929292933", becomes="21"),
            "desk_only": self._put("2929292934", desk_only=True),
            "stuck": self._put("2929292935", becomes="75"),
            "cancelled": self._put("2929292920", "31"),
            "too_late": self._put("2929292921", "21", open=0),
            "pending": self._put("2929292922", "2"),
            "expired": self._put("2929292923", "71"),
            "in_history": self._put("2929292800", "31", archived=True, placed=_days_ago(9)),
            "executed_in_history": self._put("2929292801", "21", open=0, archived=True, placed=_days_ago(9)),
        }
        self.unknown = "9223372036854775807"

    def recognise(
        self,
        method: str,  # noqa: ARG002
        path: str,
        query: Mapping[str, str],  # noqa: ARG002
        body: bytes,
    ) -> tuple[Kind, str | None]:
        wanted = _parsed(body).get("order_id")
        kind: Kind = "cancel" if path.rstrip("/").endswith("delTradeOrder") else "read"
        return kind, None if wanted is None else str(wanted)

    def handle(self, call: Call) -> web.Response:
        parameters = self._allowed(call)
        match call.path:
            case "/api/delTradeOrder":
                return self._cancelled(parameters)
            case "/api/getNotifyOrderJson":
                return self._current(parameters)
            case "/api/getOrdersHistory":
                return self._history(parameters)
        return _error({"errMsg": "Unsupported query method", "code": 2})

    def about_another(self, call: Call) -> web.Response:
        if call.kind == "cancel":
            return web.json_response({"order_id": 777})
        trap = {**_row(MarketOrder("777")), "user_order_id": 2929292929, "order_nb": "2929292929"}
        return web.json_response({"result": {"orders": {"key": "%pretend", "order": [trap]}}})

    def rejection(self, call: Call) -> web.Response:
        if call.kind == "cancel":
            return _error({"code": 12, "errorMsg": DESK_ONLY, "error": DESK_ONLY})
        return _error({"error": "Access denied", "code": None}, 401)

    def rate_limited(self, call: Call) -> web.Response:  # noqa: ARG002
        return _error({"error": BUSY, "errMsg": BUSY, "code": 429})

    def credentials(self) -> dict[str, str]:
        return {"TRADERNET_PUBLIC_KEY": self.public_key, "TRADERNET_PRIVATE_KEY": self.private_key}

    def is_cancelled(self, reference: str) -> bool:
        return self.state_of(reference) in {"30", "31"}

    def new_order(self) -> str:
        return self.add_order(MarketOrder(str(3_000_000_000 + len(self.orders))))

    def settle(self, reference: str) -> None:
        """The market has dealt with the cancel."""
        order = self.orders[reference]
        if order.state == "2":
            order.open = 0 if order.becomes == "21" else order.open
            self.set_state(reference, order.becomes)

    def catch_up(self) -> None:
        for reference in self.orders:
            self.settle(reference)

    def fill(self, reference: str, quantity: int) -> None:
        """Somebody trades: a part of the order, or the rest of it, is filled."""
        order = self.orders[reference]
        order.open -= quantity
        order.becomes = "30"
        self.set_state(reference, "12" if order.open else "21")

    async def stop(self) -> None:
        for timer in self._timers:
            timer.cancel()
        await super().stop()

    def _cancelled(self, parameters: Mapping[str, Any]) -> web.Response:
        wanted = parameters.get("order_id")
        if type(wanted) is not int:
            return _error({"errMsg": "Wrong parameters", "code": 2})
        if not self.may_trade:
            return _error({"error": "you need to open a security session", "code": None}, 403)
        order = self.orders.get(str(wanted))
        if order is None or order.state not in WORKING:
            return _error({"error": "Order not found", "code": 0})  # what really comes is not documented
        if order.desk_only:
            return _error({"code": 12, "errorMsg": DESK_ONLY, "error": DESK_ONLY})
        order.state = "2"
        self.took_effect(order.reference)
        self._settle_later(order.reference)
        return web.json_response({"order_id": str(wanted) if self.as_text else wanted})

    def _settle_later(self, reference: str) -> None:
        if self.settle_after == 0:
            self.settle(reference)
        elif self.settle_after is not None:
            loop = asyncio.get_running_loop()
            self._timers.add(loop.call_later(self.settle_after, self.settle, reference))

    def _current(self, parameters: Mapping[str, Any]) -> web.Response:
        active_only = parameters.get("active_only")
        if type(active_only) is not int or active_only not in (0, 1):
            return _error({"errMsg": "Wrong parameters", "code": 2})
        rows = [
            self._row(order)
            for order in self.orders.values()
            if not order.archived and (not active_only or order.state in WORKING | {"2"})
        ]
        if self.at_root:
            return web.json_response(rows)
        orders: dict[str, object] = {"key": "%pretend"}
        return web.json_response({"result": {"orders": {**orders, "order": rows} if rows else orders}})

    def _history(self, parameters: Mapping[str, Any]) -> web.Response:
        try:
            start, end = (
                datetime.strptime(parameters[name], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
                for name in ("from", "till")
            )
        except (KeyError, TypeError, ValueError):
            return _error({"errMsg": "Wrong parameters", "code": 2})
        finished = [order for order in self.orders.values() if order.state not in WORKING | {"2"}]
        rows = [self._row(order) for order in finished if start <= order.placed <= end]
        return web.json_response({"orders": {"key": "PRETEND", "order": rows or None}})

    def _row(self, order: MarketOrder) -> dict[str, object]:
        row = _row(order)
        return {key: str(value) for key, value in row.items()} if self.as_text else row

    def _allowed(self, call: Call) -> dict[str, Any]:
        """The parameters of a call that a real host would listen to."""
        agent = call.headers.get("user-agent", "").lower()
        if not agent or agent.startswith(LIBRARIES):
            page = "<!DOCTYPE html><html><head><title>Just a moment...</title></head></html>"
            blocked = web.Response(status=403, text=page, content_type="text/html")
            raise Refusal("no User-Agent of its own", blocked)
        if "cookie" in call.headers:
            raise Refusal("cookie sent", _error({"error": "Access denied", "code": None}, 401))
        if call.method != "POST" or call.headers.get("content-type") != "application/json":
            raise Refusal("not a JSON POST", _error({"errMsg": "Unsupported query method", "code": 2}))
        if call.headers.get("x-ntapi-publickey") != self.public_key:
            answer = _error({"error": "Invalid api key provided", "code": None}, 403)
            raise Refusal("unknown key", answer)
        self._check_signature(call)
        try:
            return dict(json.loads(call.body))
        except (ValueError, TypeError):
            raise Refusal("bad JSON", _error({"errMsg": "Bad json", "code": 2})) from None

    def _check_signature(self, call: Call) -> None:
        stamp = call.headers.get("x-ntapi-timestamp", "")
        wanted = hmac.new(self.private_key.encode(), call.body + stamp.encode(), hashlib.sha256).hexdigest()
        recent = stamp.isdecimal() and abs(self.now() - int(stamp)) <= CLOCK_MAY_DIFFER
        if not recent or not hmac.compare_digest(call.headers.get("x-ntapi-sig", ""), wanted):
            refused = _error({"error": "Invalid signature", "code": None}, 403)
            raise Refusal("old or unsigned request", refused)

    def _put(self, reference: str, state: str = "10", **details: Any) -> str:
        return self.add_order(MarketOrder(reference, state, **details))


def _row(order: MarketOrder) -> dict[str, object]:
    number, stamp = int(order.reference), order.placed.strftime("%Y-%m-%dT%H:%M:%S.000")
    return {
        "id": number,
        "order_id": number,
        "date": stamp,
        "stat": int(order.state),
        "stat_d": stamp,
        "instr": order.instrument,
        "oper": order.side,
        "type": order.kind,
        "cur": "USD",
        "p": 190.5,
        "stop": 181 if order.kind == 5 else 0,
        "q": order.quantity,
        "leaves_qty": order.open,
        "exp": 3,
        "order_nb": "123456789",
        "owner_login": "pretend-owner",
        "login": "pretend-owner@example.com",
    }


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _error(body: Mapping[str, object], status: int = 200) -> web.Response:
    return web.json_response(body, status=status)


def _days_ago(days: int) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)
