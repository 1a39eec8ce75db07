"""Payvalida: the readings of its answers one by one, and the adapter against the pretend Payvalida."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from providers.contract import Attempt, OrderState, Outcome, Result, Standing
from providers.http import Answer, Http, HttpLimits
from providers.payvalida import (
    Payvalida,
    checksum,
    judge,
    read_cancel,
    read_credentials,
    read_order,
    result_code,
)
from sandbox.vendors.payvalida import PayvalidaVendor
from sandbox.vendors.vendor import Fault
from tests.providers.examples.exchange import ScriptedHttp

ORDER = "test11031"
FINAL = "Order is not registered or are APPROVED, EXPIRED or CANCELLED"
PENDING = OrderState(Standing.CANCELLABLE, status="PENDIENTE")


def answer(body: object, status: int = 200, **headers: str) -> Answer:
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


def failure(code: object, words: str = "", status: int = 200) -> Answer:
    return answer({"CODE": code, "DESC": words}, status)


def deleted(status: int = 200, **data: object) -> Answer:
    fields = {"Reference": "10522318", "Amount": "2589.0", "Operation": "DELETED", "PVOrderID": "1934631"}
    return answer({"CODE": "0000", "DATA": {**fields, **data}, "DESC": "OK"}, status)


def shown(state: str = "PENDIENTE", **data: object) -> Answer:
    fields = {
        "CURRENCY": "COP",
        "NOTIFICATION_RESPONSE": "",
        "UDPATE_DATE": "2022-02-07 10:46:00",
        "CREATION_DATE": "2022-02-07 10:45:57",
        "STATE": state,
        "PAYMNENT_METHOD": "",
        "EMAIL": "someone@example.com",
        "LIFE_TIME": "445h",
        "ORDER": ORDER,
        "CODE": 2202776,
        "AMOUNT": "120.00",
        "DESCRIPTION": "prueb040",
        "REFERENCE": "80011572",
        "checkout": "sandbox-checkout.payvalida.com?token=tokencheckout",
    }
    return answer({"CODE": "0000", "DESC": "OK", "DATA": {**fields, **data}})


# ---- the checksum


@pytest.mark.parametrize(
    ("order", "digest"),
    [  # made with sha512sum
        (
            "test11031",
            "AC53F60CFC5983A5C2983EB8ABAA486DB0CA1604E97744E6CAA76358BD3094EB"
            "E1AE5D29D635364019FA32F00834855FE8A1BB6AA2FE23B4B3B296242557D3AA",
        ),
        (
            "1496953766724_6",
            "EC4A92E148869CAB1048B25DA95550CDDA88A6530D70527D927032F3006D0C9C"
            "711B5B4B43710F79AC9473AD4F10F6B0A7178E4ED5DE8826ACF388684A1ACCC4",
        ),
    ],
)
def test_the_checksum_is_sha512_over_order_merchant_and_hash(order: str, digest: str) -> None:
    assert checksum(order, "kuanto", "s3cr3t") == digest


def test_leading_zeros_count_in_the_checksum() -> None:
    assert checksum("007", "m", "h") != checksum("7", "m", "h")


def test_without_a_separator_merchants_could_share_a_checksum_but_orders_of_one_cannot() -> None:
    assert checksum("ab", "c", "h") == checksum("a", "bc", "h")
    orders = ["a", "ab", "abc", "b", "bc", "c", "1", "11", "01"]
    assert len({checksum(order, "c", "h") for order in orders}) == len(orders)


def test_the_case_of_an_order_number_counts_and_the_checksum_comes_in_capitals() -> None:
    assert checksum("Order1", "m", "h") != checksum("order1", "m", "h")
    assert checksum("order1", "m", "h").isupper()


async def test_the_checksum_covers_the_number_as_it_was_given() -> None:
    http = ScriptedHttp({}, otherwise=deleted(OrderID=ORDER))
    await Payvalida(http, "kuanto", "s3cr3t").cancel("test11031", "", PENDING)
    [request] = http.sends
    assert request.query == {"merchant": "kuanto", "checksum": checksum("test11031", "kuanto", "s3cr3t")}
    assert (request.method, request.path) == ("DELETE", "/api/v3/porders/test11031")


# ---- references


@pytest.mark.parametrize("good", ["test11031", "1496953766724_6", "A", "a" * 200, "007", "shop-1"])
def test_an_order_number_is_letters_digits_underscore_and_hyphen(good: str) -> None:
    assert Payvalida.facts.reference.fullmatch(good)


@pytest.mark.parametrize(
    "bad",
    ["", ".", "..", "a/b", "a%2fb", "a b", "a\n", "a?x=1", "a#b", "-a", "_a", "a" * 201, "tеst", "١٢", "a.b"],  # noqa: RUF001
)
def test_nothing_that_means_something_in_a_url_is_an_order_number(bad: str) -> None:
    assert not Payvalida.facts.reference.fullmatch(bad)


# ---- answers to a deletion


@pytest.mark.parametrize("proof", [deleted(OrderID=ORDER), deleted(OrdenID=ORDER)])
def test_a_deletion_that_names_the_order_is_a_cancellation(proof: Answer) -> None:
    outcome = read_cancel(proof, ORDER)
    assert (outcome.result, outcome.settled) == (Result.CANCELLED, True)


@pytest.mark.parametrize(
    "unproved",
    [
        deleted(OrderID="test11032"),
        deleted(OrderID=ORDER, OrdenID="test11032"),
        deleted(),
        deleted(OrderID=ORDER, Operation="CREATED"),
        answer({"CODE": "0000", "DESC": "OK"}),
        answer({"CODE": "0000", "DATA": [], "DESC": "OK"}),
    ],
)
def test_ok_without_proof_about_this_order_has_to_be_looked_up(unproved: Answer) -> None:
    outcome = read_cancel(unproved, ORDER)
    assert (outcome.result, outcome.settled) == (Result.UNKNOWN, True)


def test_ok_inside_a_server_error_proves_nothing_and_is_not_settled() -> None:
    outcome = read_cancel(deleted(500, OrderID=ORDER), ORDER)
    assert (outcome.result, outcome.settled) == (Result.UNKNOWN, False)


@pytest.mark.parametrize(
    ("refusal", "code", "hint"),
    [
        (failure("0025", "The checksum is not valid"), "0025", "PAYVALIDA_FIXED_HASH"),
        (failure("0025", "The checksum is not valid", 400), "0025", "PAYVALIDA_FIXED_HASH"),
        (failure("0017", "MerchantID is not valid"), "0017", "PAYVALIDA_MERCHANT"),
        (failure("0018", "Merchant not register on Payvalida"), "0018", "PAYVALIDA_BASE_URL"),
        (failure("0019", "Not authorized merchant"), "0019", "Not authorized merchant"),
        (failure("0037", "Not authorized merchant"), "0037", "Ask Payvalida"),
        (failure("0011", "Error in the content"), "0011", "Error in the content"),
        (failure(25, "The checksum is not valid"), "0025", "PAYVALIDA_FIXED_HASH"),
    ],
)
def test_a_refusal_says_why_and_what_to_repair(refusal: Answer, code: str, hint: str) -> None:
    outcome = read_cancel(refusal, ORDER)
    assert (outcome.result, outcome.code, outcome.settled) == (Result.REFUSED, code, True)
    assert hint in outcome.said


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (failure("0041", FINAL), "0041"),
        (failure(41, FINAL), "0041"),
        (failure("9999", "Something new"), "9999"),
    ],
)
def test_an_answer_for_several_situations_is_settled_and_looked_up(reply: Answer, code: str) -> None:
    outcome = read_cancel(reply, ORDER)
    assert (outcome.result, outcome.code, outcome.settled) == (Result.UNKNOWN, code, True)


@pytest.mark.parametrize("code", ["0009", "0028", "0030"])
def test_an_invitation_to_try_again_is_never_taken_up(code: str) -> None:
    outcome = read_cancel(failure(code, "Try again in a few minutes"), ORDER)
    assert (outcome.result, outcome.settled) == (Result.UNKNOWN, False)


@pytest.mark.parametrize(
    "reply",
    [
        answer("<html><body>Internal Server Error</body></html>", 500),
        answer("<!DOCTYPE html><html><head><title>Attention Required!</title></head></html>", 403),
        answer("<html>sign in</html>", 200),
        answer("", 200),
        answer("", 302, location="https://elsewhere.example"),
        answer({}, 200),
        answer([], 200),
        answer({"CODE": None}, 200),
        failure(0, "OK"),
        failure(True),
        answer('{"CODE":"0000"', 200),
    ],
)
def test_what_is_not_the_apis_own_answer_leaves_everything_open(reply: Answer) -> None:
    outcome = read_cancel(reply, ORDER)
    assert (outcome.result, outcome.settled) == (Result.UNKNOWN, False)


@pytest.mark.parametrize(
    ("reply", "wait"),
    [
        (answer("Too Many Requests", 429), timedelta(seconds=30)),
        (answer("", 429, retry_after="7"), timedelta(seconds=7)),
    ],
)
def test_too_many_requests_is_looked_up_after_the_wait(reply: Answer, wait: timedelta) -> None:
    outcome = read_cancel(reply, ORDER)
    assert (outcome.result, outcome.settled, outcome.look_again) == (Result.UNKNOWN, True, wait)


@pytest.mark.parametrize(
    ("code", "read"),
    [("0041", "0041"), (41, "0041"), (0, None), (True, None), (12345, None), (None, None), ("", None)],
)
def test_the_code_zero_must_come_as_text(code: object, read: str | None) -> None:
    assert result_code({"CODE": code}) == read


def test_words_of_the_provider_lose_secrets_and_invisible_characters() -> None:
    outcome = read_cancel(failure("9999", "bad\u202e hash s3cr3t-hash"), ORDER, ("s3cr3t-hash",))
    assert outcome.said.endswith("bad hash ***")


# ---- answers to a look-up


@pytest.mark.parametrize(
    ("state", "standing"),
    [
        ("PENDIENTE", Standing.CANCELLABLE),
        ("CANCELADA", Standing.CANCELLED),
        ("APROBADA", Standing.NOT_CANCELLABLE),
        ("VENCIDA", Standing.NOT_CANCELLABLE),
        ("ANULADA", Standing.NOT_CANCELLABLE),
        ("EN_REVISION", Standing.UNCLEAR),
        ("", Standing.UNCLEAR),
    ],
)
def test_each_state_has_a_standing_and_a_new_one_is_unclear(state: str, standing: Standing) -> None:
    found = read_order(shown(state), ORDER)
    assert (found.standing, found.status) == (standing, state)
    assert found.detail


def test_the_card_shows_what_an_approver_needs() -> None:
    assert read_order(shown("APROBADA", PAYMNENT_METHOD="PSE"), ORDER).facts == (
        ("Amount", "120.00 COP"),
        ("Description", "prueb040"),
        ("Created", "2022-02-07 10:45:57"),
        ("State", "APROBADA"),
        ("Payment method", "PSE"),
    )


def test_the_misspelt_keys_are_the_ones_that_count() -> None:
    right = read_order(shown("APROBADA", PAYMENT_METHOD="NEQUI", PAYMNENT_METHOD="PSE"), ORDER)
    assert dict(right.facts)["Payment method"] == "PSE"


def test_the_number_in_the_data_is_no_result_code() -> None:
    """DATA.CODE is Payvalida's own number of the order."""
    assert read_order(shown(CODE=41), ORDER).standing is Standing.CANCELLABLE


def test_the_card_shows_neither_the_payer_nor_the_checkout_link() -> None:
    text = repr(read_order(shown(), ORDER))
    assert "someone@example.com" not in text
    assert "tokencheckout" not in text


def test_an_answer_about_another_order_is_unclear() -> None:
    assert read_order(shown(ORDER="prue303460"), ORDER).standing is Standing.UNCLEAR


@pytest.mark.parametrize(
    ("reply", "standing"),
    [
        (failure("0041", FINAL), Standing.NOT_FOUND),
        (failure("0025", "The checksum is not valid"), Standing.UNREADABLE),
        (failure("0009", "Processing error"), Standing.UNREADABLE),
        (answer("Internal Server Error", 500), Standing.UNREADABLE),
        (answer("<html></html>", 403), Standing.UNREADABLE),
        (answer("", 429), Standing.UNREADABLE),
    ],
)
def test_a_look_up_without_an_order(reply: Answer, standing: Standing) -> None:
    assert read_order(reply, ORDER).standing is standing


# ---- following up


@pytest.mark.parametrize(
    ("state", "result"),
    [
        ("CANCELADA", Result.CANCELLED),
        ("PENDIENTE", Result.NO_EFFECT),
        ("APROBADA", Result.REFUSED),
        ("VENCIDA", Result.REFUSED),
        ("ANULADA", Result.REFUSED),
        ("EN_REVISION", Result.UNKNOWN),
    ],
)
def test_the_state_afterwards_decides(state: str, result: Result) -> None:
    assert _judged(read_order(shown(state), ORDER)).result is result


def test_an_order_that_was_cancelled_before_was_cancelled_already() -> None:
    gone = OrderState(Standing.CANCELLED, status="CANCELADA")
    assert judge(gone, Attempt(gone, timedelta(minutes=1), accepted=False)).result is Result.ALREADY_CANCELLED


@pytest.mark.parametrize("standing", [Standing.NOT_FOUND, Standing.UNREADABLE, Standing.UNCLEAR])
def test_a_look_up_that_shows_nothing_proves_nothing(standing: Standing) -> None:
    assert _judged(OrderState(standing)).result is Result.UNKNOWN


def _judged(now: OrderState) -> Outcome:
    return judge(now, Attempt(PENDING, timedelta(minutes=1), accepted=False))


# ---- credentials


@pytest.mark.parametrize(
    ("reply", "ok"),
    [
        (failure("0041", FINAL), True),
        (failure("0025", "The checksum is not valid"), False),
        (failure("0018", "Merchant not register on Payvalida"), False),
        (failure("0009", "Processing error"), None),
        (failure("0011", "Error in the content"), None),
        (answer("<html></html>", 502), None),
    ],
)
def test_credentials_are_judged_by_an_order_that_nobody_has(reply: Answer, ok: bool | None) -> None:
    assert read_credentials(reply).ok is ok


# ---- against the pretend Payvalida


@pytest.fixture
async def vendor() -> AsyncIterator[PayvalidaVendor]:
    vendor = PayvalidaVendor()
    await vendor.start()
    yield vendor
    await vendor.stop()


@pytest.fixture
def payvalida(vendor: PayvalidaVendor) -> Payvalida:
    return Payvalida.from_settings(vendor.settings(), HttpLimits(timeout=5))


async def test_an_order_is_looked_up_deleted_once_and_seen_as_cancelled(
    vendor: PayvalidaVendor, payvalida: Payvalida
) -> None:
    order = vendor.samples["cancellable"]
    before = await payvalida.look_up(order)
    outcome = await payvalida.cancel(order, "a note", before)
    assert (before.standing, outcome.result) == (Standing.CANCELLABLE, Result.CANCELLED)
    assert (await payvalida.look_up(order)).standing is Standing.CANCELLED
    assert vendor.sends == vendor.performed == [order]


@pytest.mark.parametrize(
    ("sample", "result"),
    [
        ("unknown", Result.UNKNOWN),
        ("cancelled", Result.CANCELLED),
        ("too_late", Result.REFUSED),
        ("expired", Result.REFUSED),
        ("refunded", Result.REFUSED),
    ],
)
async def test_the_code_for_several_situations_is_resolved_by_a_look_up(
    vendor: PayvalidaVendor, payvalida: Payvalida, sample: str, result: Result
) -> None:
    order = vendor.samples.get(sample, vendor.unknown)
    outcome = await payvalida.cancel(order, "", PENDING)
    after = await payvalida.follow_up(order, Attempt(PENDING, timedelta(0), accepted=False))
    assert (outcome.code, outcome.result, after.result) == ("0041", Result.UNKNOWN, result)
    assert vendor.performed == []


async def test_a_lost_answer_is_found_out_by_reading_only(
    vendor: PayvalidaVendor, payvalida: Payvalida
) -> None:
    order = vendor.samples["cancellable"]
    vendor.fail_next(Fault.LOSE_ANSWER)
    outcome = await payvalida.cancel(order, "", PENDING)
    after = await payvalida.follow_up(order, Attempt(PENDING, timedelta(minutes=1), accepted=False))
    assert (outcome.result, outcome.settled, after.result) == (Result.UNKNOWN, False, Result.CANCELLED)
    assert vendor.sends == [order]


async def test_the_wrong_hash_is_named_and_changes_nothing(vendor: PayvalidaVendor) -> None:
    wrong = Payvalida.from_settings(
        {**vendor.settings(), "PAYVALIDA_FIXED_HASH": "wrong"}, HttpLimits(timeout=5)
    )
    order = vendor.samples["cancellable"]
    outcome = await wrong.cancel(order, "", PENDING)
    assert outcome.result is Result.REFUSED
    assert (await wrong.look_up(order)).standing is Standing.UNREADABLE
    assert (await wrong.check()).ok is False
    assert vendor.performed == []


async def test_good_credentials_are_recognised(payvalida: Payvalida) -> None:
    assert (await payvalida.check()).ok is True


@pytest.mark.parametrize("bad", ["..", ".", "a/b", "a?merchant=evil", "a%2fb"])
async def test_a_bad_reference_never_leaves(vendor: PayvalidaVendor, payvalida: Payvalida, bad: str) -> None:
    assert (await payvalida.cancel(bad, "", PENDING)).result is Result.NO_EFFECT
    assert (await payvalida.look_up(bad)).standing is Standing.NOT_FOUND
    assert vendor.seen == []


async def test_nobody_there_means_nothing_was_sent() -> None:
    alone = Payvalida(Http("http://127.0.0.1:1", HttpLimits(timeout=5)), "kuanto", "s3cr3t")
    assert (await alone.cancel(ORDER, "", PENDING)).result is Result.NO_EFFECT
    assert (await alone.look_up(ORDER)).standing is Standing.UNREADABLE
    assert (await alone.check()).ok is None


async def test_the_account_names_host_and_merchant_and_no_secret(
    vendor: PayvalidaVendor, payvalida: Payvalida
) -> None:
    assert payvalida.account == f"{vendor.base_url}, merchant kuanto"


# ---- the pretend Payvalida is as strict as the real one


@pytest.mark.parametrize(
    ("method", "path", "merchant", "cookie", "words"),
    [
        ("GET", "/api/v3/porders/test11031", "nobody", "", "0018"),
        ("GET", "/api/v3/porders/test11031", "kuanto", "__cf=1", "0011"),
        ("DELETE", "/api/v3/porders/test11030x", "kuanto", "", "0025"),
        ("DELETE", "/api/v3/porders", "kuanto", "", "404"),
        ("POST", "/api/v3/porders/test11031", "kuanto", "", "404"),
        ("DELETE", "/api/v3/porders/test11031", "kuanto", "", "0000"),
    ],
)
async def test_the_pretend_vendor_checks_every_call(
    vendor: PayvalidaVendor, method: str, path: str, merchant: str, cookie: str, words: str
) -> None:
    query = {"merchant": merchant, "checksum": vendor.checksum("test11031").lower()}
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.request(
            method, vendor.base_url + path, params=query, headers={"Cookie": cookie} if cookie else {}
        )
    assert words in response.text
    assert bool(vendor.performed) is (words == "0000")
