"""The pretend providers as the page shows them: orders and states, and what can be made to go wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from sandbox.slack.posting import post
from sandbox.vendors.servertastic import ServertasticVendor
from sandbox.vendors.vendor import Call, Fault, Vendor
from sandbox.wire import Wire

Json = dict[str, Any]
FAULTS: dict[Fault, tuple[str, str]] = {
    Fault.LOSE_ANSWER: ("Lose the next answer", "the cancel is carried out, and nobody hears of it"),
    Fault.HANG: ("Hang", "the cancel is carried out, and the answer is held back"),
    Fault.REJECT: ("Reject", "the provider says no"),
    Fault.DROP: ("Drop", "the connection breaks before anything is done"),
    Fault.SERVER_ERROR: ("Error 500", "nothing is done, but who knows that"),
    Fault.HTML: ("Login page", "200 and a web page, nothing is done"),
    Fault.OTHER_ORDER: ("Another order", "a success that is about another order, nothing is done"),
}
"""Of the next cancel: what the button says, and what that means."""
_SECRETS = ("KEY", "TOKEN", "HASH", "SECRET", "PASSWORD")
_PLAIN_HEADERS = {"host", "accept", "accept-encoding", "connection", "user-agent", "content-length"}


class Backstage:
    """What the page can see of the providers, and do to them."""

    def __init__(self, vendors: Mapping[str, Vendor[Any]], wire: Wire) -> None:
        self._vendors = vendors
        self._wire = wire
        for vendor in vendors.values():
            wire.secrets |= {v for k, v in vendor.credentials().items() if any(s in k for s in _SECRETS)}
            vendor.on_call.append(self._listener(vendor.label))

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/backstage/vendors", self._show), post("/backstage/vendors", self._act)]

    def state(self) -> list[Json]:
        return [_vendor(vendor) for vendor in self._vendors.values()]

    async def _show(self, request: web.Request) -> web.Response:
        del request
        return web.json_response(self.state())

    async def _act(self, body: Json) -> Json:
        vendor = self._vendors[body["vendor"]]
        match body["do"]:
            case "fail":
                vendor.fail_next(Fault(body["fault"]))
            case "clear":
                vendor.stop_failing()
            case "release":
                vendor.release()
            case "approve_email" if isinstance(vendor, ServertasticVendor):
                vendor.approve_email(body["order"])
            case other:
                raise LookupError(f"{vendor.label} cannot do {other!r}")
        vendor.changed()
        return {"ok": True}

    def _listener(self, label: str) -> Callable[[Call, web.Response | None, str], None]:
        def told(call: Call, answer: web.Response | None, fault: str) -> None:
            outcome = fault.replace("_", " ") or ("ok" if answer is None else str(answer.status))
            read = _parsed(answer.body) if answer is not None else None
            self._wire.note("bot", label, f"{call.method} {call.path}", outcome, _request(call), read)

        return told


def _request(call: Call) -> Json:
    """Without what every request has; headers that are left may be signatures, and are masked as such."""
    found: Json = {"headers": {k: v for k, v in call.headers.items() if k not in _PLAIN_HEADERS}}
    if call.query:
        found["query"] = dict(call.query)
    if call.body:
        found["body"] = _parsed(call.body)
    return found


def _parsed(body: object) -> object:
    """JSON as what it says, so that its secrets are known by their names; anything else as text."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else ""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _vendor(vendor: Vendor[Any]) -> Json:
    return {
        "name": vendor.name,
        "label": vendor.label,
        "orders": [_order(vendor, what, reference) for what, reference in vendor.samples.items()],
        "faults": [{"id": fault, "label": label, "says": says} for fault, (label, says) in FAULTS.items()],
        "planned": [FAULTS[fault][0] if fault in FAULTS else fault.value for fault in vendor.planned],
        "hanging": vendor.hanging,
    }


def _order(vendor: Vendor[Any], what: str, reference: str) -> Json:
    """An order as the provider has it; a reference that is no order's own name has no state."""
    waiting = isinstance(vendor, ServertasticVendor) and reference in vendor.emails
    return {
        "reference": reference,
        "what": what.replace("_", " "),
        "state": vendor.state_of(reference) if reference in vendor.orders else "",
        "received": vendor.sends.count(reference),
        "performed": vendor.performed.count(reference),
        "email": waiting and not vendor.is_cancelled(reference),
    }
