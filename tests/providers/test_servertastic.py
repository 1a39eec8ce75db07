"""Servertastic: the readings of its answers, and the adapter against the pretend Servertastic."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from providers.contract import Attempt, OrderState, Outcome, Result, Standing
from providers.http import Answer, Http, HttpLimits
from providers.servertastic import (
    FOR_EMAIL,
    SYNC,
    Servertastic,
    issue_date,
    judge,
    read_cancel,
    read_credentials,
    read_review,
    read_tokens,
)
from sandbox.vendors.servertastic import ServertasticVendor
from sandbox.vendors.vendor import Fault
from tests.providers.examples.exchange import ScriptedHttp

TOKEN = "abc123456789"
NUMBER = "STR_1_201611071123"
NOW = datetime(2016, 11, 20, 12, 0, tzinfo=UTC)
PLACED = {"timestamp": "2016-11-07 11:23:00", "event_id": "1", "event_name": "Order Placed"}
DONE = {"timestamp": "2016-11-07 12:00:00", "event_id": "9", "event_name": "Completed"}
QUEUED = OrderState(Standing.CANCELLABLE, status="Queued", known_as=NUMBER)
ISSUED = OrderState(Standing.CANCELLABLE, status="Completed", known_as=NUMBER)
GONE = OrderState(Standing.CANCELLED, status="Cancelled", known_as=NUMBER)
XML = '<?xml version="1.0"?>\n<response><success>Order cancelled - STR_1_201611071123</success></response>'


def answer(body: object, status: int = 200, **headers: str) -> Answer:
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


def error(code: object, message: str, status: int = 200) -> Answer:
    return answer({"error": {"code": code, "message": message}}, status)


def review(status: str = "Queued", **fields: object) -> Answer:
    order = {
        "success": "Review Order",
        "reseller_order_id": NUMBER,
        "provider_order_id": "1234567",
        "st_product_code": "RapidSSL-12",
        "order_status": status,
        "order_state_further_info": "",
        "domain_name": "example.com",
        "san_count": "0",
        "invite_url": f"https://api2.servertastic.com/token/{TOKEN}",
        "end_customer_email": "customer@domain.com",
        "organisation_info": {"name": "", "division": "", "address": {"city": ""}},
        "approver_email_address": "admin@example.com",
        "admin_contact": {"first_name": "Ada", "email": "admin@example.com"},
        "tech_contact": {"first_name": "", "email": ""},
        "modifications": {"modification": [PLACED]},
        "certificate": "",
        "expiry_date": "",
    }
    return answer({**order, **fields})


def shown(status: str = "Queued", now: datetime = NOW, **fields: object) -> OrderState:
    return read_review(review(status, **fields), TOKEN, now)


# ---- references and tokens


@pytest.mark.parametrize("good", [TOKEN, "web-shop-17", "STR_1_201611071123", "a" * 64, "123456"])
def test_a_reference_is_letters_digits_underscore_and_hyphen(good: str) -> None:
    assert Servertastic.facts.reference.fullmatch(good)


@pytest.mark.parametrize(
    "bad", ["", "short", "a" * 65, "abc 123456", "abc/123456", "abc%123456", "..", "abcdef\n"]
)
def test_nothing_that_means_something_in_a_url_is_a_reference(bad: str) -> None:
    assert not Servertastic.facts.reference.fullmatch(bad)


TOKENS = answer(
    {
        "success": "Order tokens",
        "unused_tokens": {"order_token": [{"token": "def123456789", "reseller_unique_reference": "ref124"}]},
        "used_tokens": {"order_token": {"token": TOKEN, "reseller_unique_reference": "ref123"}},
    }
)


@pytest.mark.parametrize(
    ("given", "token"),
    [("ref123", TOKEN), ("ref124", "def123456789"), (TOKEN, TOKEN), ("not-in-the-list", "not-in-the-list")],
)
def test_an_own_reference_leads_to_its_token_and_anything_else_is_one(given: str, token: str) -> None:
    assert read_tokens(TOKENS, given) == token


@pytest.mark.parametrize("empty", ["", {}, [], None, {"order_token": ""}, {"order_token": [{"token": None}]}])
def test_an_account_without_tokens_is_no_trouble(empty: object) -> None:
    assert read_tokens(answer({"success": "Order tokens", "used_tokens": empty}), TOKEN) == TOKEN


def test_a_reference_that_stands_for_two_orders_is_unclear() -> None:
    twice = [{"token": each, "reseller_unique_reference": "ref123"} for each in ("token-one", "token-two")]
    state = read_tokens(answer({"success": "Order tokens", "used_tokens": {"order_token": twice}}), "ref123")
    assert isinstance(state, OrderState)
    assert state.standing is Standing.UNCLEAR


@pytest.mark.parametrize(
    "reply", [error(403, "Invalid API key", 403), answer(XML), answer("", 301), answer("", 429), answer({})]
)
def test_without_the_list_of_tokens_nothing_can_be_read(reply: Answer) -> None:
    state = read_tokens(reply, "ref123")
    assert isinstance(state, OrderState)
    assert state.standing is Standing.UNREADABLE
    assert state.detail


@pytest.mark.parametrize(("code", "hint"), [(401, True), (403, True), (400, False), (500, False)])
def test_a_refusal_that_is_about_the_key_says_so(code: int, hint: bool) -> None:
    state = read_tokens(error(code, "No", code), "ref123")
    assert isinstance(state, OrderState)
    assert ("Check SERVERTASTIC_API_KEY" in state.detail) is hint


# ---- answers to a review


@pytest.mark.parametrize(
    ("status", "standing"),
    [
        ("Order Placed", Standing.CANCELLABLE),
        ("Awaiting Customer Verification", Standing.CANCELLABLE),
        ("Awaiting Provider Approval", Standing.CANCELLABLE),
        ("Queued", Standing.CANCELLABLE),
        ("Completed", Standing.CANCELLABLE),
        ("Cancelled", Standing.CANCELLED),
        ("Roll Back", Standing.NOT_CANCELLABLE),
        ("Servertastic Review", Standing.UNCLEAR),
        ("Something New", Standing.UNCLEAR),
        ("", Standing.UNCLEAR),
    ],
)
def test_each_status_has_a_standing_and_a_new_one_is_unclear(status: str, standing: Standing) -> None:
    state = shown(status)
    assert (state.standing, state.status, state.known_as) == (standing, status, NUMBER)
    assert state.detail


def test_the_card_shows_the_order_without_token_contact_or_link() -> None:
    state = shown("Completed", modifications={"modification": [PLACED, DONE]})
    assert state.facts == (
        ("Reseller order ID", NUMBER),
        ("Domain", "example.com"),
        ("Product", "RapidSSL-12"),
        ("Status", "Completed"),
        ("Issued", "2016-11-07 12:00:00"),
    )
    text = repr(state)
    assert not any(secret in text for secret in (TOKEN, "admin@", "customer@", "http", "Ada"))


def test_a_token_inside_another_field_is_masked() -> None:
    assert TOKEN not in repr(shown(domain_name=f"{TOKEN}.example.com"))


def test_an_issued_order_warns_that_an_email_must_be_approved() -> None:
    (warning,) = shown("Completed", modifications={"modification": [PLACED, DONE]}).warnings
    assert "e-mail" in warning


def test_an_issued_order_without_a_known_date_warns_twice() -> None:
    newer = shown("Completed", certificate_list=[{"expiration_date": "2027-11-07 00:00:00"}])
    assert (newer.standing, len(newer.warnings)) == (Standing.CANCELLABLE, 2)


@pytest.mark.parametrize(
    ("days", "standing"),
    [(29, Standing.CANCELLABLE), (30, Standing.CANCELLABLE), (31, Standing.NOT_CANCELLABLE)],
)
def test_thirty_days_after_issuance_it_is_too_late(days: int, standing: Standing) -> None:
    now = datetime(2016, 11, 7, 12, 0, 1, tzinfo=UTC) + timedelta(days=days)
    assert shown("Completed", now, modifications={"modification": [PLACED, DONE]}).standing is standing


@pytest.mark.parametrize("status", ["Queued", "Completed", "Order Placed"])
def test_smartertools_cannot_be_cancelled(status: str) -> None:
    assert shown(status, st_product_code="SmarterMail-Pro").standing is Standing.NOT_CANCELLABLE


def test_a_cancelled_smartertools_order_is_still_a_cancelled_one() -> None:
    assert shown("Cancelled", st_product_code="SmarterMail-Pro").standing is Standing.CANCELLED


@pytest.mark.parametrize(
    ("modifications", "date"),
    [
        ({"modification": [PLACED, DONE]}, "2016-11-07 12:00:00"),
        ({"modification": DONE}, "2016-11-07 12:00:00"),
        ({"modification": [{**DONE, "timestamp": "2016-12-01 00:00:00"}, DONE]}, "2016-11-07 12:00:00"),
        ({"modification": PLACED}, None),
        ({"modification": {**DONE, "timestamp": "yesterday"}}, None),
        ({"modification": {**DONE, "timestamp": 5}}, None),
        ({}, None),
        ("", None),
        ([], None),
        (None, None),
    ],
)
def test_the_issue_date_comes_from_what_happened(modifications: object, date: str | None) -> None:
    issued = issue_date({"modifications": modifications})
    assert (issued and issued.strftime("%Y-%m-%d %H:%M:%S")) == date


def test_a_page_address_with_another_token_means_another_order() -> None:
    assert shown(invite_url="https://api2.servertastic.com/token/zzz999").standing is Standing.UNCLEAR


@pytest.mark.parametrize("address", ["", None, {}, "https://api2.manage.cm/", 5])
def test_a_page_address_without_a_token_proves_nothing(address: object) -> None:
    assert shown(invite_url=address).standing is Standing.CANCELLABLE


@pytest.mark.parametrize(
    ("reply", "standing"),
    [
        (error(403, "Invalid order token", 403), Standing.NOT_FOUND),
        (error("403", "Invalid order token"), Standing.NOT_FOUND),
        (error(404, "Order not found", 404), Standing.NOT_FOUND),
        (error(400, "Bad request", 400), Standing.UNREADABLE),
        (error(500, "Internal error", 500), Standing.UNREADABLE),
        (answer(XML), Standing.UNREADABLE),
        (answer("<html></html>", 502), Standing.UNREADABLE),
        (answer("", 301, location="https://app.servertastic.com/login"), Standing.UNREADABLE),
        (answer("", 429), Standing.UNREADABLE),
        (answer({"order_status": "Queued"}), Standing.UNREADABLE),
    ],
)
def test_a_review_without_an_order(reply: Answer, standing: Standing) -> None:
    state = read_review(reply, TOKEN, NOW)
    assert state.standing is standing
    assert state.detail


# ---- answers to a cancel

CANCELLED = answer({"success": f"Order cancelled - {NUMBER}"})


def test_a_success_that_names_an_order_not_issued_is_confirmed_by_a_look_up() -> None:
    # The status before may be five minutes old: for an order issued meanwhile the same words only
    # send an e-mail.
    outcome = read_cancel(CANCELLED, QUEUED)
    assert (outcome.result, outcome.code, outcome.settled) == (Result.ACCEPTED, "http_200", True)
    assert outcome.look_again == timedelta(seconds=1)


def test_the_same_success_for_an_issued_order_only_starts_the_email() -> None:
    outcome = read_cancel(CANCELLED, ISSUED)
    assert (outcome.result, outcome.look_again) == (Result.ACCEPTED, FOR_EMAIL)
    assert (outcome.code, outcome.settled) == ("http_200", True)
    assert "e-mail" in outcome.said


@pytest.mark.parametrize(
    ("words", "before"),
    [
        ("Cancellation request submitted", QUEUED),
        ("Cancellation request submitted", ISSUED),
        (f"Order cancelled - {NUMBER}", OrderState(Standing.CANCELLABLE, status="Queued")),
    ],
)
def test_a_success_without_proof_is_accepted_only(words: str, before: OrderState) -> None:
    outcome = read_cancel(answer({"success": words}), before)
    assert (outcome.result, outcome.code, outcome.settled) == (Result.ACCEPTED, "http_200", True)
    assert outcome.look_again == (FOR_EMAIL if before is ISSUED else timedelta(minutes=1))


@pytest.mark.parametrize("before", [QUEUED, ISSUED])
def test_a_success_about_another_order_is_an_alarm(before: OrderState) -> None:
    outcome = read_cancel(answer({"success": f"Order cancelled - {NUMBER}4"}), before)
    assert (outcome.result, outcome.code, outcome.settled) == (Result.UNKNOWN, "other_order", True)
    assert outcome.look_again == timedelta(minutes=1)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (error(400, "Order cannot be cancelled", 400), "error_400"),
        (error(400, "Order cannot be cancelled"), "error_400"),
        (error(400, "This order cannot be cancelled", 400), "error_400"),
        (error(403, "Invalid order token", 403), "error_403"),
        (error("403", "Invalid order token"), "error_403"),
        (error("none", "Invalid order token", 403), "error_403"),
    ],
)
def test_a_problem_with_the_request_is_a_refusal_with_the_reason(reply: Answer, code: str) -> None:
    outcome = read_cancel(reply, QUEUED)
    assert (outcome.result, outcome.code, outcome.settled) == (Result.REFUSED, code, True)
    assert "cancelled" in outcome.said or "token" in outcome.said


@pytest.mark.parametrize(
    "reply",
    [
        error(400, "Order has already been cancelled", 400),
        error(404, "Order not found", 404),
        *(error(code, "Busy", code) for code in (408, 409, 410, 425, 499)),
        error(399, "Busy", 200),
        answer({"error": "something"}),
        answer({"success": ""}),
        answer({}),
        answer({"success": "Order cancelled - STR"}, 202),
    ],
)
def test_an_error_that_may_mean_done_is_settled_and_looked_up(reply: Answer) -> None:
    outcome = read_cancel(reply, QUEUED)
    assert (outcome.result, outcome.settled) == (Result.UNKNOWN, True)
    assert outcome.look_again == timedelta(minutes=1)


@pytest.mark.parametrize(
    "reply",
    [
        answer({"success": "", "error": {"code": 500, "message": "Unexpected error"}}),
        answer({"success": f"Order cancelled - {NUMBER}", "error": {"code": 500, "message": "x"}}),
        error(500, "Internal error", 500),
        answer("<html><body>Bad Gateway</body></html>", 502),
        answer("", 301, location="https://app.servertastic.com/login"),
        answer({"success": f"Order cancelled - {NUMBER}"}, 300),
        answer({"success": f"Order cancelled - {NUMBER}"}, 302),
        answer({"success": f"Order cancelled - {NUMBER}"}, 500),
        answer(XML),
        answer(XML, 403),
        answer("<html>sign in</html>"),
        answer([f"Order cancelled - {NUMBER}"]),
    ],
)
def test_trouble_and_foreign_pages_leave_everything_open(reply: Answer) -> None:
    outcome = read_cancel(reply, QUEUED)
    assert (outcome.result, outcome.settled) == (Result.UNKNOWN, False)
    assert outcome.look_again == timedelta(minutes=1)


@pytest.mark.parametrize("reply", [answer(XML), answer(XML, 403), answer("", 301)])
def test_a_wrong_address_is_named(reply: Answer) -> None:
    assert "SERVERTASTIC_BASE_URL" in read_cancel(reply, QUEUED).said


def test_too_many_requests_is_looked_up_after_the_wait() -> None:
    outcome = read_cancel(answer("Too Many Requests", 429, retry_after="9"), QUEUED)
    assert (outcome.result, outcome.settled, outcome.look_again) == (
        Result.UNKNOWN,
        True,
        timedelta(seconds=9),
    )


def test_an_echoed_token_is_masked() -> None:
    yes = answer({"success": f"Order cancelled - {TOKEN}"})
    assert TOKEN not in repr(read_cancel(yes, OrderState(Standing.CANCELLABLE), (TOKEN,)))
    assert TOKEN not in read_cancel(error(400, f"No such order: {TOKEN}", 400), QUEUED, (TOKEN,)).said


# ---- following up


def after(
    now: OrderState, before: OrderState = QUEUED, *, accepted: bool = False, minutes: float = 7
) -> Outcome:
    return judge(now, Attempt(before, timedelta(minutes=minutes), accepted))


@pytest.mark.parametrize("minutes", [0, 7, 10_000])
def test_a_cancelled_order_is_cancelled_whenever_it_is_seen(minutes: float) -> None:
    assert after(GONE, minutes=minutes).result is Result.CANCELLED


def test_an_order_cancelled_before_was_cancelled_already() -> None:
    assert after(GONE, before=GONE).result is Result.ALREADY_CANCELLED


@pytest.mark.parametrize(("accepted", "result"), [(True, Result.ACCEPTED), (False, Result.UNKNOWN)])
def test_an_old_status_within_six_minutes_proves_nothing(accepted: bool, result: Result) -> None:
    outcome = after(QUEUED, accepted=accepted, minutes=5.9)
    assert outcome.result is result
    assert outcome.look_again is not None
    assert outcome.look_again <= SYNC


def test_after_six_minutes_an_open_order_was_not_touched() -> None:
    assert after(QUEUED, minutes=6).result is Result.NO_EFFECT


@pytest.mark.parametrize(
    ("now", "before", "accepted", "result"),
    [
        (ISSUED, ISSUED, True, Result.ACCEPTED),
        (ISSUED, ISSUED, False, Result.UNKNOWN),
        (ISSUED, QUEUED, True, Result.ACCEPTED),
        (ISSUED, QUEUED, False, Result.UNKNOWN),
        (QUEUED, ISSUED, False, Result.UNKNOWN),
    ],
)
def test_with_an_issued_order_an_email_may_be_under_way(
    now: OrderState, before: OrderState, accepted: bool, result: Result
) -> None:
    outcome = after(now, before, accepted=accepted)
    assert (outcome.result, outcome.look_again) == (result, FOR_EMAIL)


@pytest.mark.parametrize(
    ("now", "accepted", "result"),
    [
        (QUEUED, True, Result.ACCEPTED),
        (shown("Roll Back"), False, Result.REFUSED),
        (shown("Something New"), False, Result.UNKNOWN),
        (OrderState(Standing.NOT_FOUND), True, Result.UNKNOWN),
        (OrderState(Standing.UNREADABLE), False, Result.UNKNOWN),
        (OrderState(Standing.UNREADABLE), True, Result.ACCEPTED),
        (OrderState(Standing.CANCELLED, status="Cancelled", known_as="STR_9"), True, Result.UNKNOWN),
    ],
)
def test_what_else_a_later_look_may_show(now: OrderState, accepted: bool, result: Result) -> None:
    outcome = after(now, accepted=accepted)
    assert outcome.result is result
    waits = {Result.REFUSED: None, Result.ACCEPTED: FOR_EMAIL, Result.UNKNOWN: FOR_EMAIL}
    if now.standing is Standing.UNREADABLE:
        assert outcome.look_again == timedelta(minutes=1)
    else:
        assert outcome.look_again == waits[result]


# ---- credentials


@pytest.mark.parametrize(
    ("reply", "ok"),
    [
        (answer({"success": "Reseller Overview", "purchased_points": "120"}), True),
        (error(401, "Invalid API key", 401), False),
        (error(403, "Invalid API key", 403), False),
        (error("403", "Invalid API key"), False),
        (error(500, "Internal error", 500), None),
        (answer(XML), None),
        (answer("", 429), None),
    ],
)
def test_the_account_overview_tells_about_the_key(reply: Answer, ok: bool | None) -> None:
    assert read_credentials(reply).ok is ok


# ---- against the pretend Servertastic


@pytest.fixture
async def vendor() -> AsyncIterator[ServertasticVendor]:
    vendor = ServertasticVendor()
    await vendor.start()
    yield vendor
    await vendor.stop()


@pytest.fixture
def servertastic(vendor: ServertasticVendor) -> Servertastic:
    return Servertastic.from_settings(vendor.settings(), HttpLimits(timeout=5))


async def test_an_order_not_issued_is_cancelled_and_then_shown_as_such(
    vendor: ServertasticVendor, servertastic: Servertastic
) -> None:
    order = vendor.samples["cancellable"]
    before = await servertastic.look_up(order)
    assert (await servertastic.cancel(order, "", before)).result is Result.ACCEPTED
    found = await servertastic.follow_up(order, Attempt(before, timedelta(seconds=1), accepted=True))
    assert found.result is Result.CANCELLED
    assert (await servertastic.look_up(order)).standing is Standing.CANCELLED
    assert vendor.sends == vendor.performed == [order]


async def test_the_resellers_own_reference_works_all_the_way(
    vendor: ServertasticVendor, servertastic: Servertastic
) -> None:
    reference = vendor.samples["by_reference"]
    before = await servertastic.look_up(reference)
    outcome = await servertastic.cancel(reference, "", before)
    after = await servertastic.follow_up(reference, Attempt(before, timedelta(0), accepted=False))
    assert (outcome.result, after.result) == (Result.ACCEPTED, Result.CANCELLED)
    assert vendor.performed == [vendor.samples["cancellable"]]


async def test_a_reference_that_leads_to_another_order_by_now_cancels_neither(
    vendor: ServertasticVendor, servertastic: Servertastic
) -> None:
    reference = vendor.samples["by_reference"]
    approved, other = (vendor.orders[vendor.samples[name]] for name in ("cancellable", "another"))
    before = await servertastic.look_up(reference)
    approved.own, other.own = "", reference
    outcome = await servertastic.cancel(reference, "", before)
    assert (outcome.result, outcome.code, vendor.sends) == (Result.NO_EFFECT, "another_order", [])
    assert "another order" in outcome.said


def test_an_order_that_another_token_leads_to_says_nothing_about_the_one_that_was_sent() -> None:
    before = replace(QUEUED, target="one")
    now = replace(QUEUED, standing=Standing.CANCELLED, target="another")
    attempt = Attempt(before, timedelta(hours=1), accepted=True)
    assert judge(now, attempt).code == "other_order"
    assert judge(replace(now, target="one"), attempt).result is Result.CANCELLED
    assert judge(replace(now, target=""), attempt).result is Result.CANCELLED, "as it was stored before"


async def test_a_token_that_was_looked_up_is_not_looked_for_again() -> None:
    http = ScriptedHttp({"/order/showtokens.json": TOKENS}, otherwise=review())
    servertastic = Servertastic(http, "key-of-ours")
    before = await servertastic.look_up(TOKEN)
    assert TOKEN not in before.target
    http.reads.clear()
    await servertastic.cancel(TOKEN, "", before)
    assert (http.reads, [call.query["order_token"] for call in http.sends]) == ([], [TOKEN])


async def test_an_issued_order_waits_for_the_email_and_is_cancelled_after_it(
    vendor: ServertasticVendor, servertastic: Servertastic
) -> None:
    order = vendor.samples["issued"]
    before = await servertastic.look_up(order)
    attempt = Attempt(before, timedelta(hours=5), accepted=True)
    assert (await servertastic.cancel(order, "", before)).result is Result.ACCEPTED
    assert (await servertastic.follow_up(order, attempt)).result is Result.ACCEPTED
    assert vendor.performed == []
    vendor.approve_email(order)
    assert (await servertastic.follow_up(order, attempt)).result is Result.CANCELLED
    assert vendor.sends == [order]


async def test_stale_data_are_not_taken_for_a_no(
    vendor: ServertasticVendor, servertastic: Servertastic
) -> None:
    order, vendor.lag = vendor.samples["another"], 300
    before = await servertastic.look_up(order)
    vendor.fail_next(Fault.LOSE_ANSWER)
    assert (await servertastic.cancel(order, "", before)).result is Result.UNKNOWN
    early = await servertastic.follow_up(order, Attempt(before, timedelta(minutes=3), accepted=False))
    vendor.lag = 0
    late = await servertastic.follow_up(order, Attempt(before, timedelta(minutes=6), accepted=False))
    assert (early.result, late.result, vendor.sends) == (Result.UNKNOWN, Result.CANCELLED, [order])


@pytest.mark.parametrize("sample", ["too_late", "smartertools", "rolled_back"])
async def test_what_cannot_be_cancelled_is_known_before_and_refused_after(
    vendor: ServertasticVendor, servertastic: Servertastic, sample: str
) -> None:
    order = vendor.samples[sample]
    before = await servertastic.look_up(order)
    assert before.standing is Standing.NOT_CANCELLABLE
    assert (await servertastic.cancel(order, "", before)).result is Result.REFUSED
    assert vendor.performed == vendor.emails == []


async def test_an_unknown_token_is_not_found(vendor: ServertasticVendor, servertastic: Servertastic) -> None:
    assert (await servertastic.look_up(vendor.unknown)).standing is Standing.NOT_FOUND


async def test_without_the_list_of_tokens_no_cancel_is_sent(
    vendor: ServertasticVendor, servertastic: Servertastic
) -> None:
    vendor.fail_next(Fault.SERVER_ERROR, on="read", times=3)
    outcome = await servertastic.cancel(vendor.samples["by_reference"], "", QUEUED)
    assert (outcome.result, vendor.sends) == (Result.NO_EFFECT, [])


async def test_a_redirect_is_not_followed(vendor: ServertasticVendor, servertastic: Servertastic) -> None:
    vendor.redirect_to = f"{vendor.base_url}/order/cancel.json?order_token={TOKEN}"
    vendor.fail_next(Fault.REDIRECT)
    outcome = await servertastic.cancel(vendor.samples["cancellable"], "", QUEUED)
    assert (outcome.result, len(vendor.sends), vendor.performed) == (Result.UNKNOWN, 1, [])


@pytest.mark.parametrize("prefix", ["", "/v2", "/sandbox/api/v2"])
async def test_the_address_is_a_setting_with_whatever_path(prefix: str) -> None:
    """Hosts and paths differ between the vendor's own pages and clients."""
    vendor = ServertasticVendor()
    vendor.prefix = prefix  # type: ignore[misc]
    await vendor.start()
    try:
        servertastic = Servertastic.from_settings(vendor.settings(), HttpLimits(timeout=5))
        order = vendor.samples["cancellable"]
        before = await servertastic.look_up(order)
        assert (await servertastic.check()).ok is True
        assert (await servertastic.cancel(order, "", before)).result is Result.ACCEPTED
        assert vendor.performed == [order]
    finally:
        await vendor.stop()


async def test_a_wrong_address_shows_by_its_xml_and_is_named() -> None:
    vendor = ServertasticVendor()
    vendor.prefix = "/v2"  # type: ignore[misc]
    await vendor.start()
    try:
        astray = vendor.settings() | {"SERVERTASTIC_BASE_URL": vendor.base_url.removesuffix("/v2")}
        servertastic = Servertastic.from_settings(astray, HttpLimits(timeout=5))
        state, credentials = await servertastic.look_up(TOKEN), await servertastic.check()
        outcome = await servertastic.cancel(TOKEN, "", QUEUED)
    finally:
        await vendor.stop()
    assert (state.standing, credentials.ok) == (Standing.UNREADABLE, None)
    assert (outcome.result, vendor.sends, vendor.performed) == (Result.NO_EFFECT, [], [])
    for words in (state.detail, credentials.detail, outcome.said):
        assert "SERVERTASTIC_BASE_URL" in words


async def test_the_reseller_order_id_is_neither_token_nor_reference(
    vendor: ServertasticVendor, servertastic: Servertastic
) -> None:
    number = vendor.orders[vendor.samples["cancellable"]].number
    state = await servertastic.look_up(number)
    assert state.standing is Standing.NOT_FOUND
    assert "reseller order ID" in state.detail
    assert (await servertastic.cancel(number, "", QUEUED)).result is Result.REFUSED
    assert vendor.performed == []


async def test_no_request_but_the_list_of_tokens_and_the_overview_holds_the_key() -> None:
    http = ScriptedHttp({"/order/showtokens.json": TOKENS}, otherwise=review())
    adapter = Servertastic(http, "API_KEY", NOW.timestamp)
    await adapter.cancel("ref123", "", QUEUED)
    await adapter.look_up(TOKEN)
    assert [(each.path, dict(each.query)) for each in http.sends] == [
        ("/order/cancel.json", {"order_token": TOKEN})
    ]
    assert [dict(each.query) for each in http.reads if each.path == "/order/review.json"] == [
        {"order_token": TOKEN}
    ]


async def test_the_key_is_checked(vendor: ServertasticVendor, servertastic: Servertastic) -> None:
    wrong = Servertastic(Http(vendor.base_url, HttpLimits(timeout=5)), "wrong-key")
    assert (await servertastic.check()).ok is True
    assert (await wrong.check()).ok is False
    assert (await wrong.look_up(TOKEN)).standing is Standing.UNREADABLE


@pytest.mark.parametrize("bad", ["..", "a/b/c/d/e", "abc123456789&x=1"])
async def test_a_bad_reference_never_leaves(
    vendor: ServertasticVendor, servertastic: Servertastic, bad: str
) -> None:
    assert (await servertastic.cancel(bad, "", QUEUED)).result is Result.NO_EFFECT
    assert (await servertastic.look_up(bad)).standing is Standing.NOT_FOUND
    assert vendor.seen == []


async def test_two_accounts_differ_without_showing_a_key(
    vendor: ServertasticVendor, servertastic: Servertastic
) -> None:
    other = Servertastic(Http(vendor.base_url, HttpLimits(timeout=5)), "another-key")
    assert servertastic.account != other.account
    assert vendor.api_key not in servertastic.account


# ---- the pretend Servertastic is as strict as the real one


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/order/cancel?order_token=abc123456789", "<?xml"),
        ("/order.json/cancel?order_token=abc123456789", "<?xml"),
        ("/order/cancel.json?order_token=STR_1_2026010711", "Invalid order token"),
        ("/order/cancel.json?order_token=abc123456789&api_key=x", "Bad request"),
        ("/order/showtokens.json?api_key=wrong", "Invalid API key"),
        ("/order/cancel.json", "Bad request"),
    ],
)
async def test_the_pretend_vendor_refuses_other_calls(
    vendor: ServertasticVendor, path: str, words: str
) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.get(vendor.base_url + path)
    assert words in response.text
    assert vendor.performed == []


async def test_nobody_can_approve_an_email_that_was_not_sent(vendor: ServertasticVendor) -> None:
    with pytest.raises(ValueError, match="e-mail"):
        vendor.approve_email(vendor.samples["issued"])


async def test_a_second_cancel_is_told_that_it_comes_late(
    vendor: ServertasticVendor, servertastic: Servertastic
) -> None:
    order = vendor.samples["cancelled"]
    outcome = await servertastic.cancel(order, "", QUEUED)
    assert (outcome.result, outcome.settled) == (Result.UNKNOWN, True)
    assert "already" in outcome.said
