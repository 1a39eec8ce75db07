"""A provider from outside: the steps of CONTRIBUTING.md, followed without touching a list of ours."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import pytest
from aiohttp import web

from bot.app import Bot
from bot.settings import Settings
from bot.store import schema
from providers import ADAPTERS
from providers.contract import (
    Attempt,
    Credentials,
    Facts,
    OrderState,
    Outcome,
    Provider,
    Result,
    Setting,
    Standing,
)
from providers.http import Answer, Http, HttpLimits, NoAnswer
from providers.text import clean_text
from sandbox.conformance import CASES, assert_conforms
from sandbox.vendors.vendor import Call, Fault, Kind, Refusal, Vendor
from tests.conftest import NoPace, World

# ---- the adapter: facts, four calls, and a reading for each answer


class Northwind:
    """Ends subscriptions of an invented telephone company."""

    facts: ClassVar[Facts] = Facts(
        name="northwind",
        label="Northwind Mobile",
        reference_label="Subscription ID",
        reference=re.compile(r"SUB-[0-9]{8}"),
        reference_form="SUB- and eight digits, such as SUB-00412233",
        example="SUB-00412233",
        not_to_confuse="Not the telephone number and not the customer number.",
        consequence="The line stops within a minute and its number is released.",
        warnings=("The number cannot be had back.",),
        success_means="the subscription has ended",
        limits="Not in the first 14 days.",
        docs="https://docs.northwind.example/api/subscriptions",
        settings=(
            Setting("NORTHWIND_API_KEY", "Key of the company's account.", secret=True),
            Setting(
                "NORTHWIND_BASE_URL",
                "Address of the API.",
                default="https://api.northwind.example",
                is_url=True,
            ),
        ),
    )

    def __init__(self, http: Http, key: str) -> None:
        self._http = http
        self._key = key
        self._headers = {"X-Api-Key": key}

    @classmethod
    def from_settings(cls, values: Mapping[str, str], limits: HttpLimits) -> Self:
        return cls(Http(values["NORTHWIND_BASE_URL"], limits), values["NORTHWIND_API_KEY"])

    @property
    def account(self) -> str:
        return f"Northwind on {self._http.origin}"

    def turn(self) -> AbstractAsyncContextManager[None]:
        return self._http.turn()

    async def look_up(self, reference: str) -> OrderState:
        if not self.facts.reference.fullmatch(reference):
            return OrderState(Standing.NOT_FOUND, detail="This is no subscription ID.")
        try:
            answer = await self._http.read("GET", f"/subscriptions/{reference}", headers=self._headers)
        except NoAnswer as trouble:
            return OrderState(Standing.UNREADABLE, detail=f"Northwind could not be asked. {trouble.sentence}")
        return read_subscription(answer, reference)

    async def cancel(self, reference: str, note: str, before: OrderState) -> Outcome:
        if not self.facts.reference.fullmatch(reference):
            return Outcome(Result.NO_EFFECT, "Not sent: this is no subscription ID.", "bad_reference")
        path, body = f"/subscriptions/{reference}/end", json.dumps({"note": note}).encode()
        try:
            answer = await self._http.send("POST", path, headers=self._headers, content=body)
        except NoAnswer as trouble:
            result = Result.UNKNOWN if trouble.sent else Result.NO_EFFECT
            return Outcome(result, trouble.sentence, trouble.code)
        return read_end(answer, reference, (self._key,))

    async def follow_up(self, reference: str, attempt: Attempt) -> Outcome:
        return judge(await self.look_up(reference))

    async def check(self) -> Credentials:
        try:
            answer = await self._http.read("GET", "/account", headers=self._headers)
        except NoAnswer as trouble:
            return Credentials(None, trouble.sentence)
        return Credentials({200: True, 401: False}.get(answer.status), f"HTTP {answer.status}")

    async def close(self) -> None:
        await self._http.close()


STATES = {
    "active": (Standing.CANCELLABLE, "The line is in use."),
    "ended": (Standing.CANCELLED, "The subscription has ended."),
    "cooling_off": (Standing.NOT_CANCELLABLE, "It cannot end in its first 14 days."),
}


def read_subscription(answer: Answer, reference: str) -> OrderState:
    body = answer.json_or_none()
    if answer.status == 404 and isinstance(body, dict) and body.get("code") == "no_such_subscription":
        return OrderState(Standing.NOT_FOUND, detail="Northwind knows no such subscription.")
    if answer.status != 200 or not isinstance(body, dict):
        return OrderState(Standing.UNREADABLE, detail=f"Northwind answered with HTTP {answer.status}.")
    if body.get("id") != reference:
        return OrderState(Standing.UNCLEAR, detail="Northwind answered about another subscription.")
    state = clean_text(body.get("state"), limit=40)
    standing, detail = STATES.get(state, (Standing.UNCLEAR, "Northwind names a state of its own."))
    return OrderState(standing, state, detail, facts=(("Plan", clean_text(body.get("plan"), limit=40)),))


def read_end(answer: Answer, reference: str, secrets: tuple[str, ...] = ()) -> Outcome:
    body, code = answer.json_or_none(), f"http_{answer.status}"
    match answer.status, body:
        case 200, {"id": str(found), "state": "ended"} if found == reference:
            return Outcome(Result.CANCELLED, "The subscription has ended.", code, settled=True)
        case 409, {"code": "ended_before"}:
            return Outcome(Result.ALREADY_CANCELLED, "It had ended before.", code, settled=True)
        case 422, {"message": str(reason)}:
            said = clean_text(reason, secrets=secrets)
            return Outcome(Result.REFUSED, f"Northwind refused: {said}", code, settled=True)
    return Outcome(Result.UNKNOWN, f"Northwind answered with HTTP {answer.status}.", code)


def judge(now: OrderState) -> Outcome:
    results = {
        Standing.CANCELLED: Result.CANCELLED,
        Standing.CANCELLABLE: Result.NO_EFFECT,
        Standing.NOT_CANCELLABLE: Result.REFUSED,
    }
    return Outcome(results.get(now.standing, Result.UNKNOWN), now.detail, now.status)


# ---- the pretend vendor


@dataclass(slots=True)
class Subscription:
    reference: str
    state: str = "active"


class NorthwindVendor(Vendor[Subscription]):
    name: ClassVar[str] = "northwind"
    label: ClassVar[str] = "Northwind Mobile"
    prefix: ClassVar[str] = "/v1"

    def __init__(self) -> None:
        super().__init__()
        self.samples = {
            "cancellable": self._put("SUB-00412233"),
            "another": self._put("SUB-00412234"),
            "cancelled": self._put("SUB-00412235", "ended"),
            "too_late": self._put("SUB-00412236", "cooling_off"),
        }
        self.unknown = "SUB-99999999"

    def _put(self, reference: str, state: str = "active") -> str:
        return self.add_order(Subscription(reference, state))

    def recognise(
        self, method: str, path: str, query: Mapping[str, str], body: bytes
    ) -> tuple[Kind, str | None]:
        found = re.fullmatch(r"/subscriptions/([^/]+)(/end)?", path)
        return ("cancel" if found and found[2] else "read"), found[1] if found else None

    def handle(self, call: Call) -> web.Response:
        if call.headers.get("x-api-key") != "PRETEND-NORTHWIND-KEY":
            raise Refusal("wrong key", web.json_response({"code": "no_key"}, status=401))
        if call.path == "/account":
            return web.json_response({"name": "Example Ltd"})
        order = self.orders.get(call.order or "")
        if order is None:
            raise Refusal("unknown", web.json_response({"code": "no_such_subscription"}, status=404))
        if call.kind == "cancel" and order.state == "ended":
            return web.json_response({"code": "ended_before"}, status=409)
        if call.kind == "cancel":
            order.state = "ended"
            self.took_effect(order.reference)
        return _shown(order)

    def about_another(self, call: Call) -> web.Response:
        return _shown(Subscription("SUB-00000001", "ended"))

    def rejection(self, call: Call) -> web.Response:
        return web.json_response({"message": "Not today."}, status=422)

    def credentials(self) -> dict[str, str]:
        return {"NORTHWIND_API_KEY": "PRETEND-NORTHWIND-KEY"}

    def is_cancelled(self, reference: str) -> bool:
        return self.state_of(reference) == "ended"

    def new_order(self) -> str:
        return self._put(f"SUB-{len(self.orders):08d}")


def _shown(order: Subscription) -> web.Response:
    return web.json_response({"id": order.reference, "state": order.state, "plan": "Arctic 20"})


# ---- it keeps the promises


async def test_an_adapter_from_outside_can_be_held_to_every_case() -> None:
    await assert_conforms(Northwind, NorthwindVendor)


class Hopeful(Northwind):
    """Takes every 200 for a success."""

    async def cancel(self, reference: str, note: str, before: OrderState) -> Outcome:
        outcome = await super().cancel(reference, note, before)
        return replace(outcome, result=Result.CANCELLED) if outcome.code == "http_200" else outcome


class Stubborn(Northwind):
    """Sends again what was not answered."""

    async def cancel(self, reference: str, note: str, before: OrderState) -> Outcome:
        outcome = await super().cancel(reference, note, before)
        unsure = outcome.result is Result.UNKNOWN
        return await super().cancel(reference, note, before) if unsure else outcome


class Careless(Northwind):
    """Believes that an error means that nothing was done."""

    async def cancel(self, reference: str, note: str, before: OrderState) -> Outcome:
        outcome = await super().cancel(reference, note, before)
        return replace(outcome, result=Result.NO_EFFECT) if outcome.result is Result.UNKNOWN else outcome


class Blind(Northwind):
    """Takes an order that it cannot see for one that is gone."""

    async def follow_up(self, reference: str, attempt: Attempt) -> Outcome:
        outcome = await super().follow_up(reference, attempt)
        return replace(outcome, result=Result.REFUSED) if outcome.result is Result.UNKNOWN else outcome


class Talkative(Northwind):
    """Tells everybody its key and its address."""

    async def cancel(self, reference: str, note: str, before: OrderState) -> Outcome:
        return replace(await super().cancel(reference, note, before), said=f"{self.account} {self._key}")


class Trusting(Northwind):
    """Cancels what it did not look at properly."""

    async def look_up(self, reference: str) -> OrderState:
        state = await super().look_up(reference)
        return replace(state, standing=Standing.CANCELLABLE)


class Nervous(Northwind):
    """Raises for what a provider or a network did."""

    async def cancel(self, reference: str, note: str, before: OrderState) -> Outcome:
        return read_end(
            await self._http.send("POST", f"/subscriptions/{reference}/end", headers=self._headers), reference
        )


@pytest.mark.parametrize(
    ("adapter", "complaint"),
    [
        (Hopeful, "web page with status 200 .* cancelled, no_effect 1/0 .* WRONG"),
        (Stubborn, "cancels sent: 2"),
        (Careless, "done, the answer is lost .* no_effect, cancelled 1/1 .* WRONG"),
        (Blind, "follow-up: refused"),
        (Talkative, "a secret was said\n.*a URL was said"),
        (Trusting, "look-up: cancellable"),
        (Nervous, "raised NoAnswer"),
    ],
)
async def test_an_adapter_that_breaks_a_promise_is_found_out(adapter: type[Provider], complaint: str) -> None:
    short = [
        case
        for case in CASES
        if case.fault in {None, Fault.HTML, Fault.LOSE_ANSWER, Fault.SERVER_ERROR, Fault.SERVER_ERROR_AFTER}
    ]
    with pytest.raises(AssertionError, match=complaint):
        await assert_conforms(adapter, NorthwindVendor, short)


# ---- the bot works with it: form, card and settings come from its facts alone


@pytest.fixture
async def northwind(quiet_world: World) -> AsyncIterator[NorthwindVendor]:
    vendor = NorthwindVendor()
    await vendor.start()
    vendor.on_change.append(quiet_world.workspace.changed)
    quiet_world.town.vendors[vendor.name] = vendor
    yield vendor
    await quiet_world.stop_bot()
    await vendor.stop()


async def start_with_northwind(world: World) -> None:
    adapters: tuple[type[Provider], ...] = (*ADAPTERS, Northwind)
    settings = replace(Settings.from_env(world.environment(), adapters), port=0)
    schema.upgrade(settings.database_url)
    world.bot = Bot(settings, transport=world.transport, pace=NoPace(), adapters=adapters)
    await world.bot.start()
    if world.transport == "http":
        world.workspace.deliver_to_http(f"http://127.0.0.1:{world.bot.port}/slack/events")
    await world.workspace.bot_connected()


async def test_the_bot_cancels_at_a_provider_from_outside(
    quiet_world: World, northwind: NorthwindVendor
) -> None:
    world, reference = quiet_world, northwind.samples["cancellable"]
    await start_with_northwind(world)
    card = await world.asked("alice", "northwind", reference)
    for words in ("Northwind Mobile", Northwind.facts.consequence, "Arctic 20"):
        assert words in world.card(card).readable
    northwind.fail_next(Fault.LOSE_ANSWER)
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "Outcome: cancelled")
    assert northwind.sends == northwind.performed == [reference]


async def test_the_form_refuses_what_is_no_reference_of_it(
    quiet_world: World, northwind: NorthwindVendor
) -> None:
    await start_with_northwind(quiet_world)
    alice = quiet_world.person("alice")
    await alice.command("/cancel-order", "northwind SUB-17 ordered twice")
    form = await alice.modal()
    sent = await form.submit()
    assert Northwind.facts.reference_form in str(sent.errors)
    assert northwind.seen == []
