"""One suite for every provider: what the rest of the bot relies on, whoever is at the other end."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import cache
from typing import Any

import pytest

from providers import ADAPTERS
from providers.contract import Attempt, Outcome, Provider, Result, Setting, Standing
from providers.http import HttpLimits
from sandbox import conformance
from sandbox.conformance import CASES, SLOW, Report, run_all
from sandbox.vendors import VENDORS
from sandbox.vendors.vendor import Fault, Vendor
from tests.providers.conftest import PAIRS, connect

Start = Callable[[type[Vendor[Any]]], Awaitable[Vendor[Any]]]
LATER = timedelta(minutes=10)
NOTE = "Approved by two people."
ANSWERED = [fault for fault in Fault if fault not in SLOW]

per_adapter = pytest.mark.parametrize("adapter", ADAPTERS, ids=[each.facts.name for each in ADAPTERS])


class Pair:
    """An adapter, the pretend vendor it talks to, and everything the adapter ever said."""

    def __init__(self, adapter: type[Provider], vendor: Vendor[Any]) -> None:
        self.adapter = adapter
        self.vendor = vendor
        self.provider = connect(adapter, vendor.settings(), HttpLimits(timeout=5.0))

    @property
    def order(self) -> str:
        return self.vendor.samples["cancellable"]

    async def cancel(self) -> Outcome:
        """Look up and cancel, as the worker does; remembers what a follow-up has to be told."""
        self.before = await self.provider.look_up(self.order)
        self.outcome = await self.provider.cancel(self.order, NOTE, self.before)
        return self.outcome

    async def follow_up(self) -> Outcome:
        accepted = self.outcome.result is Result.ACCEPTED
        return await self.provider.follow_up(self.order, Attempt(self.before, LATER, accepted))


@pytest.fixture(params=PAIRS, ids=[adapter.facts.name for adapter, _ in PAIRS])
async def pair(request: pytest.FixtureRequest, start_vendor: Start) -> Pair:
    adapter, kind = request.param
    return Pair(adapter, await start_vendor(kind))


def test_every_adapter_has_a_pretend_vendor() -> None:
    assert [vendor.name for vendor in VENDORS] == [adapter.facts.name for adapter in ADAPTERS]


# ---- cases: what goes wrong, and what an adapter has to make of it


@cache
def reports(adapter: type[Provider], vendor: type[Vendor[Any]]) -> dict[str, Report]:
    """All cases of a provider side by side: one by one they would mostly wait."""
    return {report.case.name: report for report in asyncio.run(run_all(adapter, vendor))}


@pytest.mark.parametrize("case", [case.name for case in CASES])
@pytest.mark.parametrize(("adapter", "vendor"), PAIRS, ids=[adapter.facts.name for adapter, _ in PAIRS])
def test_a_case_ends_as_the_bot_relies_on(
    adapter: type[Provider], vendor: type[Vendor[Any]], case: str
) -> None:
    assert reports(adapter, vendor)[case].problems == ()


def test_every_fault_spoils_a_cancel_and_a_look_up() -> None:
    """A fault that is added has to be said what to make of."""
    on_cancels = {case.fault for case in CASES if case.on == "cancel"}
    on_reads = {case.fault for case in CASES if case.on != "cancel"}
    assert set(Fault) - on_cancels == set()
    # Work done or not is one and the same to somebody who only asks.
    assert set(Fault) - on_reads == {Fault.HANG_BEFORE, Fault.LOSE_ANSWER, Fault.SERVER_ERROR_AFTER}


def test_every_case_has_a_name_of_its_own_and_fits_the_table() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 38


@pytest.mark.parametrize(("problems", "code"), [((), 0), (("cancel: cancelled",), 1)])
async def test_the_table_fits_its_columns_and_the_command_tells_by_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], problems: tuple[str, ...], code: int
) -> None:
    async def run_nothing(adapter: type[Provider], vendor: type[Vendor[Any]]) -> list[Report]:
        last = Standing.CANCELLABLE, Result.NO_EFFECT, Result.NO_EFFECT
        return [Report(case, adapter.facts.label, *last, 1, 1, problems) for case in CASES]

    monkeypatch.setattr(conformance, "run_all", run_nothing)
    assert await conformance.main(["tradernet", "cpanel"]) == code
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert sum(line.endswith("WRONG") for line in lines) == 2 * len(CASES) * code
    assert {"Tradernet (Freedom24)", "cPanel"} <= set(lines)


async def test_a_provider_that_nobody_knows_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert await conformance.main(["payvalida", "nobody"]) == 2
    assert "nobody" in capsys.readouterr().err


# ---- looking up and cancelling


async def test_every_sample_can_be_looked_up(pair: Pair) -> None:
    for reference in pair.vendor.samples.values():
        provider = connect(pair.adapter, pair.vendor.settings())  # a new one has its pace before it
        state = await provider.look_up(reference)
        assert state.standing is not Standing.UNREADABLE
        assert state.detail
    assert pair.vendor.sends == []


async def test_only_the_order_asked_for_is_cancelled(pair: Pair) -> None:
    another = pair.vendor.samples["another"]
    before = await pair.provider.look_up(another)
    await pair.cancel()
    assert await pair.provider.look_up(another) == before


@pytest.mark.parametrize(
    "fault", [Fault.DROP, Fault.LOSE_ANSWER, Fault.SERVER_ERROR, Fault.HALF_BODY, Fault.HTML]
)
async def test_an_answer_that_is_none_of_the_providers_own_is_not_settled(pair: Pair, fault: Fault) -> None:
    """The call may still be running over there, so a look-up has to wait."""
    pair.vendor.fail_next(fault)
    assert not (await pair.cancel()).settled


async def test_a_no_of_the_provider_comes_with_its_reason(pair: Pair) -> None:
    pair.vendor.fail_next(Fault.REJECT)
    assert (await pair.cancel()).said


# ---- credentials and secrets


async def test_good_credentials_are_not_called_bad(pair: Pair) -> None:
    credentials = await pair.provider.check()
    assert credentials.ok is not False
    assert credentials.detail


async def test_wrong_credentials_are_called_bad(pair: Pair) -> None:
    bad = {name: "WRONG" + value[5:] for name, value in _secrets(pair).items()}
    provider = connect(pair.adapter, {**pair.vendor.settings(), **bad})
    assert (await provider.check()).ok is False


async def test_credentials_cannot_be_judged_without_a_connection(pair: Pair) -> None:
    provider = connect(pair.adapter, {**pair.vendor.settings(), **_closed_port(pair)})
    assert (await provider.check()).ok is None


@pytest.mark.parametrize("fault", [None, *ANSWERED])
async def test_no_text_holds_a_secret_or_an_address(pair: Pair, fault: Fault | None) -> None:
    if fault is not None:
        pair.vendor.fail_next(fault)
    said = [await pair.cancel(), await pair.follow_up(), pair.before, await pair.provider.check()]
    text = repr(said) + pair.provider.account
    hidden = list(_secrets(pair).values())
    hidden += list(pair.vendor.samples.values()) if pair.adapter.facts.reference_is_secret else []
    for secret in hidden:
        assert secret not in text
    assert "://" not in repr(said)


# ---- facts


@per_adapter
def test_the_example_fits_its_pattern(adapter: type[Provider]) -> None:
    assert adapter.facts.reference.fullmatch(adapter.facts.example)


@pytest.mark.parametrize("hostile", ["", "..", "a/b", "%2e%2e"])
async def test_a_bad_reference_never_leaves(pair: Pair, hostile: str) -> None:
    before = await pair.provider.look_up(pair.order)
    seen = len(pair.vendor.seen)
    assert (await pair.provider.look_up(hostile)).standing is not Standing.CANCELLABLE
    outcome = await pair.provider.cancel(hostile, NOTE, before)
    assert outcome.result in {Result.NO_EFFECT, Result.REFUSED}
    assert len(pair.vendor.seen) == seen


@per_adapter
def test_facts_are_short_enough_for_a_phone(adapter: type[Provider]) -> None:
    facts = adapter.facts
    assert re.search("ID|number|token", facts.reference_label)
    assert re.fullmatch(r"[a-z]+", facts.name)
    assert len(facts.consequence) <= 150
    assert all(len(warning) <= 150 for warning in facts.warnings)
    assert facts.docs.startswith("https://")


@per_adapter
def test_settings_name_their_provider_and_their_choices(adapter: type[Provider]) -> None:
    settings = adapter.facts.settings
    assert all(setting.name.startswith(f"{adapter.facts.name.upper()}_") for setting in settings)
    assert all(setting.help for setting in settings)
    assert all(_is_own_choice(setting) for setting in settings)


def _is_own_choice(setting: Setting) -> bool:
    return setting.default is None or not setting.choices or setting.default in setting.choices


def _secrets(pair: Pair) -> dict[str, str]:
    accepted = pair.vendor.settings()
    return {
        each.name: accepted[each.name]
        for each in pair.adapter.facts.settings
        if each.secret and each.name in accepted
    }


def _closed_port(pair: Pair) -> dict[str, str]:
    """A base URL on which nobody listens: a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = re.sub(r":\d+", f":{port}", pair.vendor.base_url)
    return {each.name: url for each in pair.adapter.facts.settings if each.is_url}
