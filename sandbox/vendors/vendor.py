"""The base of the pretend providers: a real HTTP server with state, and faults on request."""

from __future__ import annotations

import asyncio
import gzip
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Generic, Literal, Protocol, TypeVar

from aiohttp import web

LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Login</title></head><body>Please sign in.</body></html>"
ERROR_PAGE = "<html><body><h1>Internal Server Error</h1></body></html>"
BROKEN_JSON = '{"status": 1, "CODE": "0000", "success": "Order cancelled", "order_id": '
INFLATED = 8 * 1024 * 1024
"""Bytes that the few of `Fault.BOMB` stand for."""
DRIP_EVERY = 0.02
"""Seconds between two bytes of `Fault.DRIP`."""


class Fault(StrEnum):
    """What can go wrong with the next call."""

    LOSE_ANSWER = "lose_answer"
    """Carried out, then the connection dies without an answer."""
    DROP = "drop"
    """The connection dies before anything is done."""
    HANG = "hang"
    """Carried out; the answer is held back until `release()`."""
    HANG_BEFORE = "hang_before"
    """Carried out only after `release()`, perhaps long after the caller has given up."""
    SERVER_ERROR = "server_error"
    """500, nothing done."""
    SERVER_ERROR_AFTER = "server_error_after"
    """500, although it was carried out."""
    HALF_BODY = "half_body"
    """Carried out; the connection ends in the middle of the answer."""
    DRIP = "drip"
    """Carried out; the answer comes byte by byte and does not end before `release()`."""
    BOMB = "bomb"
    """Carried out; the answer is small on the wire and huge when it is unpacked."""
    GARBAGE = "garbage"
    """Carried out; the answer is 200 with JSON that is broken off."""
    EMPTY = "empty"
    """Carried out; the answer is 200 without a body."""
    HTML = "html"
    """200 with a login page, nothing done."""
    REDIRECT = "redirect"
    """307 to `redirect_to`, nothing done."""
    RATE_LIMITED = "rate_limited"
    """The vendor's own way of saying "too many calls", nothing done."""
    OTHER_ORDER = "other_order"
    """A success in form, but about another order; nothing done."""
    REJECT = "reject"
    """The vendor's own no, nothing done."""


class Order(Protocol):
    """What every vendor's order dataclass has."""

    reference: str
    state: str


OrderT = TypeVar("OrderT", bound=Order)
Kind = Literal["cancel", "read"]


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it came over the wire, with the vendor's view of what it is."""

    kind: Kind
    order: str | None
    method: str
    path: str
    """Decoded, without the query and the vendor's prefix; `/outside…` without that prefix."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that arrived. No secrets: safe to print in a test report."""

    method: str
    path: str
    order: str | None
    changes: bool
    problem: str | None = None


class Refusal(Exception):
    """Raised by `handle` for a request that the vendor turns down."""

    def __init__(self, problem: str, response: web.Response) -> None:
        super().__init__(problem)
        self.problem = problem
        self.response = response


@dataclass(slots=True)
class _Planned:
    fault: Fault
    on: Kind
    times: int


@dataclass(slots=True)
class _Gate:
    """Where hanging calls wait."""

    open: asyncio.Event = field(default_factory=asyncio.Event)


class Vendor(ABC, Generic[OrderT]):
    """A pretend provider. Subclasses fill in `recognise`, `handle` and the vendor's own words."""

    name: ClassVar[str]
    label: ClassVar[str]
    prefix: ClassVar[str] = ""
    """The path part of the vendor's base URL, such as `/services/v2`."""
    samples: dict[str, str]
    """What it is -> reference; at least cancellable, another, cancelled, too_late."""
    unknown: str
    """Well formed, and no order of ours."""

    def __init__(self) -> None:
        self.orders: dict[str, OrderT] = {}
        self.samples = {}
        self.seen: list[Seen] = []
        self.sends: list[str] = []
        """The reference of every cancel request that arrived, whatever became of it."""
        self.performed: list[str] = []
        """The reference of every cancel that took effect."""
        self.on_change: list[Callable[[], None]] = []
        self.on_call: list[Callable[[Call, web.Response | None, str], None]] = []
        """Told of every call, its answer if it was handled, and the fault or \"\"."""
        self.hanging = 0
        """Calls that wait for `release()`."""
        self.redirect_to = ""
        self.base_url = ""
        self.errors: list[Exception] = []
        self._planned: list[_Planned] = []
        self._gate = _Gate()
        self._waiters: list[asyncio.Event] = []
        self._runner: web.AppRunner | None = None

    # ---- what a vendor is made of

    @abstractmethod
    def recognise(
        self, method: str, path: str, query: Mapping[str, str], body: bytes
    ) -> tuple[Kind, str | None]:
        """Which call this is and about which order; "read" for anything unknown. Never fails."""

    @abstractmethod
    def handle(self, call: Call) -> web.Response:
        """Do what the vendor does, as strict as the wire. May raise `Refusal`."""

    @abstractmethod
    def about_another(self, call: Call) -> web.Response:
        """A success in form that talks about another order."""

    @abstractmethod
    def rejection(self, call: Call) -> web.Response:
        """The vendor's own no."""

    @abstractmethod
    def credentials(self) -> dict[str, str]:
        """Environment variables that this vendor accepts, without the base URL."""

    @abstractmethod
    def is_cancelled(self, reference: str) -> bool: ...

    @abstractmethod
    def new_order(self) -> str:
        """Add one more cancellable order and return its reference."""

    def rate_limited(self, call: Call) -> web.Response:  # noqa: ARG002  (vendors may want it)
        return web.Response(status=429, text="Too Many Requests")

    # ---- what tests and the sandbox do with it

    def fail_next(self, fault: Fault, *, on: Kind = "cancel", times: int = 1) -> None:
        """Let the next `times` calls of that kind go wrong; several plans queue up."""
        self._planned.append(_Planned(fault, on, times))

    def stop_failing(self) -> None:
        """Forget what `fail_next` planned and did not come to."""
        self._planned = []

    @property
    def planned(self) -> list[Fault]:
        """What will go wrong with the next calls, in order, whichever kind they are."""
        return [plan.fault for plan in self._planned for _ in range(plan.times)]

    def catch_up(self) -> None:
        """Finish at once what a cancel left to be done in the background; most vendors leave nothing."""

    def release(self) -> None:
        """Let every hanging call go on."""
        self._gate.open.set()
        self._gate = _Gate()

    def state_of(self, reference: str) -> str:
        return self.orders[reference].state

    def add_order(self, order: OrderT) -> str:
        self.orders[order.reference] = order
        self.changed()
        return order.reference

    def set_state(self, reference: str, state: str) -> None:
        """Something happens on the vendor's side, behind the bot's back."""
        self.orders[reference].state = state
        self.changed()

    def took_effect(self, reference: str) -> None:
        """For `handle`: note that a cancel was carried out."""
        self.performed.append(reference)
        self.changed()

    def changed(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.set()
        for callback in self.on_change:
            callback()

    async def wait_until(self, predicate: Callable[[], bool], timeout: float = 10) -> None:  # noqa: ASYNC109
        """Return as soon as the predicate holds; it is asked again after every request and change."""
        async with asyncio.timeout(timeout):
            while not predicate():
                waiter = asyncio.Event()
                self._waiters.append(waiter)
                await waiter.wait()

    def settings(self) -> dict[str, str]:
        """The environment that makes the bot talk to this vendor. Needs a started vendor."""
        return {**self.credentials(), f"{self.name.upper()}_BASE_URL": self.base_url}

    async def start(self, port: int = 0) -> str:
        """Listen on 127.0.0.1 and return the base URL."""
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        self._runner = runner
        self.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}{self.prefix}"
        return self.base_url

    async def stop(self) -> None:
        """Stop listening; raises if the vendor itself had a bug while it ran."""
        self.release()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self.errors:
            raise ExceptionGroup(f"the pretend {self.label} is broken", self.errors)

    # ---- serving

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        call = await self._call_of(request)
        if call.kind == "cancel":
            self.sends.append(call.order or "")
        fault = self._next_fault(call.kind)
        if fault in {Fault.DROP, Fault.HANG_BEFORE}:
            self._note(call, f"fault: {fault}")
        if fault is Fault.DROP:
            self._tell(call, None, fault)
            return _cut(request)
        if fault is Fault.HANG_BEFORE:
            await self._hold()
        response = self._stand_in(call, fault) or self._handled(call)
        self._tell(call, response, fault)
        if fault is Fault.HANG:
            await self._hold()
        return await self._spoilt(request, response, fault)

    def _tell(self, call: Call, answer: web.Response | None, fault: Fault | None) -> None:
        for told in self.on_call:
            told(call, answer, fault or "")

    async def _hold(self) -> None:
        gate = self._gate
        self.hanging += 1
        self.changed()
        await gate.open.wait()
        self.hanging -= 1
        self.changed()

    async def _spoilt(
        self, request: web.Request, answer: web.Response, fault: Fault | None
    ) -> web.StreamResponse:
        """What is left of the answer to a call that was carried out."""
        match fault:
            case Fault.LOSE_ANSWER:
                return _cut(request)
            case Fault.SERVER_ERROR_AFTER:
                return _page(500, ERROR_PAGE)
            case Fault.HALF_BODY:
                return _broken_off(request, answer)
            case Fault.DRIP:
                return await self._dripping(request)
            case Fault.BOMB:
                packed = gzip.compress(b" " * INFLATED)
                return web.Response(
                    body=packed, headers={"Content-Encoding": "gzip"}, content_type="application/json"
                )
            case Fault.GARBAGE:
                return web.Response(text=BROKEN_JSON, content_type="application/json")
            case Fault.EMPTY:
                return web.Response()
            case _:
                return answer

    async def _dripping(self, request: web.Request) -> web.StreamResponse:
        gate = self._gate
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while not gate.open.is_set():
            try:
                await response.write(b" ")
            except ConnectionError:
                break  # the caller has given up
            with suppress(TimeoutError):
                await asyncio.wait_for(gate.open.wait(), DRIP_EVERY)
        return response

    def _stand_in(self, call: Call, fault: Fault | None) -> web.Response | None:
        """The answer of a fault that keeps the call from being carried out."""
        stand_ins: dict[Fault, Callable[[], web.Response]] = {
            Fault.SERVER_ERROR: lambda: _page(500, ERROR_PAGE),
            Fault.HTML: lambda: _page(200, LOGIN_PAGE),
            Fault.REDIRECT: lambda: web.Response(status=307, headers={"Location": self.redirect_to}),
            Fault.RATE_LIMITED: lambda: self.rate_limited(call),
            Fault.OTHER_ORDER: lambda: self.about_another(call),
            Fault.REJECT: lambda: self.rejection(call),
        }
        if fault not in stand_ins:
            return None
        self._note(call, f"fault: {fault}")
        return stand_ins[fault]()

    def _handled(self, call: Call) -> web.Response:
        problem: str | None = None
        try:
            response = self.handle(call)
        except Refusal as refusal:
            problem, response = refusal.problem, refusal.response
        except Exception as error:  # noqa: BLE001  (kept for `stop`, which raises it)
            self.errors.append(error)
            problem, response = "bug in the pretend vendor", _page(500, ERROR_PAGE)
        self._note(call, problem)
        return response

    def _note(self, call: Call, problem: str | None) -> None:
        self.seen.append(Seen(call.method, call.path, call.order, call.kind == "cancel", problem))
        self.changed()

    def _next_fault(self, kind: Kind) -> Fault | None:
        for plan in self._planned:
            if plan.on == kind:
                plan.times -= 1
                self._planned = [each for each in self._planned if each.times > 0]
                return plan.fault
        return None

    async def _call_of(self, request: web.Request) -> Call:
        body = await request.read()
        inside = request.path.startswith(f"{self.prefix}/")
        path = request.path.removeprefix(self.prefix) if inside else f"/outside{request.path}"
        kind, order = self.recognise(request.method, path, request.query, body)
        headers = {name.lower(): value for name, value in request.headers.items()}
        return Call(kind, order, request.method, path, dict(request.query), headers, body)


def _page(status: int, html: str) -> web.Response:
    return web.Response(status=status, text=html, content_type="text/html")


def _cut(request: web.Request) -> web.Response:
    """Reset the connection; the response is made for aiohttp's sake and reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _broken_off(request: web.Request, answer: web.Response) -> web.Response:
    """Send half of the answer and hang up; without a body, half of its head."""
    body = answer.body if isinstance(answer.body, bytes) else b""
    head = f"HTTP/1.1 {answer.status} Yes\r\nContent-Type: {answer.content_type}\r\n".encode()
    head += b"Content-Length: %d\r\n\r\n" % len(body)
    if request.transport is not None:
        request.transport.write(head + body[: len(body) // 2] if body else head[: len(head) // 2])
        request.transport.close()
    return web.Response()
