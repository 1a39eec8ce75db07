"""cPanel's answers, as its pages document them or as a server might surprise us, and their reading."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from providers.contract import Attempt, OrderState, Result, Standing
from providers.cpanel import (
    CPanel,
    mix_up,
    read_cancel,
    read_certificate,
    read_follow_up,
    read_pending,
    read_silence,
    read_stores,
)
from providers.http import Answer, NoAnswer
from sandbox.vendors.cpanel import CPanelVendor
from sandbox.vendors.vendor import Fault
from tests.providers.conftest import connect
from tests.providers.examples.exchange import ScriptedHttp

ID, STORE, TOKEN = "10427508", "cPStore", "T0KENT0KEN"
LOGIN = b"<!DOCTYPE html><html><head><title>Login</title></head><body>Invalid login.</body></html>"
WAITING = OrderState(Standing.CANCELLABLE, "confirmed")
Start = Callable[[type[CPanelVendor]], Awaitable[CPanelVendor]]


def entry(**changes: object) -> dict[str, object]:
    """The documented example of a queue entry."""
    return {
        "created_time": 1458061262,
        "csr": "-----BEGIN CERTIFICATE REQUEST-----",
        "domains": ["example1.com", "example2.com"],
        "expired": 0,
        "first_poll_time": 1458061262,
        "last_poll_time": 1458061262,
        "last_status_code": "RequiresApproval",
        "order_id": "1392472",
        "order_item_id": ID,
        "product_id": "143",
        "provider": STORE,
        "status": "confirmed",
        "support_uri": "http://support.example.com/",
        "vhost_names": ["abcde.com"],
    } | changes


def uapi(
    data: object, *, status: object = 1, errors: object = None, messages: object = None
) -> dict[str, object]:
    return {
        "data": data,
        "status": status,
        "errors": errors,
        "messages": messages,
        "metadata": {"transformed": 1},
        "warnings": None,
    }


def wrapped(inner: dict[str, object]) -> dict[str, object]:
    return {"apiversion": 3, "func": "any", "module": "Market", "result": inner}


def says(body: object, status: int = 200, **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, headers, raw)


def no(text: str, data: object = None) -> dict[str, object]:
    return uapi(data, status=0, errors=[text])


ACCESS_DENIED = {
    "cpanelresult": {"apiversion": "2", "error": "Access denied", "data": {"result": "0"}, "type": "text"}
}
NO_ENTRY = {"error_type": "EntryDoesNotExist", "order_item_ids": [int(ID)]}
NUMBERS = entry(order_item_id=int(ID), order_id=1392472, product_id=143)
STRINGS = entry(created_time="1458061262", expired="0", first_poll_time="1458061262")

CANCELS: dict[str, tuple[Answer, Result, str, bool]] = {
    "removed": (says(uapi([entry()])), Result.CANCELLED, "removed", True),
    "removed, wrapped": (says(wrapped(uapi([entry()]))), Result.CANCELLED, "removed", True),
    "IDs as numbers": (says(uapi([NUMBERS])), Result.CANCELLED, "removed", True),
    "times as strings": (says(uapi([STRINGS])), Result.CANCELLED, "removed", True),
    "status as a string": (says(uapi([entry()], status="1")), Result.CANCELLED, "removed", True),
    "nothing removed": (says(uapi([])), Result.UNKNOWN, "not_in_data", True),
    "no data": (says(uapi(None)), Result.UNKNOWN, "not_in_data", True),
    "another item": (
        says(uapi([entry(order_item_id="99999999", order_id=ID)])),
        Result.UNKNOWN,
        "not_in_data",
        True,
    ),
    "another store": (says(uapi([entry(provider="cpstore")])), Result.UNKNOWN, "not_in_data", True),
    "an ID as a fraction": (
        says(uapi([entry(order_item_id=float(ID))])),
        Result.UNKNOWN,
        "not_in_data",
        True,
    ),
    "no such entry": (
        says(no("does not match any entries", NO_ENTRY)),
        Result.UNKNOWN,
        "EntryDoesNotExist",
        True,
    ),
    "no feature": (says(no("You do not have the feature “market”.")), Result.REFUSED, "uapi_0", True),
    "no parameter": (says(no("Provide the “order_item_id” argument.")), Result.UNKNOWN, "uapi_0", True),
    "no reason": (says(uapi(None, status=0)), Result.UNKNOWN, "uapi_0", True),
    "401 page": (says(LOGIN, 401), Result.REFUSED, "http_401", True),
    "403 of another envelope": (says(ACCESS_DENIED, 403), Result.REFUSED, "http_403", True),
    "429": (says(b"Too Many Requests", 429), Result.UNKNOWN, "http_429", True),
    "500 page": (says(b"<h1>Internal Server Error</h1>", 500), Result.UNKNOWN, "http_500", False),
    "500 with a success": (says(uapi([entry()]), 500), Result.UNKNOWN, "http_500", False),
    "200 page": (says(b"<html>Session expired</html>"), Result.UNKNOWN, "http_200", False),
    "200 of another envelope": (says(ACCESS_DENIED), Result.UNKNOWN, "http_200", False),
    "an empty object": (says({}), Result.UNKNOWN, "http_200", False),
    "status true": (says(uapi([entry()], status=True)), Result.UNKNOWN, "http_200", False),
    "202": (says(uapi([entry()]), 202), Result.UNKNOWN, "http_202", False),
    "302": (says(b"", 302), Result.UNKNOWN, "http_302", False),
    "404": (says(b"", 404), Result.UNKNOWN, "http_404", False),
}


@pytest.mark.parametrize("name", CANCELS)
def test_a_cancel_answer_is_read(name: str) -> None:
    answer, result, code, settled = CANCELS[name]
    outcome = read_cancel(answer, ID, STORE)
    assert (outcome.result, outcome.code, outcome.settled) == (result, code, settled)
    assert outcome.said


def test_a_clean_up_that_failed_is_told_with_the_success() -> None:
    text = "The system failed to stop the polling job: example."
    outcome = read_cancel(says(uapi([entry()], messages=[text])), ID, STORE)
    assert outcome.result is Result.CANCELLED
    assert text in outcome.said


def test_a_missing_feature_is_explained() -> None:
    outcome = read_cancel(says(no("You do not have the feature «market».")), ID, STORE)
    assert "tls_wizard" in outcome.said


def test_a_reason_is_cleaned_and_our_token_masked() -> None:
    outcome = read_cancel(says(no(f"token {TOKEN}\n\u202e bad, see https://x.example/")), ID, STORE, (TOKEN,))
    assert outcome.said == "cPanel says: token *** bad, see [link]"


def test_a_rate_limit_says_how_long_to_wait() -> None:
    answer = Answer(429, {"retry-after": "30"}, b"")
    assert read_cancel(answer, ID, STORE).look_again == timedelta(seconds=30)


@pytest.mark.parametrize(
    ("trouble", "result", "settled"),
    [
        (NoAnswer("connect_error", sent=False), Result.NO_EFFECT, True),
        (NoAnswer("read_timeout", sent=True), Result.UNKNOWN, False),
    ],
)
def test_silence_is_unknown_unless_nothing_was_sent(trouble: NoAnswer, result: Result, settled: bool) -> None:
    outcome = read_silence(trouble)
    assert (outcome.result, outcome.settled, outcome.code) == (result, settled, trouble.code)


QUEUES: dict[str, tuple[Answer, Standing | None]] = {
    "listed and paid": (says(uapi([entry(), entry(order_item_id="10427509")])), Standing.CANCELLABLE),
    "listed, wrapped": (says(wrapped(uapi([entry()]))), Standing.CANCELLABLE),
    "listed and unpaid": (
        says(uapi([entry(status="unconfirmed", last_status_code=None)])),
        Standing.CANCELLABLE,
    ),
    "listed as a number": (says(uapi([NUMBERS])), Standing.CANCELLABLE),
    "listed, cancelled at the store": (
        says(uapi([entry(last_status_code="OrderCanceled")])),
        Standing.CANCELLED,
    ),
    "listed, item cancelled": (says(uapi([entry(last_status_code="OrderItemCanceled")])), Standing.CANCELLED),
    "listed in an unheard-of state": (says(uapi([entry(status="limbo")])), Standing.UNCLEAR),
    "listed under another store": (says(uapi([entry(provider="Other")])), Standing.UNCLEAR),
    "listed twice": (says(uapi([entry(), entry()])), Standing.UNCLEAR),
    "not listed": (says(uapi([entry(order_item_id="1", order_id=ID)])), None),
    "empty": (says(uapi([])), None),
    "no list": (says(uapi({"a": 1})), Standing.UNREADABLE),
    "null": (says(uapi(None)), Standing.UNREADABLE),
    "an entry that is none": (says(uapi([entry(order_item_id="1"), "?"])), Standing.UNREADABLE),
    "no feature": (says(no("You do not have the feature “tls_wizard”.")), Standing.UNREADABLE),
    "page": (says(LOGIN), Standing.UNREADABLE),
    "401": (says(LOGIN, 401), Standing.UNREADABLE),
    "403": (says(ACCESS_DENIED, 403), Standing.UNREADABLE),
    "429": (says(b"", 429), Standing.UNREADABLE),
    "503": (says(b"", 503), Standing.UNREADABLE),
}


@pytest.mark.parametrize("name", QUEUES)
def test_the_queue_is_read(name: str) -> None:
    answer, standing = QUEUES[name]
    state = read_pending(answer, ID, STORE)
    assert (state.standing if state else None) is standing
    assert state is None or state.detail


def test_the_card_shows_what_an_approver_needs_and_no_more() -> None:
    state = read_pending(says(uapi([entry(checkout_url="https://store.example/1")])), ID, STORE)
    assert state is not None
    assert state.known_as == "1392472"
    assert dict(state.facts) == {
        "Domains": "example1.com, example2.com",
        "Product ID": "143",
        "Order ID": "1392472",
        "Ordered": "2016-03-15",
        "Paid": "yes",
        "At the store": "RequiresApproval",
    }
    assert len(state.warnings) == 1
    assert "Paid" in state.warnings[0]


def test_an_unpaid_order_comes_without_the_warning_and_an_expired_one_with_another() -> None:
    unpaid = read_pending(says(uapi([entry(status="unconfirmed")])), ID, STORE)
    expired = read_pending(says(uapi([entry(status="unconfirmed", expired=1)])), ID, STORE)
    assert unpaid is not None
    assert expired is not None
    assert (len(unpaid.warnings), len(expired.warnings)) == (0, 1)


@pytest.mark.parametrize("odd", ["soon", "", None, True, -1, 1.5, "9" * 11, "1458061262\n"])
def test_a_time_that_is_none_leaves_the_day_out(odd: object) -> None:
    state = read_pending(says(uapi([entry(created_time=odd)])), ID, STORE)
    assert state is not None
    assert state.standing is Standing.CANCELLABLE
    assert "Ordered" not in dict(state.facts)


def test_many_domains_are_counted() -> None:
    names = [f"n{number}.example" for number in range(30)]
    state = read_pending(says(uapi([entry(domains=names)])), ID, STORE)
    assert state is not None
    assert dict(state.facts)["Domains"].endswith("n19.example and 10 more")
    twenty = read_pending(says(uapi([entry(domains=names[:20])])), ID, STORE)
    assert twenty is not None
    assert dict(twenty.facts)["Domains"].endswith("n19.example")


@pytest.mark.parametrize("odd", [True, None, 1.5, ["1392472"], {}])
def test_an_id_of_another_type_is_none(odd: object) -> None:
    state = read_pending(says(uapi([entry(order_id=odd)])), ID, STORE)
    assert state is not None
    assert state.known_as == ""


@pytest.mark.parametrize("feature", ["market", "tls_wizard"])
def test_either_missing_feature_is_explained(feature: str) -> None:
    state = read_pending(says(no(f"You do not have the feature “{feature}”.")), ID, STORE)
    assert state is not None
    assert "Look-ups need the features market and tls_wizard" in state.detail
    assert "Look-ups need" not in read_cancel(says(no("Something else.")), ID, STORE).said


def certificate(pem: object = None, code: object = None) -> Answer:
    return says(
        uapi(
            {
                "certificate_pem": pem,
                "encrypted_action_urls": None,
                "status_code": code,
                "status_message": None,
            }
        )
    )


NOT_ISSUED = {"RequiresApproval", "CertificateNotFound"}
CERTIFICATES: dict[str, tuple[Answer, Standing]] = {
    "issued": (certificate("-----BEGIN CERTIFICATE-----"), Standing.NOT_CANCELLABLE),
    "order cancelled": (certificate(None, "OrderCanceled"), Standing.CANCELLED),
    "item cancelled": (certificate(None, "OrderItemCanceled"), Standing.CANCELLED),
    "waiting": (certificate(None, "RequiresApproval"), Standing.NOT_FOUND),
    "unknown to the store": (certificate(None, "CertificateNotFound"), Standing.NOT_FOUND),
    "an odd certificate": (certificate(17), Standing.UNREADABLE),
    "a list": (says(uapi([])), Standing.UNREADABLE),
    "no word on a certificate": (says(uapi({"status_code": "OrderCanceled"})), Standing.UNREADABLE),
    "an empty object": (says(uapi({})), Standing.UNREADABLE),
    "status 0": (says(no("No.")), Standing.UNREADABLE),
    "page": (says(LOGIN), Standing.UNREADABLE),
}


@pytest.mark.parametrize("name", CERTIFICATES)
def test_the_word_of_the_store_is_read(name: str) -> None:
    answer, standing = CERTIFICATES[name]
    state = read_certificate(answer)
    assert state.standing is standing
    assert state.detail
    assert state.status in {"", "issued", "OrderCanceled", "OrderItemCanceled", *NOT_ISSUED}
    assert "BEGIN" not in repr(state)


def test_a_parent_order_id_is_recognised() -> None:
    assert ID in mix_up(says(uapi([entry()])), "1392472")
    assert mix_up(says(uapi([entry()])), "17") == ""


GONE = OrderState(Standing.NOT_FOUND)


@pytest.mark.parametrize(
    ("now", "before", "result", "code"),
    [
        (WAITING, WAITING, Result.NO_EFFECT, "in_queue"),
        (OrderState(Standing.NOT_CANCELLABLE, "issued"), WAITING, Result.REFUSED, "issued"),
        (OrderState(Standing.CANCELLED, "OrderCanceled"), WAITING, Result.CANCELLED, "cancelled_at_store"),
        (GONE, WAITING, Result.CANCELLED, "left_queue"),
        (GONE, GONE, Result.UNKNOWN, "not_found"),
        (GONE, OrderState(Standing.UNREADABLE), Result.UNKNOWN, "not_found"),
        (OrderState(Standing.UNCLEAR), WAITING, Result.UNKNOWN, "unclear"),
        (OrderState(Standing.UNREADABLE), WAITING, Result.UNKNOWN, "unreadable"),
    ],
)
def test_a_follow_up_proves_what_the_order_proves(
    now: OrderState, before: OrderState, result: Result, code: str
) -> None:
    outcome = read_follow_up(now, Attempt(before, timedelta(minutes=10), accepted=False))
    assert (outcome.result, outcome.code) == (result, code)
    assert outcome.settled is (result is not Result.UNKNOWN)


@pytest.mark.parametrize(
    ("answer", "ok"),
    [
        (says(uapi([{"name": STORE, "display_name": "cPanel Store"}])), True),
        (says(uapi([{"name": "OtherStore", "display_name": "Other Store"}])), False),
        (says(uapi([{"name": "cpstore"}])), False),
        (says(LOGIN, 401), False),
        (says(ACCESS_DENIED, 403), False),
        (says(no("You do not have the feature “market”.")), False),
        (says(LOGIN), None),
        (says(uapi(None)), None),
        (says(b"", 503), None),
    ],
)
def test_the_list_of_stores_tells_if_the_settings_are_right(answer: Answer, ok: bool | None) -> None:
    assert read_stores(answer, STORE).ok is ok


# ---- with the pretend server


@pytest.mark.parametrize("wrapped", [False, True])
async def test_both_envelopes_work_for_every_call(start_vendor: Start, wrapped: bool) -> None:
    vendor = await start_vendor(CPanelVendor)
    vendor.wrapped = wrapped
    provider = connect(CPanel, vendor.settings())
    before = await provider.look_up(ID)
    assert (await provider.check()).ok is True
    assert before.standing is Standing.CANCELLABLE
    assert (await provider.look_up(vendor.samples["too_late"])).standing is Standing.NOT_CANCELLABLE
    assert (await provider.cancel(ID, "", before)).result is Result.CANCELLED


@pytest.mark.parametrize("sample", ["unknown", "parent_order", "removed", "too_late"])
async def test_status_1_with_empty_data_is_no_success(start_vendor: Start, sample: str) -> None:
    """An unknown item, the parent order, a removed and an issued item: cPanel finds nothing wrong."""
    vendor = await start_vendor(CPanelVendor)
    reference = vendor.unknown if sample == "unknown" else vendor.samples[sample]
    outcome = await connect(CPanel, vendor.settings()).cancel(reference, "", WAITING)
    assert (outcome.result, outcome.code, outcome.settled) == (Result.UNKNOWN, "not_in_data", True)
    assert (vendor.sends, vendor.performed) == ([reference], [])


async def test_another_name_of_the_store_cancels_nothing_and_is_named(start_vendor: Start) -> None:
    """Upper and lower case matter to the server, and a wrong name gets the answer of a success."""
    vendor = await start_vendor(CPanelVendor)
    provider = connect(CPanel, {**vendor.settings(), "CPANEL_MARKET_PROVIDER": "cpstore"})
    state, outcome = await provider.look_up(ID), await provider.cancel(ID, "", WAITING)
    assert state.standing is Standing.UNCLEAR
    assert "CPANEL_MARKET_PROVIDER" in state.detail
    assert (outcome.result, outcome.code, vendor.performed) == (Result.UNKNOWN, "not_in_data", [])
    assert (await provider.check()).ok is False


async def test_the_parent_order_in_place_of_the_item_cancels_no_item(start_vendor: Start) -> None:
    vendor = await start_vendor(CPanelVendor)
    provider, parent = connect(CPanel, vendor.settings()), vendor.samples["parent_order"]
    outcome = await provider.cancel(parent, "", WAITING)
    assert (outcome.result, vendor.performed) == (Result.UNKNOWN, [])
    assert (await provider.look_up(ID)).standing is Standing.CANCELLABLE


async def test_what_is_not_in_the_queue_any_more_is_told_by_the_order(start_vendor: Start) -> None:
    """A GET may arrive twice; the second one would hear that there is no such entry."""
    vendor = await start_vendor(CPanelVendor)
    provider = connect(CPanel, vendor.settings())
    before = await provider.look_up(ID)
    vendor.set_state(ID, "removed")
    vendor.fail_next(Fault.REJECT)
    outcome = await provider.cancel(ID, "", before)
    after = await provider.follow_up(ID, Attempt(before, timedelta(0), accepted=False))
    assert (outcome.result, outcome.settled, after.result) == (Result.UNKNOWN, True, Result.CANCELLED)


async def test_the_check_asks_for_both_features(start_vendor: Start) -> None:
    vendor = await start_vendor(CPanelVendor)
    vendor.features.discard("market")
    assert (await connect(CPanel, vendor.settings()).check()).ok is False


async def test_a_queue_that_cannot_be_read_leaves_the_check_open(start_vendor: Start) -> None:
    vendor = await start_vendor(CPanelVendor)
    queue = "/execute/Market/get_pending_ssl_certificates"
    stores = says(uapi([{"name": STORE}]))
    http = ScriptedHttp({queue: says(b"", 503)}, otherwise=stores)
    assert (await CPanel(http, "shopowner", TOKEN, STORE).check()).ok is None
    lost = ScriptedHttp({queue: NoAnswer("connection_lost", sent=True)}, otherwise=stores)
    assert (await CPanel(lost, "shopowner", TOKEN, STORE).check()).ok is None
    assert (await connect(CPanel, vendor.settings()).check()).ok is True


async def test_a_second_cancel_finds_nothing_and_is_no_success(start_vendor: Start) -> None:
    vendor = await start_vendor(CPanelVendor)
    provider = connect(CPanel, vendor.settings())
    before = await provider.look_up(ID)
    await provider.cancel(ID, "", before)
    second = await provider.cancel(ID, "", before)
    assert (second.result, second.settled) == (Result.UNKNOWN, True)


async def test_without_tls_wizard_the_look_up_says_what_is_missing(start_vendor: Start) -> None:
    vendor = await start_vendor(CPanelVendor)
    vendor.features.discard("tls_wizard")
    provider = connect(CPanel, vendor.settings())
    state, credentials = await provider.look_up(ID), await provider.check()
    assert state.standing is Standing.UNREADABLE
    assert "tls_wizard" in state.detail
    assert credentials.ok is False


async def test_the_parent_order_id_is_turned_away_with_the_right_number(start_vendor: Start) -> None:
    vendor = await start_vendor(CPanelVendor)
    state = await connect(CPanel, vendor.settings()).look_up(vendor.samples["parent_order"])
    assert state.standing is Standing.NOT_FOUND
    assert ID in state.detail


async def test_issued_while_the_answer_was_lost_is_too_late(start_vendor: Start) -> None:
    vendor = await start_vendor(CPanelVendor)
    provider = connect(CPanel, vendor.settings())
    before = await provider.look_up(ID)
    vendor.fail_next(Fault.DROP)
    await provider.cancel(ID, "", before)
    vendor.set_state(ID, "issued")
    outcome = await provider.follow_up(ID, Attempt(before, timedelta(minutes=1), accepted=False))
    assert outcome.result is Result.REFUSED
    assert "issued" in outcome.said


async def test_what_cannot_be_asked_says_why() -> None:
    lost = ScriptedHttp({}, otherwise=NoAnswer("connection_lost", sent=True))
    state = await CPanel(lost, "shopowner", TOKEN, STORE).look_up(ID)
    assert "The connection was lost" in state.detail


@pytest.mark.parametrize("username", ["", "a b", "a:b", "a\n", "ü"])
def test_a_user_name_that_would_break_the_header_is_refused(username: str) -> None:
    values: dict[str, Any] = {"CPANEL_BASE_URL": "https://h.example:2083", "CPANEL_API_TOKEN": TOKEN}
    with pytest.raises(ValueError, match="CPANEL_USERNAME") as caught:
        connect(CPanel, {**values, "CPANEL_USERNAME": username})
    assert TOKEN not in str(caught.value)
