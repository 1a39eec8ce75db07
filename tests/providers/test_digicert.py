"""DigiCert's answers, as its pages document them or as it might surprise us, and their reading."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from providers.contract import Attempt, OrderState, Result, Standing
from providers.digicert import (
    DigiCert,
    read_cancel,
    read_follow_up,
    read_order,
    read_silence,
    read_user,
    write_cancel,
)
from providers.http import Answer, NoAnswer
from sandbox.vendors.digicert import DigiCertVendor
from sandbox.vendors.vendor import Fault
from tests.providers.conftest import connect
from tests.providers.examples.exchange import ScriptedHttp

ID, KEY = "123456", "K3YK3YK3Y"
PENDING = OrderState(Standing.CANCELLABLE, "pending")
REISSUE = OrderState(Standing.NOT_CANCELLABLE, "reissue_pending")
Start = Callable[[type[DigiCertVendor]], Awaitable[DigiCertVendor]]


def says(body: object, status: int = 200, **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, headers, raw)


def error(status: int, code: str, message: str = "Some reason.") -> Answer:
    return says({"errors": [{"code": code, "message": message}]}, status)


def order(status: object = "pending", **changes: object) -> dict[str, object]:
    """The documented example of an order."""
    certificate = {
        "common_name": "example.com",
        "dns_names": ["example2.com", "example3.com"],
        "date_created": "2018-10-16T20:05:28+00:00",
        "csr": "<csr>",
        "organization": {"id": 112233},
        "signature_hash": "sha256",
        "key_size": 2048,
    }
    return {"id": 123456, "certificate": certificate, "status": status} | changes


LIMITED = error(429, "request_limit_exceeded", "Service unavailable, please limit request volume")
NO_PERMISSION = error(403, "access_denied|missing_permission")
NO_ORDER = error(404, "not_found|order", "The specified order was not found.")
PAGE = b"<html><body><h1>502 Bad Gateway</h1></body></html>"

CANCELS: dict[str, tuple[Answer, Result, str, bool]] = {
    "204": (says(b"", 204), Result.ACCEPTED, "http_204", True),
    "no such order": (NO_ORDER, Result.REFUSED, "not_found|order", True),
    "some 404": (error(404, "not_found"), Result.REFUSED, "not_found", True),
    "no such route": (error(404, "not_found|route"), Result.REFUSED, "not_found|route", True),
    "404 page": (says(PAGE, 404), Result.REFUSED, "http_404", True),
    "wrong key, 401": (error(401, "invalid_api_key"), Result.REFUSED, "invalid_api_key", True),
    "wrong key, 403": (error(403, "access_denied"), Result.REFUSED, "access_denied", True),
    "no permission": (NO_PERMISSION, Result.REFUSED, "access_denied|missing_permission", True),
    "wrong state": (error(400, "invalid_order_status"), Result.UNKNOWN, "invalid_order_status", True),
    "malformed": (error(400, "bad_request_format"), Result.UNKNOWN, "bad_request_format", True),
    "no note": (error(400, "missing_required_field"), Result.UNKNOWN, "missing_required_field", True),
    "409": (error(409, "conflict"), Result.UNKNOWN, "conflict", True),
    "400 page": (says(PAGE, 400), Result.UNKNOWN, "http_400", False),
    "limit": (LIMITED, Result.NO_EFFECT, "request_limit_exceeded", True),
    "limit of another kind": (error(429, "slow_down"), Result.UNKNOWN, "slow_down", True),
    "429 page": (says(PAGE, 429), Result.UNKNOWN, "http_429", True),
    "408": (error(408, "timeout"), Result.UNKNOWN, "timeout", False),
    "425": (error(425, "early"), Result.UNKNOWN, "early", False),
    "499": (error(499, "closed"), Result.UNKNOWN, "closed", False),
    "500": (error(500, "internal_error"), Result.UNKNOWN, "internal_error", False),
    "502 page": (says(PAGE, 502), Result.UNKNOWN, "http_502", False),
    "200 page": (says(PAGE), Result.UNKNOWN, "http_200", False),
    "200 of an order": (says(order("canceled")), Result.UNKNOWN, "http_200", False),
    "202": (says(b"", 202), Result.UNKNOWN, "http_202", False),
    "206": (says(b"", 206), Result.UNKNOWN, "http_206", False),
    "304": (says(b"", 304), Result.UNKNOWN, "http_304", False),
    "307": (says(b"", 307), Result.UNKNOWN, "http_307", False),
}


@pytest.mark.parametrize("name", CANCELS)
def test_a_cancel_answer_is_read(name: str) -> None:
    answer, result, code, settled = CANCELS[name]
    outcome = read_cancel(answer)
    assert (outcome.result, outcome.code, outcome.settled) == (result, code, settled)
    assert outcome.said


def test_a_204_is_looked_at_again_at_once() -> None:
    assert read_cancel(says(b"", 204)).look_again == timedelta(0)


def test_a_limited_call_waits_as_told_or_a_few_seconds() -> None:
    told = Answer(429, {"retry-after": "30"}, LIMITED.body)
    assert read_cancel(told).look_again == timedelta(seconds=30)
    assert read_cancel(LIMITED).look_again == timedelta(seconds=5)


def test_a_404_of_another_kind_blames_the_address() -> None:
    assert "DIGICERT_BASE_URL" in read_cancel(error(404, "not_found|route")).said
    assert "DIGICERT_BASE_URL" not in read_cancel(NO_ORDER).said


def test_a_reason_is_cleaned_and_our_key_masked() -> None:
    outcome = read_cancel(error(400, f"bad {KEY}", f"key {KEY}\n\u202e https://x.example/"), (KEY,))
    assert outcome.said == "DigiCert says: key *** [link] (bad ***)"
    assert outcome.code == "bad ***"


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


@pytest.mark.parametrize(
    ("status", "standing"),
    [
        ("pending", Standing.CANCELLABLE),
        ("waiting_pickup", Standing.CANCELLABLE),
        ("PENDING", Standing.CANCELLABLE),
        ("canceled", Standing.CANCELLED),
        ("CANCELED", Standing.CANCELLED),
        ("cancelled", Standing.CANCELLED),
        ("reissue_pending", Standing.NOT_CANCELLABLE),
        ("needs_approval", Standing.NOT_CANCELLABLE),
        ("needs_csr", Standing.NOT_CANCELLABLE),
        ("processing", Standing.NOT_CANCELLABLE),
        ("issued", Standing.NOT_CANCELLABLE),
        ("rejected", Standing.NOT_CANCELLABLE),
        ("revoked", Standing.NOT_CANCELLABLE),
        ("expired", Standing.NOT_CANCELLABLE),
        ("quantum_hold", Standing.UNCLEAR),
        ("", Standing.UNCLEAR),
        (None, Standing.UNCLEAR),
        (["canceled"], Standing.UNCLEAR),
    ],
)
def test_the_status_of_an_order_is_read(status: object, standing: Standing) -> None:
    state = read_order(says(order(status)), ID)
    assert state.standing is standing
    assert state.detail


LOOK_UPS: dict[str, tuple[Answer, Standing]] = {
    "the ID as text": (says(order(id="123456")), Standing.CANCELLABLE),
    "another ID": (says(order("issued", id=654321)), Standing.UNCLEAR),
    "an ID with a zero": (says(order(id="0123456")), Standing.UNCLEAR),
    "a fraction": (says(order(id=123456.0)), Standing.UNCLEAR),
    "no ID": (says({"status": "canceled"}), Standing.UNCLEAR),
    "no certificate": (says({"id": 123456, "status": "pending"}), Standing.CANCELLABLE),
    "page": (says(PAGE), Standing.UNREADABLE),
    "a list": (says([]), Standing.UNREADABLE),
    "empty": (says(b""), Standing.UNREADABLE),
    "no such order": (NO_ORDER, Standing.NOT_FOUND),
    "some 404": (error(404, "not_found"), Standing.UNREADABLE),
    "404 page": (says(PAGE, 404), Standing.UNREADABLE),
    "401": (error(401, "invalid_api_key"), Standing.UNREADABLE),
    "403": (NO_PERMISSION, Standing.UNREADABLE),
    "429": (LIMITED, Standing.UNREADABLE),
    "500": (says(order("canceled"), 500), Standing.UNREADABLE),
    "203": (says(order("canceled"), 203), Standing.UNREADABLE),
}


@pytest.mark.parametrize("name", LOOK_UPS)
def test_a_look_up_is_read(name: str) -> None:
    answer, standing = LOOK_UPS[name]
    state = read_order(answer, ID)
    assert state.standing is standing
    assert state.detail


def test_another_order_is_named() -> None:
    assert "654321" in read_order(says(order(id=654321)), ID).detail


def test_the_card_shows_names_product_and_dates_and_no_more() -> None:
    body = order(
        product={"name_id": "ssl_basic", "name": "Basic\nOV"}, price=99, user={"email": "a@b.example"}
    )
    assert dict(read_order(says(body), ID).facts) == {
        "Common name": "example.com",
        "Other names": "example2.com, example3.com",
        "Product": "Basic OV",
        "Status": "pending",
        "Created": "2018-10-16",
    }


def test_many_names_are_counted() -> None:
    body = order(certificate={"dns_names": [f"n{number}.example" for number in range(30)]})
    assert dict(read_order(says(body), ID).facts)["Other names"].endswith("n19.example and 10 more")


def state(standing: Standing, status: str = "") -> OrderState:
    return OrderState(standing, status)


@pytest.mark.parametrize(
    ("now", "before", "accepted", "result"),
    [
        (state(Standing.CANCELLED, "canceled"), PENDING, True, Result.CANCELLED),
        (state(Standing.CANCELLED, "canceled"), PENDING, False, Result.CANCELLED),
        (
            state(Standing.CANCELLED, "canceled"),
            state(Standing.CANCELLED, "canceled"),
            False,
            Result.ALREADY_CANCELLED,
        ),
        (PENDING, PENDING, True, Result.ACCEPTED),
        (PENDING, PENDING, False, Result.NO_EFFECT),
        (state(Standing.CANCELLABLE, "waiting_pickup"), PENDING, False, Result.NO_EFFECT),
        (state(Standing.NOT_CANCELLABLE, "issued"), PENDING, True, Result.REFUSED),
        (state(Standing.NOT_CANCELLABLE, "issued"), PENDING, False, Result.REFUSED),
        (state(Standing.NOT_CANCELLABLE, "issued"), REISSUE, True, Result.REFUSED),
        (state(Standing.NOT_CANCELLABLE, "rejected"), PENDING, False, Result.REFUSED),
        (REISSUE, PENDING, False, Result.UNKNOWN),
        (state(Standing.NOT_CANCELLABLE, "processing"), PENDING, False, Result.UNKNOWN),
        (state(Standing.UNCLEAR, "quantum_hold"), PENDING, True, Result.UNKNOWN),
        (state(Standing.NOT_FOUND), PENDING, False, Result.UNKNOWN),
        (state(Standing.UNREADABLE), PENDING, True, Result.UNKNOWN),
    ],
)
def test_a_follow_up_proves_what_the_order_proves(
    now: OrderState, before: OrderState, accepted: bool, result: Result
) -> None:
    outcome = read_follow_up(now, Attempt(before, timedelta(minutes=10), accepted))
    assert (outcome.result, outcome.code) == (result, now.status or now.standing.value)
    assert outcome.settled is (result is not Result.UNKNOWN)
    assert outcome.look_again == (timedelta(minutes=5) if result is Result.ACCEPTED else None)


def test_an_accepted_cancel_is_looked_at_at_once_and_then_less_often() -> None:
    waits = [
        read_follow_up(PENDING, Attempt(PENDING, timedelta(seconds=age), accepted=True)).look_again
        for age in (0, 60, 3600)
    ]
    assert waits == [timedelta(seconds=5), timedelta(seconds=60), timedelta(minutes=5)]


def test_an_issued_order_shows_when_and_twenty_names() -> None:
    names = [f"n{number}.example" for number in range(20)]
    about = {"date_issued": "2018-10-20T00:00:00+00:00", "dns_names": names}
    facts = dict(read_order(says(order("issued", certificate=about)), ID).facts)
    assert facts["Issued"] == "2018-10-20T00:00:00+00:00"
    assert facts["Other names"].endswith("n19.example")


def test_the_first_code_and_three_messages_are_told() -> None:
    errors = [{"code": f"code_{number}", "message": f"Reason {number}."} for number in range(5)]
    outcome = read_cancel(says({"errors": errors}, 400))
    assert outcome.code == "code_0"
    assert outcome.said == "DigiCert says: Reason 0. Reason 1. Reason 2. (code_0)"


@pytest.mark.parametrize("odd", [True, None, 1.5, [123456], "12a", "1" * 41])
def test_an_id_of_another_form_is_none(odd: object) -> None:
    state = read_order(says(order(id=odd)), ID)
    assert state.standing is Standing.UNCLEAR
    assert "belongs" not in state.detail


def test_a_dropped_reissue_is_not_called_too_late() -> None:
    now = state(Standing.NOT_CANCELLABLE, "issued")
    said = read_follow_up(now, Attempt(REISSUE, timedelta(0), accepted=True)).said
    assert "reissue" in said


USER = {
    "id": 125039,
    "username": "john.smith@digicert.com",
    "account_id": 123654,
    "email": "john.smith@digicert.com",
    "telephone": "555-555-5555",
    "status": "active",
    "access_roles": [{"id": 1, "name": "Administrator"}],
}


@pytest.mark.parametrize(
    ("answer", "ok"),
    [
        (says(USER), True),
        (says(USER | {"status": "ACTIVE"}), True),
        (says({key: value for key, value in USER.items() if key != "status"}), True),
        (says(USER | {"status": "inactive"}), False),
        (error(401, "invalid_api_key"), False),
        (error(403, "access_denied"), False),
        (error(404, "not_found|route"), False),
        (LIMITED, None),
        (says(PAGE, 502), None),
        (says(PAGE), None),
        (says({}), None),
    ],
)
def test_the_user_of_the_key_tells_if_the_key_is_good(answer: Answer, ok: bool | None) -> None:
    credentials = read_user(answer)
    assert credentials.ok is ok
    assert credentials.detail


def test_the_check_shows_account_and_role_and_nothing_personal() -> None:
    assert read_user(says(USER)).detail == "Account 123654, role Administrator."


def test_a_limited_user_is_warned_about() -> None:
    limited = USER | {"access_roles": [{"id": 2, "name": "Limited user"}]}
    assert "only the orders it placed itself" in read_user(says(limited)).detail


@pytest.mark.parametrize("note", ["", "  ", "\u200b"])
def test_an_empty_note_is_never_sent(note: str) -> None:
    assert json.loads(write_cancel("canceled", note))["note"]


def test_the_body_of_a_cancel_is_the_documented_one() -> None:
    assert json.loads(write_cancel("CANCELED", "Why\nnot")) == {"status": "CANCELED", "note": "Why not"}


# ---- with the pretend provider


async def test_a_cancel_is_accepted_and_the_order_confirms_it(start_vendor: Start) -> None:
    vendor = await start_vendor(DigiCertVendor)
    provider = connect(DigiCert, vendor.settings())
    for sample in ("cancellable", "waiting_pickup"):
        reference = vendor.samples[sample]
        before = await provider.look_up(reference)
        assert (await provider.cancel(reference, "Two approvals.", before)).result is Result.ACCEPTED
        outcome = await provider.follow_up(reference, Attempt(before, timedelta(0), accepted=True))
        assert outcome.result is Result.CANCELLED
        assert vendor.notes[reference] == "Two approvals."


async def test_the_older_spelling_of_the_status_can_be_set(start_vendor: Start) -> None:
    vendor = await start_vendor(DigiCertVendor)
    vendor.accepted_status = "CANCELED"
    provider = connect(DigiCert, vendor.settings())
    await provider.cancel(ID, "note", await provider.look_up(ID))
    assert vendor.performed == [ID]


async def test_a_pending_reissue_is_never_sent_a_cancel(start_vendor: Start) -> None:
    vendor = await start_vendor(DigiCertVendor)
    provider = connect(DigiCert, vendor.settings())
    reference = vendor.samples["reissue"]
    before = await provider.look_up(reference)
    outcome = await provider.cancel(reference, "note", before)
    assert (outcome.result, outcome.code, outcome.settled) == (Result.REFUSED, "reissue_pending", True)
    assert vendor.sends == []
    assert vendor.state_of(reference) == "reissue_pending"


async def test_a_serial_number_is_not_taken_for_an_order(start_vendor: Start) -> None:
    vendor = await start_vendor(DigiCertVendor)
    found = await connect(DigiCert, vendor.settings()).look_up(vendor.samples["serial"])
    assert found.standing is Standing.UNCLEAR
    assert vendor.samples["too_late"] in found.detail


async def test_a_view_only_key_is_refused_with_a_hint(start_vendor: Start) -> None:
    vendor = await start_vendor(DigiCertVendor)
    vendor.view_only = True
    outcome = await connect(DigiCert, vendor.settings()).cancel(ID, "note", PENDING)
    assert outcome.result is Result.REFUSED
    assert "View Only" in outcome.said


async def test_a_cancel_that_came_second_is_told_from_a_refusal(start_vendor: Start) -> None:
    """The code for it is not documented, so the order decides."""
    vendor = await start_vendor(DigiCertVendor)
    provider = connect(DigiCert, vendor.settings())
    vendor.set_state(ID, "canceled")
    outcome = await provider.cancel(ID, "note", PENDING)
    assert (outcome.result, outcome.settled) == (Result.UNKNOWN, True)
    now = await provider.follow_up(ID, Attempt(PENDING, timedelta(0), accepted=False))
    assert now.result is Result.CANCELLED


async def test_a_call_that_was_still_running_shows_in_a_later_follow_up(start_vendor: Start) -> None:
    vendor = await start_vendor(DigiCertVendor)
    provider = connect(DigiCert, vendor.settings())
    vendor.fail_next(Fault.LOSE_ANSWER)
    assert not (await provider.cancel(ID, "note", PENDING)).settled
    outcome = await provider.follow_up(ID, Attempt(PENDING, timedelta(minutes=1), accepted=False))
    assert outcome.result is Result.CANCELLED


async def test_a_204_that_dropped_only_a_reissue_is_seen_through_afterwards(start_vendor: Start) -> None:
    """The reissue was asked for between the look-up and the cancel."""
    vendor = await start_vendor(DigiCertVendor)
    provider = connect(DigiCert, vendor.settings())
    before = await provider.look_up(ID)
    vendor.set_state(ID, "reissue_pending")
    assert (await provider.cancel(ID, "note", before)).result is Result.ACCEPTED
    outcome = await provider.follow_up(ID, Attempt(before, timedelta(0), accepted=True))
    assert (outcome.result, vendor.performed, vendor.state_of(ID)) == (Result.REFUSED, [], "issued")
    assert "Not cancelled" in outcome.said


@pytest.mark.parametrize("answer", ["thumbprint", "serial_number"])
async def test_a_thumbprint_or_serial_number_is_no_order_id(answer: str) -> None:
    """The address takes them, so that the order must say that it is the one that was asked for."""
    look_alikes = {"thumbprint": "7D199FA96A0EA1D3A5AA2B3D5B0AD1F6EF0A6F5C", "serial_number": "70481923"}
    given = look_alikes[answer]
    http = ScriptedHttp({}, otherwise=says(order("pending")))
    state = await DigiCert(http, KEY, "canceled").look_up(given)
    assert state.standing in {Standing.NOT_FOUND, Standing.UNCLEAR}
    assert len(http.reads) == given.isdigit()


async def test_a_wrong_address_is_not_taken_for_a_missing_order(start_vendor: Start) -> None:
    vendor = await start_vendor(DigiCertVendor)
    astray = vendor.settings() | {"DIGICERT_BASE_URL": vendor.base_url.removesuffix("/services/v2")}
    provider = connect(DigiCert, astray)
    state, outcome = await provider.look_up(ID), await provider.cancel(ID, "note", PENDING)
    assert (state.standing, outcome.result) == (Standing.UNREADABLE, Result.REFUSED)
    for words in (state.detail, outcome.said, (await provider.check()).detail):
        assert "DIGICERT_BASE_URL" in words
    right = connect(DigiCert, vendor.settings())
    assert (await right.look_up(vendor.unknown)).standing is Standing.NOT_FOUND


@pytest.mark.parametrize(("sent", "wanted"), [("canceled", "CANCELED"), ("CANCELED", "canceled")])
async def test_the_other_spelling_of_the_status_is_not_tried_in_a_second_call(
    start_vendor: Start, sent: str, wanted: str
) -> None:
    vendor = await start_vendor(DigiCertVendor)
    vendor.accepted_status = wanted
    provider = connect(DigiCert, vendor.settings() | {"DIGICERT_CANCEL_STATUS": sent})
    outcome = await provider.cancel(ID, "note", await provider.look_up(ID))
    assert (outcome.result, outcome.settled) == (Result.UNKNOWN, True)
    after = await provider.follow_up(ID, Attempt(PENDING, timedelta(0), accepted=False))
    assert (after.result, vendor.sends, vendor.performed) == (Result.NO_EFFECT, [ID], [])
