"""Tradernet: the readings of its answers one by one, and the adapter against the pretend Tradernet."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from providers.contract import Attempt, OrderState, Outcome, Result, Standing
from providers.http import Answer, Http, HttpLimits
from providers.tradernet import (
    FIRST_LOOK,
    TAKES_HOLD_AFTER,
    Tradernet,
    judge,
    orders_in,
    read_cancel,
    read_credentials,
    read_order,
    signature,
)
from sandbox.vendors.tradernet import TradernetVendor
from sandbox.vendors.vendor import Fault
from tests.providers.examples.exchange import ScriptedHttp

ORDER = "2929292929"
OPEN = OrderState(Standing.CANCELLABLE, status="10 active")
BUSY = {"error": "Your request limit has been exceeded. Please try again later", "code": 429}
KEY_REFUSED = {"error": "Invalid api key provided", "code": None}
DESK = "This order may only be cancelled by a Cancellation Order or through traders"


def answer(body: object, status: int = 200, **headers: str) -> Answer:
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


def row(stat: object = 10, **fields: object) -> dict[str, object]:
    """An order as the lists show it, personal fields included."""
    return {
        "id": 2929292929,
        "order_id": 2929292929,
        "date": "2026-08-19T14:30:00.000",
        "stat": stat,
        "stat_d": "2026-08-19T14:30:00.100",
        "instr": "AAPL.US",
        "oper": 1,
        "type": 2,
        "cur": "USD",
        "p": 190.5,
        "stop": 0,
        "q": 5,
        "leaves_qty": 5,
        "exp": 3,
        "order_nb": "123456789",
        "owner_login": "somebody",
        "creator_login": "somebody",
        "login": "somebody@example.com",
        "auth_login": "somebody@example.com",
        "temp_order_id": "%SOMEBODY:AAPL.US:1",
        **fields,
    }


def current(*rows: dict[str, object]) -> Answer:
    orders: dict[str, object] = {"key": "%somebody"}
    return answer({"result": {"orders": {**orders, "order": list(rows)} if rows else orders}})


def found(stat: object, **fields: object) -> OrderState:
    return read_order(current(row(stat, **fields)), ORDER)


# ---- the signature


@pytest.mark.parametrize(
    ("key", "body", "timestamp", "digest"),
    [  # made with openssl dgst -sha256 -hmac
        (
            "PRIVATE_KEY",
            b'{"order_id":2929292929}',
            "1700000000",
            "3a514f5a85fec33333ff4a8b29222cfb6c00fc1a213c05cfdacda5f7ffbb835b",
        ),
        (
            "PRIVATE_KEY",
            b'{"active_only":0}',
            "1700000000",
            "d0e05e67649ba02272d1aaa5aa03540d840bfa9d41338e562eb66db251bd7c2a",
        ),
        # published with the API's description of signing
        (
            "123",
            b"key=value&key2=value2",
            "",
            "f2cbb400e9fcb40a1ab38cc987e2887ee88278731d83a4df4c65d38ae1d7cbee",
        ),
    ],
)
def test_the_signature_covers_body_and_timestamp(key: str, body: bytes, timestamp: str, digest: str) -> None:
    assert signature(key, body, timestamp) == digest


async def test_the_signed_bytes_are_compact_and_the_time_is_cut_to_whole_seconds() -> None:
    http = Http("http://127.0.0.1:1", HttpLimits(timeout=5))
    adapter = Tradernet(http, "PUBLIC_KEY", "PRIVATE_KEY", now=lambda: 1700000000.9)
    body, headers = adapter._signed({"order_id": 2929292929})
    assert body == b'{"order_id":2929292929}'
    assert headers["X-NtApi-Timestamp"] == "1700000000"
    assert headers["X-NtApi-Sig"] == "3a514f5a85fec33333ff4a8b29222cfb6c00fc1a213c05cfdacda5f7ffbb835b"
    assert "PRIVATE_KEY" not in headers.values()


async def test_the_order_is_an_integer_and_what_is_signed_is_what_is_sent() -> None:
    http = ScriptedHttp({}, otherwise=answer({"order_id": 2929292929}))
    adapter = Tradernet(http, "PUBLIC_KEY", "PRIVATE_KEY", now=lambda: 1700000000.0)
    await adapter.cancel(ORDER, "a note", OPEN)
    await adapter.cancel(ORDER, "another note", OPEN)
    first, second = http.sends
    assert first.body == b'{"order_id":2929292929}'
    # There is no nonce: the same order in the same second is the same request.
    assert first == second


def test_the_largest_order_id_is_sent_without_rounding() -> None:
    body, _ = Tradernet(ScriptedHttp({}), "P", "S", now=lambda: 0.0)._signed({"order_id": 2**63 - 1})
    assert body == b'{"order_id":9223372036854775807}'


# ---- references


@pytest.mark.parametrize(
    "good", ["1", "9", "10", ORDER, "999999999999999999", "8999999999999999999", str(2**63 - 1)]
)
def test_an_order_id_is_a_positive_64_bit_integer(good: str) -> None:
    assert Tradernet.facts.reference.fullmatch(good)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "0",
        "007",
        "+5",
        "-5",
        "1.0",
        "1e3",
        "1_000",
        "12\n",
        " 1",
        "٣",
        "²",
        str(2**63),
        "9" * 19,
        "1" + "0" * 19,
    ],
)
def test_anything_else_is_not(bad: str) -> None:
    assert not Tradernet.facts.reference.fullmatch(bad)


# ---- answers to a cancel


@pytest.mark.parametrize(
    "body",
    [
        {"order_id": 2929292929},
        {"order_id": "2929292929"},
        {"order_id": 2929292929, "error": False, "errMsg": ""},
        {"order_id": 2929292929, "error": "0", "errMsg": None, "errorMsg": 0},
    ],
)
def test_an_answer_that_names_the_order_accepts_and_does_not_cancel(body: object) -> None:
    outcome = read_cancel(answer(body), ORDER)
    assert (outcome.result, outcome.settled, outcome.look_again) == (Result.ACCEPTED, True, FIRST_LOOK)


@pytest.mark.parametrize(
    "body",
    [
        {"order_id": 1},
        {"order_id": 2929292929.0},
        {"order_id": True},
        {},
        {"error": "Type of security not identified. Please contact Support.", "code": 0},
        {"error": "Order not found", "code": 0},
        {"errMsg": "fail", "code": 1},
        {"error": "Exec wrong", "code": 18},
        {"error": {"nested": "error"}, "order_id": 2929292929},
        {"errorMsg": "only here", "order_id": 2929292929},
    ],
)
def test_a_complete_answer_that_proves_nothing_is_settled_and_looked_up(body: object) -> None:
    outcome = read_cancel(answer(body), ORDER)
    assert (outcome.result, outcome.settled) == (Result.UNKNOWN, True)


@pytest.mark.parametrize(
    ("reply", "hint"),
    [
        (answer({"code": 12, "errorMsg": DESK, "error": DESK}), "dealing desk"),
        (answer({"errMsg": "Unsupported query method", "code": 2}), "TRADERNET_BASE_URL"),
        (answer({"errMsg": "Bad json", "code": 2}), "Bad json"),
        (answer(KEY_REFUSED, 403), "TRADERNET_PUBLIC_KEY"),
        (answer({"error": "Invalid signature", "code": None}, 403), "clock"),
        (answer({"error": "you need to open a security session", "code": None}, 403), "security session"),
        (answer({"error": "Access denied", "code": None}, 401), "TRADERNET_BASE_URL"),
    ],
)
def test_a_refusal_says_what_to_do(reply: Answer, hint: str) -> None:
    outcome = read_cancel(reply, ORDER)
    assert (outcome.result, outcome.settled) == (Result.REFUSED, True)
    assert outcome.code in {"code_2", "code_12", "http_401", "http_403"}
    assert hint in outcome.said


@pytest.mark.parametrize(
    ("reply", "wait"),
    [
        (answer(BUSY), 30),
        (answer(BUSY, 429, retry_after="30"), 30),
        (answer("", 429, retry_after="3"), 3),
        (answer("", 429), 30),
    ],
)
def test_too_many_requests_is_looked_up_and_never_sent_again(reply: Answer, wait: int) -> None:
    outcome = read_cancel(reply, ORDER)
    assert (outcome.result, outcome.settled) == (Result.UNKNOWN, True)
    assert outcome.look_again == timedelta(seconds=wait)


@pytest.mark.parametrize(
    "reply",
    [
        answer("<!DOCTYPE html><html></html>"),
        answer("<h1>502 Bad Gateway</h1>", 502),
        answer("<!DOCTYPE html><html><head><title>Just a moment...</title></head></html>", 403),
        answer({"order_id": 2929292929}, 500),
        answer({"order_id": 2929292929}, 300),
        answer({"order_id": 2929292929}, 302),
        answer({"order_id": 2929292929}, 399),
        answer([{"order_id": 2929292929}]),
        answer(""),
        answer("null"),
    ],
)
def test_what_is_not_the_apis_own_answer_leaves_everything_open(reply: Answer) -> None:
    outcome = read_cancel(reply, ORDER)
    assert (outcome.result, outcome.settled) == (Result.UNKNOWN, False)


# ---- answers to a look-up


@pytest.mark.parametrize(
    ("stat", "standing"),
    [
        (0, Standing.NOT_CANCELLABLE),
        (1, Standing.CANCELLABLE),
        (10, Standing.CANCELLABLE),
        ("10", Standing.CANCELLABLE),
        (11, Standing.CANCELLABLE),
        (12, Standing.CANCELLABLE),
        (20, Standing.CANCELLABLE),
        (2, Standing.NOT_CANCELLABLE),
        (21, Standing.NOT_CANCELLABLE),
        (30, Standing.CANCELLED),
        (31, Standing.CANCELLED),
        (70, Standing.NOT_CANCELLABLE),
        (71, Standing.NOT_CANCELLABLE),
        (72, Standing.NOT_CANCELLABLE),
        (74, Standing.NOT_CANCELLABLE),
        (75, Standing.UNCLEAR),
        (99, Standing.UNCLEAR),
        (None, Standing.UNCLEAR),
        (10.0, Standing.UNCLEAR),
    ],
)
def test_each_stat_has_a_standing_and_a_new_one_is_unclear(stat: object, standing: Standing) -> None:
    assert found(stat).standing is standing
    assert found(stat).detail


@pytest.mark.parametrize(
    "envelope",
    [
        [row()],
        {"result": {"orders": {"key": "%u", "order": [row()]}}},
        {"result": {"orders": {"key": "%u", "order": row()}}},
        {"orders": {"key": "USER", "order": [row()]}},
        {"result": [row()]},
        [row(), row(id=2929292930, order_id=2929292930)],
        [row(id="2929292929", order_id="2929292929", stat="10")],
        [{key: value for key, value in row().items() if key != "order_id"}],
        [{key: value for key, value in row().items() if key != "id"}],
    ],
)
def test_the_order_is_found_in_every_envelope(envelope: object) -> None:
    assert read_order(answer(envelope), ORDER).standing is Standing.CANCELLABLE


@pytest.mark.parametrize(
    "envelope",
    [
        {"result": {"orders": {"key": "%u"}}},
        {"orders": {"key": "USER", "order": None}},
        {"orders": {"order": []}},
        [],
        [row(id=777, order_id=777, order_nb="2929292929", user_order_id=2929292929)],
        [row(id=777, order_id=2929292929)],
        [row(id=2929292929.0, order_id=2929292929.0)],
    ],
)
def test_look_alike_numbers_are_not_the_order(envelope: object) -> None:
    assert read_order(answer(envelope), ORDER).standing is Standing.NOT_FOUND


@pytest.mark.parametrize(
    "reply",
    [
        answer(KEY_REFUSED, 403),
        answer(BUSY),
        answer("", 429),
        answer("<html></html>"),
        answer("<html></html>", 502),
        answer([row()], 202),
        answer({}),
        answer({"result": {}}),
        answer({"result": {"orders": {"order": ["no object"]}}}),
        answer({"result": {"orders": {"order": 5}}}),
    ],
)
def test_an_unusable_answer_is_unreadable(reply: Answer) -> None:
    assert read_order(reply, ORDER).standing is Standing.UNREADABLE


def test_two_stories_about_one_order_are_unclear() -> None:
    assert read_order(current(row(10), row(31)), ORDER).standing is Standing.UNCLEAR


def test_an_empty_list_is_a_list_and_an_empty_object_is_not() -> None:
    assert orders_in([]) == []
    assert orders_in({}) is None


def test_the_card_shows_the_order_and_nobodys_login() -> None:
    state = found("10", p="190.50", q="5", leaves_qty=5.0)
    assert state.facts == (
        ("Instrument", "AAPL.US"),
        ("Side", "buy"),
        ("Still open", "5 of 5"),
        ("Price", "190.5 USD"),
        ("Quantity", "5"),
        ("Type", "limit"),
        ("Valid", "until cancelled"),
    )
    assert "omebody" not in repr(state)


def test_numbers_as_text_and_as_numbers_make_the_same_card() -> None:
    as_text = found("10", p="190.50", q="5", oper="1", type="2", exp="3", leaves_qty="5.0")
    assert as_text.facts == found(10).facts


def test_a_partly_filled_order_warns_that_the_filled_part_stands() -> None:
    assert found(12, leaves_qty=2).warnings == ("3 of 5 were filled already; that part stands.",)


@pytest.mark.parametrize("kind", [3, 4, 5, 6])
def test_a_protective_order_warns_about_the_lost_protection(kind: int) -> None:
    assert "protection" in " ".join(found(10, type=kind).warnings)


def test_strange_quantities_do_not_break_the_card() -> None:
    state = found(12, q="1e999999999", leaves_qty="NaN", p=True, stop=[1])
    assert state.standing is Standing.CANCELLABLE


# ---- following up


def after(
    stat: object, *, accepted: bool = True, age: timedelta = timedelta(minutes=5), **fields: object
) -> Outcome:
    return judge(found(stat, **fields), Attempt(OPEN, age, accepted))


@pytest.mark.parametrize(
    ("stat", "result"),
    [
        (31, Result.CANCELLED),
        (30, Result.CANCELLED),
        (2, Result.ACCEPTED),
        (10, Result.ACCEPTED),
        (20, Result.ACCEPTED),
        (21, Result.REFUSED),
        (70, Result.REFUSED),
        (71, Result.REFUSED),
        (72, Result.REFUSED),
        (74, Result.REFUSED),
        (75, Result.UNKNOWN),
        (99, Result.UNKNOWN),
    ],
)
def test_the_order_tells_what_became_of_an_accepted_cancel(stat: int, result: Result) -> None:
    assert after(stat).result is result


@pytest.mark.parametrize("stat", [1, 10, 11, 12, 20])
def test_an_open_order_without_acceptance_was_not_touched(stat: int) -> None:
    assert after(stat, accepted=False).result is Result.NO_EFFECT


def test_right_after_the_call_an_open_order_proves_nothing() -> None:
    early = after(10, accepted=False, age=timedelta(seconds=5))
    assert (early.result, early.look_again) == (Result.UNKNOWN, TAKES_HOLD_AFTER - timedelta(seconds=5))


def test_a_cancel_under_way_is_accepted_even_if_its_answer_was_lost() -> None:
    assert after(2, accepted=False).result is Result.ACCEPTED


def test_a_partial_cancel_says_what_was_filled() -> None:
    assert after(30, leaves_qty=2).said == "3 of 5 were filled before; the rest is cancelled."


def test_a_cancel_error_raises_the_alarm_and_calls_a_person() -> None:
    outcome = after(75, leaves_qty=2)
    assert outcome.needs_person
    assert "MAY STILL BE LIVE" in outcome.said
    assert "3 of 5 were filled" in outcome.said
    assert not after(99).needs_person


@pytest.mark.parametrize("stat", [2, 12, 20, 30, 70, 71, 72, 74, 75])
def test_a_part_that_was_filled_is_told_whatever_became_of_the_rest(stat: int) -> None:
    assert "3 of 5 were filled" in found(stat, leaves_qty=2).detail
    assert "filled" not in found(stat, leaves_qty=5).detail or stat == 30


@pytest.mark.parametrize(
    ("stat", "status"),
    [
        (0, "0 ignored"),
        (1, "1 received"),
        (10, "10 active"),
        (11, "11 sent"),
        (12, "12 partly completed"),
        (20, "20 partly executed"),
        (2, "2 cancel pending"),
        (21, "21 executed"),
        (30, "30 partly cancelled"),
        (31, "31 cancelled"),
        (70, "70 rejected"),
        (71, "71 expired"),
        (72, "72 partly executed, then expired"),
        (74, "74 send error"),
        (75, "75 cancel error"),
        (99, "99"),
        (None, ""),
    ],
)
def test_the_status_is_the_number_with_a_word(stat: object, status: str) -> None:
    assert found(stat).status == status


def test_the_card_has_a_word_for_each_kind_of_order() -> None:
    kinds = [dict(found(10, type=kind).facts)["Type"] for kind in range(1, 7)]
    assert kinds == ["market", "limit", "stop", "stop limit", "stop loss", "take profit"]
    sides = [dict(found(10, oper=side).facts)["Side"] for side in range(1, 5)]
    assert sides == ["buy", "buy on margin", "sell", "sell short"]
    assert [dict(found(10, exp=exp).facts)["Valid"] for exp in (1, 2)] == ["this day", "extended day"]
    assert dict(found(10, type=3, stop="181.50").facts)["Stop price"] == "181.5 USD"
    assert "Stop price" not in dict(found(10, stop=0).facts)


def test_an_open_order_is_looked_at_again_as_long_as_it_takes() -> None:
    assert after(10, age=timedelta(seconds=8)).look_again == timedelta(seconds=8)
    assert judge(OrderState(Standing.UNREADABLE), attempt(OPEN)).look_again == timedelta(seconds=30)
    assert after(99, age=timedelta(seconds=8)).look_again == timedelta(seconds=8)


def test_one_share_is_not_called_many() -> None:
    assert "1 of 5 was filled" in found(71, leaves_qty=4).detail


@pytest.mark.parametrize("left", [None, "", "many", True, [2], "1e40", -1, 6, "NaN", "9" * 41])
def test_a_quantity_that_makes_no_sense_is_no_fill(left: object) -> None:
    assert "of 5" not in found(12, leaves_qty=left).detail


def test_waiting_grows_from_two_seconds_to_a_minute() -> None:
    waits = [after(2, age=timedelta(seconds=age)).look_again for age in (0, 8, 600)]
    assert waits == [timedelta(seconds=2), timedelta(seconds=8), timedelta(seconds=60)]


@pytest.mark.parametrize(("accepted", "result"), [(True, Result.ACCEPTED), (False, Result.UNKNOWN)])
def test_a_look_up_that_fails_leaves_things_as_they_were(accepted: bool, result: Result) -> None:
    nothing = OrderState(Standing.UNREADABLE)
    assert judge(nothing, Attempt(OPEN, timedelta(minutes=5), accepted)).result is result


def test_an_order_in_no_list_proves_nothing() -> None:
    nowhere = OrderState(Standing.NOT_FOUND)
    assert judge(nowhere, Attempt(OPEN, timedelta(minutes=5), accepted=True)).result is Result.UNKNOWN


# ---- credentials


@pytest.mark.parametrize(
    ("reply", "ok"),
    [
        (answer({"result": {"orders": {"key": "%somebody"}}}), True),
        (answer([]), True),
        (answer(KEY_REFUSED, 401), False),
        (answer(KEY_REFUSED, 403), False),
        (answer(KEY_REFUSED), None),
        (answer(BUSY), None),
        (answer("<html></html>", 403), None),
        (answer({}), None),
        (answer("", 502), None),
    ],
)
def test_any_signed_reading_call_tells_about_the_key(reply: Answer, ok: bool | None) -> None:
    assert read_credentials(reply).ok is ok


# ---- against the pretend Tradernet


@pytest.fixture
async def vendor() -> AsyncIterator[TradernetVendor]:
    vendor = TradernetVendor(settle_after=None)
    await vendor.start()
    yield vendor
    await vendor.stop()


@pytest.fixture
def tradernet(vendor: TradernetVendor) -> Tradernet:
    return Tradernet.from_settings(vendor.settings(), HttpLimits(timeout=5))


def attempt(before: OrderState, *, accepted: bool = True) -> Attempt:
    return Attempt(before, timedelta(minutes=1), accepted)


async def test_a_cancel_is_accepted_first_and_done_when_the_market_has_let_go(
    vendor: TradernetVendor, tradernet: Tradernet
) -> None:
    order = vendor.samples["cancellable"]
    before = await tradernet.look_up(order)
    assert (await tradernet.cancel(order, "", before)).result is Result.ACCEPTED
    assert (await tradernet.follow_up(order, attempt(before))).result is Result.ACCEPTED
    vendor.settle(order)
    assert (await tradernet.follow_up(order, attempt(before))).result is Result.CANCELLED
    assert vendor.sends == vendor.performed == [order]


@pytest.mark.parametrize(
    ("sample", "result"),
    [
        ("partly_filled", Result.CANCELLED),
        ("executed_instead", Result.REFUSED),
        ("stuck", Result.UNKNOWN),
    ],
)
async def test_what_the_market_makes_of_it_is_reported(
    vendor: TradernetVendor, tradernet: Tradernet, sample: str, result: Result
) -> None:
    order = vendor.samples[sample]
    before = await tradernet.look_up(order)
    assert (await tradernet.cancel(order, "", before)).result is Result.ACCEPTED
    vendor.settle(order)
    assert (await tradernet.follow_up(order, attempt(before))).result is result


async def test_an_order_for_the_dealing_desk_is_refused(
    vendor: TradernetVendor, tradernet: Tradernet
) -> None:
    order = vendor.samples["desk_only"]
    assert (await tradernet.cancel(order, "", OPEN)).result is Result.REFUSED
    assert (await tradernet.look_up(order)).standing is Standing.CANCELLABLE


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("at_root", [False, True])
async def test_every_shape_of_the_lists_works_all_the_way(
    vendor: TradernetVendor, tradernet: Tradernet, at_root: bool, as_text: bool
) -> None:
    vendor.at_root, vendor.as_text = at_root, as_text
    order = vendor.samples["partly_filled"]
    before = await tradernet.look_up(order)
    assert before.standing is Standing.CANCELLABLE
    assert (await tradernet.cancel(order, "", before)).result is Result.ACCEPTED
    vendor.settle(order)
    done = await tradernet.follow_up(order, attempt(before))
    assert (done.result, done.code) == (Result.CANCELLED, "stat_30")
    assert "3 of 5 were filled" in done.said
    assert (await tradernet.look_up(vendor.samples["in_history"])).standing is Standing.CANCELLED


async def test_an_error_text_with_code_0_and_status_200_is_no_success(
    vendor: TradernetVendor, tradernet: Tradernet
) -> None:
    """So are an unknown, a filled and a cancelled order answered here; the order decides."""
    order = vendor.samples["too_late"]
    outcome = await tradernet.cancel(order, "", OPEN)
    assert (outcome.result, outcome.code, outcome.settled) == (Result.UNKNOWN, "code_0", True)
    assert (await tradernet.follow_up(order, attempt(OPEN, accepted=False))).result is Result.REFUSED


async def test_an_old_order_is_found_in_the_history(vendor: TradernetVendor, tradernet: Tradernet) -> None:
    assert (await tradernet.look_up(vendor.samples["in_history"])).standing is Standing.CANCELLED
    assert [seen.path for seen in vendor.seen] == ["/api/getNotifyOrderJson", "/api/getOrdersHistory"]


async def test_an_unknown_order_is_in_neither_list(vendor: TradernetVendor, tradernet: Tradernet) -> None:
    assert (await tradernet.look_up(vendor.unknown)).standing is Standing.NOT_FOUND
    outcome = await tradernet.cancel(vendor.unknown, "", OPEN)
    assert (outcome.result, outcome.settled) == (Result.UNKNOWN, True)


async def test_a_lost_answer_is_found_out_by_reading_only(
    vendor: TradernetVendor, tradernet: Tradernet
) -> None:
    order = vendor.samples["cancellable"]
    vendor.fail_next(Fault.LOSE_ANSWER)
    assert (await tradernet.cancel(order, "", OPEN)).result is Result.UNKNOWN
    vendor.settle(order)
    assert (await tradernet.follow_up(order, attempt(OPEN, accepted=False))).result is Result.CANCELLED
    assert vendor.sends == [order]


async def test_a_busy_vendor_gets_one_request_only(vendor: TradernetVendor, tradernet: Tradernet) -> None:
    vendor.fail_next(Fault.RATE_LIMITED)
    outcome = await tradernet.cancel(vendor.samples["cancellable"], "", OPEN)
    assert (outcome.result, len(vendor.sends), vendor.performed) == (Result.UNKNOWN, 1, [])


async def test_a_clock_that_is_wrong_is_refused_and_named(vendor: TradernetVendor) -> None:
    http = Http(vendor.base_url, HttpLimits(timeout=5))
    late = Tradernet(http, vendor.public_key, vendor.private_key, now=lambda: vendor.now() - 3600)
    outcome = await late.cancel(vendor.samples["cancellable"], "", OPEN)
    assert outcome.result is Result.REFUSED
    assert "clock" in outcome.said


async def test_a_key_of_another_host_is_recognised(vendor: TradernetVendor, tradernet: Tradernet) -> None:
    other = Tradernet.from_settings(
        {**vendor.settings(), "TRADERNET_PUBLIC_KEY": "other"}, HttpLimits(timeout=5)
    )
    assert (await other.check()).ok is False
    assert (await other.look_up(ORDER)).standing is Standing.UNREADABLE
    assert (await tradernet.check()).ok is True


async def test_a_key_that_may_not_trade_is_told_so(vendor: TradernetVendor, tradernet: Tradernet) -> None:
    vendor.may_trade = False
    outcome = await tradernet.cancel(vendor.samples["cancellable"], "", OPEN)
    assert outcome.result is Result.REFUSED
    assert "security session" in outcome.said


@pytest.mark.parametrize("bad", [str(2**63), "0012", "12/..", "abc"])
async def test_a_bad_reference_never_leaves(vendor: TradernetVendor, tradernet: Tradernet, bad: str) -> None:
    assert (await tradernet.cancel(bad, "", OPEN)).result is Result.NO_EFFECT
    assert (await tradernet.look_up(bad)).standing is Standing.NOT_FOUND
    assert vendor.seen == []


async def test_the_market_may_also_settle_by_itself() -> None:
    vendor = TradernetVendor(settle_after=0.01)
    await vendor.start()
    tradernet = Tradernet.from_settings(vendor.settings(), HttpLimits(timeout=5))
    order = vendor.samples["cancellable"]
    await tradernet.cancel(order, "", OPEN)
    await vendor.wait_until(lambda: vendor.is_cancelled(order))
    await vendor.stop()


# ---- the pretend Tradernet is as strict as the real one


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"User-Agent": "python-httpx/0.28.1"}, "Just a moment"),
        ({"Cookie": "SID=1"}, "Access denied"),
        ({"X-NtApi-Sig": "0" * 64}, "Invalid signature"),
        ({"X-NtApi-Timestamp": "1700000000"}, "Invalid signature"),
        ({"X-NtApi-Timestamp": "now"}, "Invalid signature"),
        ({"X-NtApi-PublicKey": "other"}, "Invalid api key"),
        ({"Content-Type": "text/plain"}, "Unsupported"),
        ({}, "order_id"),
    ],
)
async def test_the_pretend_vendor_checks_every_header(
    vendor: TradernetVendor, tradernet: Tradernet, change: dict[str, str], words: str
) -> None:
    body, headers = tradernet._signed({"order_id": int(vendor.samples["cancellable"])})
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.post(
            f"{vendor.base_url}/api/delTradeOrder",
            content=body,
            headers={"User-Agent": "Countersign", **headers, **change},
        )
    assert words in response.text
    assert len(vendor.performed) == (0 if change else 1)


async def test_a_signature_holds_for_these_bytes_only(vendor: TradernetVendor, tradernet: Tradernet) -> None:
    body, headers = tradernet._signed({"order_id": int(vendor.samples["cancellable"])})
    answer = await Http(vendor.base_url, HttpLimits(timeout=5)).send(
        "POST", "/api/delTradeOrder", headers=headers, content=body.replace(b":", b": ")
    )
    assert answer.json() == {"error": "Invalid signature", "code": None}


@pytest.mark.parametrize(
    ("command", "parameters"),
    [
        ("delTradeOrder", {"order_id": "2929292929"}),
        ("delTradeOrder", {}),
        ("getNotifyOrderJson", {"active_only": True}),
        ("getOrdersHistory", {"from": "2026-01-01", "till": "2026-01-31"}),
        ("getNothing", {}),
    ],
)
async def test_the_pretend_vendor_wants_the_documented_types(
    vendor: TradernetVendor, tradernet: Tradernet, command: str, parameters: dict[str, object]
) -> None:
    body = (await tradernet._ask(command, parameters)).json()
    assert isinstance(body, dict)
    assert body["code"] == 2


async def test_a_fill_behind_the_bots_back_changes_the_card(
    vendor: TradernetVendor, tradernet: Tradernet
) -> None:
    order = vendor.samples["cancellable"]
    before = await tradernet.look_up(order)
    vendor.fill(order, 3)
    after_fill = await tradernet.look_up(order)
    vendor.fill(order, 2)
    assert before.facts != after_fill.facts
    assert after_fill.standing is Standing.CANCELLABLE
    assert (await tradernet.look_up(order)).standing is Standing.NOT_CANCELLABLE
