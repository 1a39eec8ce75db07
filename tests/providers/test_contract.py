"""One suite for every provider: what the rest of the bot relies on, whoever is at the other end."""

from __future__ import annotations

import re
import socket
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from providers import ADAPTERS
from providers.contract import Attempt, Outcome, Provider, Result, Setting, Standing
from providers.http import HttpLimits
from sandbox.vendors import VENDORS
from sandbox.vendors.vendor import Fault, Vendor
from tests.providers.conftest import PAIRS, connect

Start = Callable[[type[Vendor[Any]]], Awaitable[Vendor[Any]]]
DONE = {Result.CANCELLED, Result.ACCEPTED}
LATER = timedelta(minutes=10)
NOTE = "Approved by two people."
ANSWERED = [fault for fault in Fault if fault not in {Fault.HANG, Fault.HANG_BEFORE}]

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


# ---- looking up


@pytest.mark.parametrize(
    ("sample", "standings"),
    [
        ("cancellable", {Standing.CANCELLABLE}),
        ("another", {Standing.CANCELLABLE}),
        ("cancelled", {Standing.CANCELLED}),
        ("too_late", {Standing.NOT_CANCELLABLE}),
    ],
)
async def test_look_up_tells_the_standing_of_an_order(
    pair: Pair, sample: str, standings: set[Standing]
) -> None:
    state = await pair.provider.look_up(pair.vendor.samples[sample])
    assert state.standing in standings
    assert state.detail


async def test_every_sample_can_be_looked_up(pair: Pair) -> None:
    for reference in pair.vendor.samples.values():
        state = await pair.provider.look_up(reference)
        assert state.standing is not Standing.UNREADABLE
    assert pair.vendor.sends == []


async def test_an_order_that_does_not_exist_is_never_cancellable(pair: Pair) -> None:
    state = await pair.provider.look_up(pair.vendor.unknown)
    assert state.standing in {Standing.NOT_FOUND, Standing.UNCLEAR}
    assert state.detail


@pytest.mark.parametrize(
    "fault", [Fault.HTML, Fault.REDIRECT, Fault.SERVER_ERROR, Fault.RATE_LIMITED, Fault.DROP]
)
async def test_a_look_up_that_fails_is_unreadable_and_says_so(pair: Pair, fault: Fault) -> None:
    pair.vendor.redirect_to = pair.vendor.base_url
    pair.vendor.fail_next(fault, on="read", times=20)
    state = await pair.provider.look_up(pair.order)
    assert state.standing is Standing.UNREADABLE
    assert state.detail


async def test_a_look_up_about_another_order_is_not_taken_for_ours(pair: Pair) -> None:
    """Where answers do not repeat the reference, what they show differs, and that voids approvals."""
    ours = await pair.provider.look_up(pair.order)
    pair.vendor.fail_next(Fault.OTHER_ORDER, on="read", times=20)
    state = await pair.provider.look_up(pair.order)
    proves_nothing = state.standing not in {Standing.CANCELLABLE, Standing.CANCELLED}
    assert proves_nothing or (state.known_as, state.facts) != (ours.known_as, ours.facts)


async def test_one_lost_connection_does_not_spoil_a_look_up(pair: Pair) -> None:
    pair.vendor.fail_next(Fault.DROP, on="read")
    assert (await pair.provider.look_up(pair.order)).standing is Standing.CANCELLABLE


# ---- cancelling


async def test_a_cancel_is_sent_once_and_takes_effect(pair: Pair) -> None:
    assert (await pair.cancel()).result in DONE
    assert pair.vendor.sends == pair.vendor.performed == [pair.order]
    assert (await pair.provider.look_up(pair.order)).standing is not Standing.CANCELLABLE


async def test_only_the_order_asked_for_is_cancelled(pair: Pair) -> None:
    another = pair.vendor.samples["another"]
    before = await pair.provider.look_up(another)
    await pair.cancel()
    assert await pair.provider.look_up(another) == before


async def test_a_lost_answer_is_unknown_until_it_is_followed_up(pair: Pair) -> None:
    pair.vendor.fail_next(Fault.LOSE_ANSWER)
    outcome = await pair.cancel()
    assert outcome.result is Result.UNKNOWN
    assert not outcome.settled
    assert (await pair.follow_up()).result in DONE
    assert pair.vendor.sends == pair.vendor.performed == [pair.order]


async def test_a_500_after_the_fact_is_unknown_until_it_is_followed_up(pair: Pair) -> None:
    pair.vendor.fail_next(Fault.SERVER_ERROR_AFTER)
    assert (await pair.cancel()).result is Result.UNKNOWN
    assert (await pair.follow_up()).result in DONE
    assert pair.vendor.sends == [pair.order]


@pytest.mark.parametrize("fault", [Fault.DROP, Fault.SERVER_ERROR])
async def test_a_cancel_that_got_lost_on_the_way_is_found_without_effect(pair: Pair, fault: Fault) -> None:
    pair.vendor.fail_next(fault)
    outcome = await pair.cancel()
    assert outcome.result is Result.UNKNOWN
    assert not outcome.settled
    assert (await pair.follow_up()).result is Result.NO_EFFECT
    assert pair.vendor.sends == [pair.order]
    assert pair.vendor.performed == []


async def test_a_refused_connection_sends_nothing(pair: Pair) -> None:
    before = await pair.provider.look_up(pair.order)
    provider = connect(pair.adapter, {**pair.vendor.settings(), **_closed_port(pair)})
    outcome = await provider.cancel(pair.order, NOTE, before)
    assert outcome.result is Result.NO_EFFECT
    assert pair.vendor.sends == []


async def test_a_web_page_is_no_success(pair: Pair) -> None:
    pair.vendor.fail_next(Fault.HTML)
    assert (await pair.cancel()).result is Result.UNKNOWN
    assert pair.vendor.sends == [pair.order]


async def test_a_success_for_another_order_is_no_success(pair: Pair) -> None:
    pair.vendor.fail_next(Fault.OTHER_ORDER)
    assert (await pair.cancel()).result is Result.UNKNOWN
    assert pair.vendor.sends == [pair.order]


async def test_a_no_of_the_provider_is_no_success(pair: Pair) -> None:
    pair.vendor.fail_next(Fault.REJECT)
    outcome = await pair.cancel()
    assert outcome.result in {Result.REFUSED, Result.UNKNOWN}
    assert outcome.said


async def test_a_rate_limit_is_no_success_and_sends_once(pair: Pair) -> None:
    pair.vendor.fail_next(Fault.RATE_LIMITED)
    assert (await pair.cancel()).result in {Result.NO_EFFECT, Result.UNKNOWN}
    assert pair.vendor.sends == [pair.order]


async def test_a_redirect_is_not_followed(pair: Pair, start_vendor: Start) -> None:
    trap = await start_vendor(type(pair.vendor))
    pair.vendor.redirect_to = trap.base_url
    pair.vendor.fail_next(Fault.REDIRECT)
    assert (await pair.cancel()).result is Result.UNKNOWN
    assert trap.seen == []


async def test_an_answer_held_back_ends_at_the_deadline(pair: Pair) -> None:
    before = await pair.provider.look_up(pair.order)
    provider = connect(pair.adapter, pair.vendor.settings(), HttpLimits(timeout=0.3))
    pair.vendor.fail_next(Fault.HANG)
    outcome = await provider.cancel(pair.order, NOTE, before)
    assert (outcome.result, outcome.settled) == (Result.UNKNOWN, False)
    assert pair.vendor.sends == [pair.order]


async def test_following_up_only_reads(pair: Pair) -> None:
    await pair.cancel()
    await pair.follow_up()
    assert pair.vendor.sends == [pair.order]


async def test_a_follow_up_that_cannot_read_stays_unknown_or_accepted(pair: Pair) -> None:
    await pair.cancel()
    pair.vendor.fail_next(Fault.SERVER_ERROR, on="read", times=20)
    assert (await pair.follow_up()).result in {Result.UNKNOWN, Result.ACCEPTED}


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


HOSTILE = [
    *("", ".", "..", "a/b", "../1", "%2e", "%2e%2e", "1 000", " 1", "10427508\n", "1?x=y", "1#a"),
    "\uff11" * 8,  # full-width digits: `str.isdigit` and `int` are happy with them
    *("1\x00", "1\u202e", "9" * 1_000_000, "a" * 1_000_000),
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=[ascii(each[:12]) for each in HOSTILE])
@per_adapter
def test_a_pattern_refuses_what_could_change_an_address(adapter: type[Provider], hostile: str) -> None:
    assert not adapter.facts.reference.fullmatch(hostile)


@per_adapter
def test_a_number_is_digits_only(adapter: type[Provider]) -> None:
    """Python reads 1_000 as a number; where references may be words it is a fine reference."""
    takes_words = adapter.facts.reference.fullmatch("order_abc") is not None
    assert takes_words or not adapter.facts.reference.fullmatch("1_000")


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
