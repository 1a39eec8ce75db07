"""What comes in over HTTP: only what Slack signed just now has an effect, and nothing else leaves a trace."""

from __future__ import annotations

import asyncio
import copy
import gzip
import hashlib
import hmac
import io
import json
import logging
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode

import aiohttp
import pytest
import structlog
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from slack_bolt.async_app import AsyncApp
from slack_bolt.response import BoltResponse
from yarl import URL

from bot.doors import http
from bot.logs import configure
from sandbox.slack import interactions, reading
from sandbox.slack.model import Message
from tests.conftest import World
from tests.past_the_bot import rows

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
SECRET = "0123456789abcdef0123456789abcdef"
MARK = "attackermark"
"""Stands in everything a stranger sends here, and so must not stand in the log."""

Headers = list[tuple[str, str]]


def sign(body: bytes, timestamp: str | None = None, secret: str = SECRET) -> tuple[str, str]:
    """A timestamp and what Slack would sign it and the body with."""
    timestamp = timestamp or str(int(time.time()))
    base = b"v0:" + timestamp.encode() + b":" + body
    return timestamp, "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()


class Caller:
    """Whoever reaches the port: posts anything, signed or not."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self.session = session
        self.port = port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/slack/events"

    async def post(self, body: bytes, headers: Headers, content_type: str = FORM) -> int:
        """The status of the answer."""
        given = [("Content-Type", content_type), *headers]
        async with self.session.post(self.url, data=body, headers=given) as response:
            await response.read()
            return response.status

    async def signed(self, body: bytes, content_type: str = FORM, secret: str = SECRET) -> tuple[int, str]:
        timestamp, signature = sign(body, secret=secret)
        headers = headers_of(timestamp, signature) | {"Content-Type": content_type}
        async with self.session.post(self.url, data=body, headers=headers) as response:
            return response.status, await response.text()

    async def status(self, body: bytes, content_type: str = FORM) -> int:
        return (await self.signed(body, content_type))[0]

    async def raw(self, data: bytes) -> bytes:
        """Bytes to the port as they are, and everything that comes back until it hangs up."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()


def headers_of(timestamp: str, signature: str) -> dict[str, str]:
    return {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": signature}


def interaction(payload: object) -> bytes:
    return urlencode({"payload": json.dumps(payload)}).encode()


@pytest.fixture
def transport() -> str:
    return "http"


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    """The log, as it would be on a server's disk."""
    root, stream = logging.getLogger(), io.StringIO()
    before = root.handlers[:], root.level
    configure("DEBUG", "json", [], stream)
    yield stream
    root.handlers[:], root.level = before
    structlog.reset_defaults()


@pytest.fixture
async def caller(said: io.StringIO, world: World) -> AsyncIterator[Caller]:
    assert world.bot is not None
    async with aiohttp.ClientSession() as session:
        yield Caller(session, world.bot.port)


def click(world: World, who: str, card: Message, button: str = "Approve") -> dict[str, Any]:
    """What Slack would send for a click on the card."""
    block, element = next(
        (block, element)
        for block, element in reading.buttons(card.blocks)
        if reading.label(element["text"]).startswith(button)
    )
    action = interactions.action_of(block, element)
    return interactions.message_click(world.workspace, world.workspace.member(who), card, action, {})


def command(world: World, who: str = "alice", text: str = "help") -> dict[str, Any]:
    channel = world.workspace.channel("C0ORDERS")
    member = world.workspace.member(who)
    return interactions.slash_command(world.workspace, member, channel, "/cancel-order", text)


async def pending(world: World) -> Message:
    return await world.asked("alice", "cpanel", world.vendor("cpanel").samples["cancellable"])


def history(world: World) -> list[str]:
    """The kind of each event, the starts and stops of the bot left out."""
    query = "SELECT kind FROM event WHERE request_id IS NOT NULL ORDER BY seq"
    return [kind for (kind,) in rows(world.database, query)]


def nothing_of_it_is_logged(said: io.StringIO) -> None:
    log = said.getvalue()
    assert MARK not in log
    assert "Traceback" not in log


# --- unsigned ---------------------------------------------------------------------------------------


async def test_without_the_right_signature_nothing_gets_in(caller: Caller, said: io.StringIO) -> None:
    body = interaction({"type": MARK, "user": {"id": MARK}})
    now, good = sign(body)
    stamp, header = "X-Slack-Request-Timestamp", "X-Slack-Signature"
    attempts: dict[str, Headers] = {
        "none": [(stamp, now)],
        "empty": [(stamp, now), (header, "")],
        "duplicated": [(stamp, now), (header, good), (header, good)],
        "timestamp duplicated": [(stamp, now), (stamp, now), (header, good)],
        "wrong": [(stamp, now), (header, "v0=" + "0" * 64)],
        "non-ASCII": [(stamp, now), (header, good[:-1] + "é")],
        "upper case": [(stamp, now), (header, good.upper())],
        "upper case digits": [(stamp, now), (header, "v0=" + good[3:].upper())],
        "v1": [(stamp, now), (header, good.replace("v0=", "v1="))],
        "without v0": [(stamp, now), (header, good[3:])],
        "cut off": [(stamp, now), (header, good[:-1])],
        "6 KB": [(stamp, now), (header, good + MARK * 500)],
        "with another secret": [(stamp, now), (header, sign(body, now, "another")[1])],
        "with an empty secret": [(stamp, now), (header, sign(body, now, "")[1])],
        "over another body": [(stamp, now), (header, sign(body + b" ", now)[1])],
        "over another time": [(stamp, now), (header, sign(body, str(int(now) - 1))[1])],
    }
    assert {name: await caller.post(body, headers) for name, headers in attempts.items()} == dict.fromkeys(
        attempts, 401
    )
    assert await caller.post(body, [(stamp, now), (header, good)]) == 200
    nothing_of_it_is_logged(said)


async def test_a_signature_that_fills_the_header_is_turned_away(caller: Caller, said: io.StringIO) -> None:
    """10 KB are more than aiohttp reads of one header, so the request ends before it reaches the door."""
    request = b"POST /slack/events HTTP/1.1\r\nHost: x\r\nX-Slack-Signature: v0="
    answer = await caller.raw(request + MARK.encode() * 1000 + b"\r\nContent-Length: 0\r\n\r\n")
    assert answer.split()[1] in (b"400", b"401")
    nothing_of_it_is_logged(said)


async def test_bytes_of_a_header_that_are_no_text_are_turned_away(caller: Caller, said: io.StringIO) -> None:
    now = str(int(time.time())).encode()
    request = b"POST /slack/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n"
    request += b"X-Slack-Request-Timestamp: " + now + b"\r\nX-Slack-Signature: v0=\xff\xfe\xc3\r\n\r\n"
    assert (await caller.raw(request)).split()[1] == b"401"
    nothing_of_it_is_logged(said)


async def test_an_odd_timestamp_is_turned_away_even_when_it_is_signed(caller: Caller) -> None:
    body = interaction({"type": "block_actions", "user": {"id": "U1"}})
    now = int(time.time())
    odd = ["", "text", "1e9", "9" * 5000, "\uff11" * 10, f"0{now}", f"+{now}", f"-{now}", f"{now}.0"]
    odd += [f"{now}\u00a0", f"{now - 301 - 2}", f"{now + 301 + 2}", "0", "0x65000000", f"{now}_0"]
    answers = {}
    for timestamp in odd:
        headers = list(headers_of(*sign(body, timestamp or " ")).items())
        answers[timestamp] = await caller.post(body, [("X-Slack-Request-Timestamp", timestamp), headers[1]])
    assert answers == dict.fromkeys(odd, 401)
    assert await caller.post(body, [("X-Slack-Signature", sign(body)[1])]) == 401


@pytest.mark.parametrize(("off", "status"), [(-301, 401), (-300, 200), (0, 200), (300, 200), (301, 401)])
async def test_a_signature_is_good_for_five_minutes_either_way(off: int, status: int) -> None:
    now = 1_800_000_000
    async with DoorAlone(now) as caller:
        body = urlencode({"command": "/none", "user_id": "U1", "text": str(off)}).encode()
        headers = headers_of(*sign(body, str(now + off)))
        assert await caller.post(body, list(headers.items())) == status


async def test_unsigned_garbage_is_not_even_parsed(caller: Caller, said: io.StringIO) -> None:
    deep = "[" * 100_000
    for content_type in (FORM, JSON, "multipart/form-data", f"{JSON}; charset={MARK}", "no/such; type"):
        for body in (b"", b"\xff\xfe", f"payload={deep}".encode(), b"ssl_check=1", MARK.encode(), b"{" * 9):
            assert await caller.post(body, [], content_type) == 401
    nothing_of_it_is_logged(said)


async def test_an_unsigned_challenge_is_not_answered(caller: Caller) -> None:
    body = json.dumps({"type": "url_verification", "challenge": MARK}).encode()
    assert await caller.post(body, [], JSON) == 401


async def test_a_signed_challenge_is_answered(caller: Caller) -> None:
    body = json.dumps({"type": "url_verification", "challenge": "say this"}).encode()
    status, text = await caller.signed(body, JSON)
    assert status == 200
    assert "say this" in text


async def test_rejections_are_logged_once_a_minute_whatever_a_stranger_does(
    caller: Caller, said: io.StringIO
) -> None:
    for number in range(50):
        await caller.post(f"{MARK}={number}".encode(), [("X-Slack-Signature", MARK)])
    lines = [line for line in said.getvalue().splitlines() if "requests_rejected" in line]
    assert len(lines) == 1
    nothing_of_it_is_logged(said)


async def test_a_signed_request_from_another_time_makes_the_log_name_the_clock(
    caller: Caller, said: io.StringIO
) -> None:
    body = interaction({"type": "block_actions", "user": {"id": "U1"}})
    old = str(int(time.time()) - 400)
    assert await caller.post(body, list(headers_of(*sign(body, old)).items())) == 401
    assert "clock" in said.getvalue()


async def test_what_is_not_http_gets_no_traceback_into_the_log(caller: Caller, said: io.StringIO) -> None:
    requests = {
        "garbage": MARK.encode() + b"\x00\x01\r\n\r\n",
        "method": f"{MARK} / HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
        "version": f"GET / HTTP/9.{MARK}\r\n\r\n".encode(),
        "header": f"POST / HTTP/1.1\r\nHost: x\r\nbad header {MARK}\r\n\r\n".encode(),
        "length": f"POST /slack/events HTTP/1.1\r\nHost: x\r\nContent-Length: {MARK}\r\n\r\n".encode(),
        "chunks": b"POST /slack/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        + f"{MARK}\r\n".encode(),
        "both": b"POST /slack/events HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    }
    answers = {name: (await caller.raw(request)).split()[1] for name, request in requests.items()}
    assert answers == dict.fromkeys(requests, b"400")
    nothing_of_it_is_logged(said)


# --- too much, too slow -----------------------------------------------------------------------------


async def test_more_than_256_kib_are_not_read(caller: Caller, said: io.StringIO) -> None:
    body = MARK.encode() + b"x" * http.MAX_BODY
    assert await caller.status(body) == 413

    async def without_length() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 8192):
            yield body[at : at + 8192]

    async with caller.session.post(caller.url, data=without_length()) as response:
        assert response.status == 413
    nothing_of_it_is_logged(said)


async def test_256_kib_are_read(caller: Caller) -> None:
    body = b"command=%2Fnone&user_id=U1&text=" + b"x" * http.MAX_BODY
    assert await caller.status(body[: http.MAX_BODY]) == 200


async def test_a_body_that_announces_too_much_is_refused_before_it_is_sent(caller: Caller) -> None:
    head = b"POST /slack/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 999999999\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", caller.port)
    writer.write(head)
    assert b"413" in await reader.readline()
    writer.close()


async def test_a_body_that_drips_is_given_up_and_others_are_served_meanwhile(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "READ_TIME", 0.3)
    head = b"POST /slack/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\npayload="
    slow = [await asyncio.open_connection("127.0.0.1", caller.port) for _ in range(50)]
    for _, writer in slow:
        writer.write(head)
    assert await caller.status(b"command=%2Fnone&user_id=U1") == 200
    answers = [await reader.readline() for reader, _ in slow]
    assert all(b"408" in answer for answer in answers)
    for _, writer in slow:
        writer.close()


async def test_a_body_in_pieces_is_read_whole(caller: Caller) -> None:
    body = urlencode({"command": "/none", "user_id": "U1", "text": "x" * 5000}).encode()

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 100):
            yield body[at : at + 100]

    headers = headers_of(*sign(body)) | {"Content-Type": FORM}
    async with caller.session.post(caller.url, data=pieces(), headers=headers) as response:
        assert response.status == 200


# --- signed, but not what it should be ---------------------------------------------------------------


async def test_the_signature_counts_for_the_very_bytes(caller: Caller, world: World) -> None:
    """Not for what they might be inflated to, or read as in another encoding."""
    payload = click(world, "bob", await pending(world))
    body = interaction(payload)
    signature = list(headers_of(*sign(body)).items())
    packed = gzip.compress(body)
    zipped = [*signature, ("Content-Encoding", "gzip")]
    assert await caller.post(packed, zipped) == 401
    assert await caller.post(urlencode({"payload": json.dumps(payload, indent=1)}).encode(), signature) == 401
    assert await caller.post(body + b"&x=1", signature) == 401
    utf16 = body.decode().encode("utf-16")
    assert await caller.post(utf16, signature, f"{FORM}; charset=utf-16") == 401
    signed_packed = [*headers_of(*sign(packed)).items(), ("Content-Encoding", "gzip")]
    assert await caller.post(packed, signed_packed) == 400
    assert await caller.status(utf16, f"{FORM}; charset=utf-16") == 400
    assert "approved" not in history(world)


async def test_a_packed_body_is_never_inflated(caller: Caller) -> None:
    """A gigabyte of zeros packs into a megabyte; a quarter of a megabyte is all that is read."""
    packed = gzip.compress(b"\0" * 64 * http.MAX_BODY)
    assert len(packed) < http.MAX_BODY
    headers = [*headers_of(*sign(packed)).items(), ("Content-Encoding", "gzip")]
    assert await caller.post(packed, headers) == 400  # inflated, it would be too large: 413


MALFORMED = {
    "nothing": b"",
    "no field": b"payload",
    "not UTF-8": b"payload=%ff%fe",
    "raw bytes": b"text=\xff\xfe",
    "a list": b"payload=[]",
    "null": b"payload=null",
    "a number": b"payload=1",
    "a text": b"payload=%22attackermark%22",
    "not JSON": b"payload={attackermark",
    "empty payload": b"payload=",
    "100,000 levels": b"payload=" + b"[" * 100_000,
    "100,000 levels inside": b'payload={"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a number of 5,000 digits": b'payload={"a":' + b"9" * 5000 + b"}",
    "two payloads": b"&".join([interaction({"user": {"id": "U1"}})] * 2),
    "two payloads, one encoded": b'payload={"user":{"id":"U1"}}&p%61yload={"user":{"id":"U1"}}',
    "two commands": b"user_id=U1&command=%2Fcancel-order&command=%2Fother",
    "a thousand fields": b"user_id=U1&" + b"&".join(b"f%d=" % n for n in range(1000)),
    "half an escape": b"user_id=U1&command=%2Fnone&text=100%",
    "an escape of other digits": b"user_id=U1&command=%2Fnone&text=%zz",
    "a line break": b"user_id=U1&command=%2Fnone&text=a=\nb",
    "JSON that says it is a form": b'{"type":"url_verification","challenge":"attackermark=1"',
}


async def test_what_is_signed_and_malformed_is_called_malformed(caller: Caller, said: io.StringIO) -> None:
    answers = {name: await caller.status(body) for name, body in MALFORMED.items()}
    assert answers == dict.fromkeys(MALFORMED, 400)
    bodies = (b"", b"[]", b"null", b"1", b'"attackermark"', b"{", b"\xff", b"[" * 100_000)
    assert [await caller.status(body, JSON) for body in bodies] == [400] * len(bodies)
    once = interaction({"user": {"id": "U1"}})
    assert await caller.status(once) != 400
    for other in ("text/plain", "multipart/form-data; boundary=x", "application/xml", "", "nonsense"):
        assert await caller.status(once, other) == 400
    nothing_of_it_is_logged(said)


ESCAPES = st.sampled_from(
    ["%", "=", "+", "&", "_", " ", "\r\n", "=\n", "%41", "=41", "%3D", "é", "\U0001f6d1", "\0"]
)


@given(st.dictionaries(st.text(), st.lists(st.text() | ESCAPES).map("".join), min_size=1, max_size=9))
def test_a_form_is_read_as_it_was_written(fields: dict[str, str]) -> None:
    assert http.read_form(urlencode(fields).encode()) == fields


@given(
    st.binary()
    | st.lists(st.sampled_from([b"a", b"%", b"%3", b"%3d", b"=41", b"=", b"&", b"+", b"\n"])).map(b"".join)
)
def test_whatever_else_is_read_as_a_form_is_read_as_python_reads_it(body: bytes) -> None:
    try:
        form = http.read_form(body)
    except ValueError:
        return
    assert parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True) == list(form.items())


async def test_a_body_is_read_as_what_it_says_it_is(caller: Caller) -> None:
    """Bolt's own parser takes whatever begins with a brace for JSON."""
    challenge = b'{"type":"url_verification","challenge":"attackermark"}'
    for body in (challenge, challenge + b"=1", challenge + b"=1&user_id=U1"):
        assert MARK not in (await caller.signed(body))[1]
    assert MARK in (await caller.signed(challenge, JSON))[1]


ODD: list[Any] = [None, 10**400, "", MARK, "\x00\ud800", [MARK], [{}], {}]
ODD += [[None] * 10_000, {"id": {}, "type": 5, "callback_id": [1], "values": 3}]


async def test_a_payload_with_odd_types_in_it_is_ignored_without_a_traceback(
    caller: Caller, world: World, said: io.StringIO
) -> None:
    """Each field of each kind of payload, one and two levels deep, replaced by each odd value."""
    tried = 0
    for name, payload in (await payloads(world)).items():
        for path in paths(payload):
            bodies = [encoded(name, changed(payload, path, odd)) for odd in ODD]
            statuses = await asyncio.gather(*(caller.status(body, kind) for body, kind in bodies))
            assert set(statuses) <= {200, 400, 404}, (name, path, statuses)
            assert "Traceback" not in said.getvalue(), (name, path, said.getvalue()[-3000:])
            tried += len(bodies)
    assert tried > 1000
    assert not {"approved", "denied", "withdrawn", "permitted"} & set(history(world))
    await world.stop_bot()
    world.workspace.problems.clear()  # forms were asked for with triggers that are not Slack's


async def payloads(world: World) -> dict[str, dict[str, Any]]:
    """One of each kind, as Slack sends them; the click by somebody who may not approve."""
    card = await pending(world)
    alice = world.person("alice")
    await alice.command("/cancel-order")
    await alice.modal()
    view = world.workspace.views.top(alice.id)
    assert view is not None
    choice = {"type": "static_select", "action_id": "provider", "block_id": "provider_block"}
    event = {"type": "message", "user": "U", "channel": "C"}
    return {
        "click": click(world, "gina", card),
        "submission": interactions.submission(world.workspace, alice.member, view),
        "closed": interactions.closed(world.workspace, alice.member, view, False),
        "choice": interactions.view_click(world.workspace, alice.member, view, choice),
        "shortcut": interactions.shortcut(world.workspace, alice.member, "cancel_an_order"),
        "event": {"type": "event_callback", "api_app_id": world.workspace.app_id, "event": event},
    }


Path = tuple[str, ...]


def paths(payload: Mapping[str, Any]) -> list[Path]:
    """Every field, and every field of a field."""
    inner = [(name, key) for name, value in payload.items() if isinstance(value, dict) for key in value]
    return [*((name,) for name in (*payload, "event", "authorizations", "response_urls")), *inner]


def changed(payload: dict[str, Any], path: Path, value: object) -> dict[str, Any]:
    after = copy.deepcopy(payload)
    inner = after if len(path) == 1 else after[path[0]]
    inner[path[-1]] = value
    return after


def encoded(name: str, payload: dict[str, Any]) -> tuple[bytes, str]:
    return (json.dumps(payload).encode(), JSON) if name == "event" else (interaction(payload), FORM)


async def test_a_command_with_odd_fields_is_answered_or_ignored(
    caller: Caller, world: World, said: io.StringIO
) -> None:
    for name in (form := command(world)):
        for odd in ("", MARK, "\x00", "é" * 1000, "[]", "{}"):
            body = urlencode(form | {name: odd}).encode()
            assert await caller.status(body) in (200, 400, 404), (name, odd)
    assert "Traceback" not in said.getvalue()


# --- again and again ----------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [False, True])
async def test_the_same_signed_click_twenty_times_is_one_approval(
    caller: Caller, world: World, at_once: bool
) -> None:
    body = interaction(click(world, "bob", await pending(world)))
    headers = list(headers_of(*sign(body)).items())
    if at_once:
        statuses = await asyncio.gather(*(caller.post(body, headers) for _ in range(20)))
    else:
        statuses = [await caller.post(body, headers) for _ in range(20)]
    assert set(statuses) == {200}
    assert history(world).count("approved") == 1
    assert "attempt_refused" not in history(world)


async def test_the_same_signed_command_twenty_times_opens_one_form(caller: Caller, world: World) -> None:
    """Nothing in the database would tell the second from the first."""
    body = urlencode(command(world, "alice", "")).encode()
    headers = list(headers_of(*sign(body)).items())
    assert set(await asyncio.gather(*(caller.post(body, headers) for _ in range(20)))) == {200}
    assert len([call for call in world.workspace.calls if call.method == "views.open"]) == 1


async def test_a_click_signed_anew_each_time_is_still_one_approval(caller: Caller, world: World) -> None:
    """The signature is remembered in this process only; the vote is unique in the database."""
    body = interaction(click(world, "bob", await pending(world)))
    now = int(time.time())
    every = [list(headers_of(*sign(body, str(now - age))).items()) for age in range(20)]
    assert set(await asyncio.gather(*(caller.post(body, headers) for headers in every))) == {200}
    assert history(world).count("approved") == 1


async def test_an_event_that_slack_sends_again_is_acknowledged(caller: Caller, world: World) -> None:
    event = {"type": "event_callback", "api_app_id": "A0OTHER", "event": {"type": "message"}}
    body = json.dumps(event).encode()
    for number in ("1", "2", "3"):
        retry = [("X-Slack-Retry-Num", number), ("X-Slack-Retry-Reason", "http_timeout")]
        assert await caller.post(body, [*headers_of(*sign(body)).items(), *retry], JSON) == 200


async def test_headers_that_are_not_signed_change_nothing(caller: Caller, world: World) -> None:
    """Bolt would take these for its own, and run the listener without answering."""
    body = interaction(click(world, "bob", await pending(world)))
    lazy = [("X-Slack-Bolt-Lazy-Only", "1"), ("X-Slack-Bolt-Lazy-Function-Name", "approve")]
    assert await caller.post(body, [*headers_of(*sign(body)).items(), *lazy]) == 200
    assert history(world).count("approved") == 1


# --- for somebody else --------------------------------------------------------------------------------


async def test_a_payload_for_another_app_has_no_effect(caller: Caller, world: World) -> None:
    """Staging and production may share a signing secret by mistake."""
    card = await pending(world)
    for app in ("A0OTHER", None):
        payload = click(world, "bob", card) | {"api_app_id": app}
        assert await caller.status(interaction(payload)) == 200
    assert await caller.status(urlencode(command(world) | {"api_app_id": "A0OTHER"}).encode()) == 200
    assert not {"approved", "attempt_refused"} & set(history(world))


async def test_a_click_from_another_workspace_is_refused_privately_and_recorded(
    caller: Caller, world: World
) -> None:
    payload = click(world, "eve", await pending(world))
    payload["team"] = {"id": "T0OTHER", "domain": "other"}
    assert await caller.status(interaction(payload)) == 200
    await world.workspace.wait_until(lambda: world.person("eve").ephemerals())
    kinds = history(world)
    assert "approved" not in kinds
    assert kinds.count("attempt_refused") == 1


async def test_a_command_from_another_workspace_opens_no_form(caller: Caller, world: World) -> None:
    form = command(world, "eve", "") | {"team_id": "T0OTHER"}
    status, text = await caller.signed(urlencode(form).encode())
    assert status == 200
    assert "Only members" in text
    assert not [call for call in world.workspace.calls if call.method == "views.open"]


# --- two secrets, other paths ----------------------------------------------------------------------------


async def test_both_secrets_are_good_while_one_is_being_replaced(
    said: io.StringIO, quiet_world: World
) -> None:
    other = "fedcba9876543210fedcba9876543210"
    bot = await quiet_world.start_bot(SLACK_SIGNING_SECRET=f"{SECRET}, {other}")
    body = urlencode(command(quiet_world)).encode()
    async with aiohttp.ClientSession() as session:
        caller = Caller(session, bot.port)
        answers = [
            await caller.signed(body, secret=secret) for secret in (SECRET, other, f"{SECRET},{other}")
        ]
    assert [status for status, _ in answers] == [200, 200, 401]
    assert "/cancel-order" in answers[0][1]


async def test_no_other_way_leads_in(caller: Caller) -> None:
    body = json.dumps({"type": "url_verification", "challenge": MARK}).encode()
    headers = headers_of(*sign(body)) | {"Content-Type": JSON}
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        async with caller.session.request(method, caller.url, data=body, headers=headers) as response:
            assert (response.status, "Server" in response.headers) == (405, False), method
            assert MARK not in await response.text()
    tricks = ("/slack/events/", "//slack/events", "/slack//events", "/slack/events;x", "/SLACK/EVENTS", "/")
    for path in (*tricks, "/x/../slack/events", "/slack/events%2f", "/slack%2fevents", "/slack/events%00"):
        url = URL(f"http://127.0.0.1:{caller.port}{path}", encoded=True)
        async with caller.session.post(url, data=body, headers=headers) as response:
            assert (response.status, "Server" in response.headers) == (404, False), path
            assert MARK not in await response.text()


class DoorAlone:
    """A door with nothing behind it, and a clock of its own."""

    def __init__(self, now: float) -> None:
        self._door = http.HttpDoor(cast("AsyncApp", self), [SECRET], lambda: now)
        self._session = aiohttp.ClientSession()

    async def async_dispatch(self, _request: object) -> BoltResponse:
        return BoltResponse(status=200)

    async def __aenter__(self) -> Caller:
        site = web.Application()
        self._door.add_to(site)
        self._runner = web.AppRunner(site)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return Caller(self._session, self._runner.addresses[0][1])

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self._runner.cleanup()
