"""The one way out, tried against servers that do not keep the rules."""

from __future__ import annotations

import asyncio
import gzip
import socket
import traceback
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import repeat
from typing import cast

import pytest

from providers.http import USER_AGENT, Answer, Http, HttpLimits, NoAnswer, NotJson, parse_json

SECRET = "t0ps3cret"
QUERY = {"order_token": SECRET}
Script = Callable[[asyncio.StreamWriter], Awaitable[None]]


class RawServer:
    """Says exactly what it is told to say, byte by byte, and remembers what it heard."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        """One per connection; the last one serves all that follow."""
        self.heard: list[bytes] = []
        self.until = b"\r\n\r\n"
        """What ends a request: nothing is answered before."""
        self.port = 0
        self.open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def http(self, timeout: float = 5.0, max_bytes: int = 10_000) -> Http:
        return Http(self.url, HttpLimits(timeout=timeout, max_bytes=max_bytes))

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self.open[task] = writer
        try:
            self.heard.append(await reader.readuntil(self.until))
            script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
            await script(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has every right to hang up
        finally:
            writer.close()

    async def hang_up(self) -> None:
        """Leave no connection and no task behind, whatever the scripts were waiting for."""
        for task, writer in self.open.items():
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*self.open, return_exceptions=True)


@asynccontextmanager
async def listening(server: RawServer) -> AsyncIterator[RawServer]:
    listener = await asyncio.start_server(server, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await server.hang_up()


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[RawServer]]]:
    async with AsyncExitStack() as stack:

        async def start(*scripts: Script) -> RawServer:
            return await stack.enter_async_context(listening(RawServer(*scripts)))

        yield start


Serve = Callable[..., Awaitable[RawServer]]


def says(raw: bytes) -> Script:
    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return script


def answers(body: bytes = b"{}", *headers: str, status: str = "200 OK") -> Script:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return says("\r\n".join(lines).encode() + body)


async def hangs_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def drips(writer: asyncio.StreamWriter) -> None:
    """One byte at a time, so that no pause between two bytes is ever long."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    for byte in repeat(b"x", 100_000):
        writer.write(byte)
        await writer.drain()
        await asyncio.sleep(0.02)


async def never_ends(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def says_nothing(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)
    writer.close()


async def failure(call: Awaitable[Answer]) -> NoAnswer:
    with pytest.raises(NoAnswer) as caught:
        await call
    return caught.value


# ---- what comes back


async def test_an_answer_has_status_lower_case_headers_and_json(serve: Serve) -> None:
    server = await serve(answers(b'{"a": 1}', "X-Thing: yes", status="201 Created"))
    answer = await server.http().send("GET", "/a")
    assert (answer.status, answer.headers["x-thing"], answer.json()) == (201, "yes", {"a": 1})


async def test_the_request_is_what_was_asked_for(serve: Serve) -> None:
    server = await serve(answers())
    http = Http(f"{server.url}/base/v2", HttpLimits())
    await http.send("PUT", "/orders/a%2Fb", query={"q": "a b&c/ü"}, headers={"X-Key": "k"}, content=b"{}")
    head = server.heard[0].decode()
    assert head.startswith("PUT /base/v2/orders/a%2Fb?q=a%20b%26c%2F%C3%BC HTTP/1.1\r\n")
    assert f"User-Agent: {USER_AGENT}\r\n" in head
    assert "Accept-Encoding: identity\r\n" in head
    assert "X-Key: k\r\n" in head
    assert "Content-Length: 2\r\n" in head


def test_the_origin_holds_neither_path_nor_secret() -> None:
    assert Http("https://api.example:8443/v2/", HttpLimits()).origin == "https://api.example:8443"


@pytest.mark.parametrize(
    "base_url",
    [
        "http://api.example",
        "ftp://api.example",
        "api.example",
        "",
        f"https://user:{SECRET}@api.example",
        f"https://api.example/?token={SECRET}",
        "https://api.example/#x",
        "https://api.example/a/../b",
        "https://api.example:99999",
        "https://api example",
        "https://api.example\n",
        "https://[::1",
    ],
)
def test_a_base_url_that_could_leak_or_mislead_is_refused_without_repeating_it(base_url: str) -> None:
    with pytest.raises(ValueError, match=r"base URL|path") as caught:
        Http(base_url, HttpLimits())
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "orders",
        "//x/1",
        "/a/../b",
        "/a/.",
        "/a/%2e%2e/b",
        "/a/%2E",
        "/a//b",
        "/a?b=c",
        "/a#b",
        "/a b",
        "/ü",
    ],
)
async def test_a_path_that_would_become_another_one_is_never_sent(serve: Serve, path: str) -> None:
    server = await serve(answers())
    trouble = await failure(server.http().send("DELETE", path))
    assert (trouble.code, trouble.sent) == ("unusable_request", False)
    assert server.heard == []


@pytest.mark.parametrize("value", ["", "a\r\nX-Evil: 1", " a", "ü", "a\x00"])
async def test_a_header_that_would_become_two_is_never_sent(serve: Serve, value: str) -> None:
    server = await serve(answers())
    trouble = await failure(server.http().send("GET", "/a", headers={"X-Key": value}))
    assert (trouble.code, trouble.sent) == ("unusable_request", False)
    assert server.heard == []


# ---- redirects, cookies, proxies


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"]
)
async def test_a_redirect_is_an_answer_and_nobody_follows_it(serve: Serve, status: str) -> None:
    trap = await serve(answers())
    server = await serve(answers(b"", f"Location: {trap.url}/trap", status=status))
    for call in (server.http().send, server.http().read):
        assert (await call("GET", "/a", query=QUERY)).status == int(status[:3])
    assert trap.heard == []


async def test_no_cookie_is_kept_and_no_connection_reused(serve: Serve) -> None:
    server = await serve(answers(b"{}", "Set-Cookie: SID=1; Path=/"))
    http = server.http()
    for call in (http.read, http.send, http.read):
        await call("GET", "/a")
    assert len(server.heard) == 3
    assert not any(b"cookie" in head.lower() for head in server.heard)


async def test_proxies_of_the_environment_are_ignored(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, server = await serve(answers()), await serve(answers())
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    await server.http().send("GET", "/a")
    assert (len(proxy.heard), len(server.heard)) == (0, 1)


# ---- trouble on the way


async def test_a_refused_connection_is_proved_unsent() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    trouble = await failure(Http(f"http://127.0.0.1:{port}", HttpLimits()).send("PUT", "/a"))
    assert (trouble.code, trouble.sent) == ("connect_error", False)


async def test_a_name_that_does_not_resolve_is_proved_unsent() -> None:
    trouble = await failure(Http("https://countersign.invalid", HttpLimits()).send("PUT", "/a"))
    assert (trouble.code, trouble.sent) == ("connect_error", False)


async def test_a_failed_tls_handshake_is_proved_unsent(serve: Serve) -> None:
    server = await serve(says(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    server.until = b"\x16"  # the first byte of a TLS greeting
    https = Http(server.url.replace("http:", "https:"), HttpLimits(timeout=5.0))
    trouble = await failure(https.send("PUT", f"/{SECRET}"))
    assert (trouble.code, trouble.sent) == ("tls_error", False)
    assert server.heard == [b"\x16"]


async def test_a_handshake_that_never_ends_meets_the_deadline_unsent(serve: Serve) -> None:
    server = await serve(says_nothing)
    https = Http(server.url.replace("http:", "https:"), HttpLimits(timeout=0.4))
    trouble = await failure(https.send("PUT", "/a"))
    assert (trouble.code, trouble.sent) == ("connect_timeout", False)


BROKEN = {
    "no answer": b"",
    "half a status line": b"HTTP/1.1 2",
    "half the headers": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half the body": b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"status": 1',
    "a bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a missing last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "no HTTP": b"220 mail.example ESMTP\r\n\r\n",
    "10,000 headers": b"HTTP/1.1 200 OK\r\n"
    + b"X-A: aaaaaaaaaaaaaaaa\r\n" * 10_000
    + b"Content-Length: 2\r\n\r\n{}",
    "an encoding nobody asked for": b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}",
    "broken gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_answer_may_have_been_carried_out(serve: Serve, raw: bytes) -> None:
    server = await serve(says(raw))
    trouble = await failure(server.http().send("PUT", "/a"))
    assert trouble.code in {"connection_lost", "broken_answer"}
    assert trouble.sent
    assert len(server.heard) == 1


async def test_gzip_cut_in_the_middle_is_no_answer(serve: Serve) -> None:
    body = gzip.compress(b'{"status": 1}' * 10)[:-12]
    server = await serve(answers(body, "Content-Encoding: gzip"))
    assert (await failure(server.http().send("PUT", "/a"))).sent


async def test_gzip_is_read_although_it_was_not_asked_for(serve: Serve) -> None:
    server = await serve(answers(gzip.compress(b'{"a": 1}'), "Content-Encoding: gzip"))
    assert (await server.http().send("GET", "/a")).json() == {"a": 1}


@pytest.mark.parametrize("script", [drips, says_nothing], ids=["dripping body", "silence"])
async def test_the_deadline_counts_everything(serve: Serve, script: Script) -> None:
    server = await serve(script)
    clock = asyncio.get_running_loop()
    start = clock.time()
    trouble = await failure(server.http(timeout=0.3).send("PUT", "/a"))
    assert (trouble.code, trouble.sent) == ("read_timeout", True)
    assert clock.time() - start < 3


async def test_an_endless_body_is_cut(serve: Serve) -> None:
    server = await serve(never_ends)
    assert (await failure(server.http().send("PUT", "/a"))).code == "too_large"


async def test_a_bomb_is_cut_before_it_unfolds(serve: Serve) -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b"0" * 1_000_000) for _ in range(8)) + packer.flush()
    assert len(bomb) < 10_000
    server = await serve(answers(bomb, "Content-Encoding: gzip"))
    assert (await failure(server.http().send("PUT", "/a"))).code == "too_large"


async def test_bytes_after_the_answer_belong_to_nobody(serve: Serve) -> None:
    two = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2"
    server = await serve(says(two), answers(b"3"))
    http = server.http()
    first, second = await http.send("GET", "/a"), await http.send("GET", "/a")
    assert (first.body, second.body) == (b"1", b"3")


# ---- one attempt or several


@pytest.mark.parametrize("trouble", [hangs_up, says(b"")])
async def test_a_send_is_made_once_though_its_connection_dies(serve: Serve, trouble: Script) -> None:
    server = await serve(trouble, answers())
    assert (await failure(server.http().send("GET", "/a"))).sent
    assert len(server.heard) == 1


async def test_a_send_is_made_once_though_the_server_is_busy(serve: Serve) -> None:
    server = await serve(answers(b"", status="503 Busy"), answers())
    assert (await server.http().send("GET", "/a")).status == 503
    assert len(server.heard) == 1


@pytest.mark.parametrize(
    "trouble", [hangs_up, answers(b"", status="502 Bad"), answers(b"", status="503 Busy")]
)
async def test_a_read_is_repeated_after_trouble(serve: Serve, trouble: Script) -> None:
    server = await serve(trouble, trouble, answers(b"[1]"))
    assert (await server.http().read("GET", "/a")).json() == [1]
    assert len(server.heard) == 3


async def test_a_read_gives_up_and_tells_the_last_trouble(serve: Serve) -> None:
    server = await serve(hangs_up)
    assert (await failure(server.http().read("GET", "/a"))).code == "connection_lost"
    assert len(server.heard) == 3


@pytest.mark.parametrize("status", ["429 Slow", "404 Not Found", "500 Oops", "401 No"])
async def test_a_read_takes_a_clear_answer_at_once(serve: Serve, status: str) -> None:
    server = await serve(answers(b"", status=status))
    assert (await server.http().read("GET", "/a")).status == int(status[:3])
    assert len(server.heard) == 1


async def test_all_attempts_of_a_read_share_one_deadline(serve: Serve) -> None:
    server = await serve(hangs_up, says_nothing)
    trouble = await failure(server.http(timeout=0.5).read("GET", "/a"))
    assert trouble.code == "read_timeout"
    assert len(server.heard) == 2


# ---- secrets


@pytest.mark.parametrize("script", [hangs_up, says_nothing, never_ends, says(b"garbage\r\n\r\n")])
async def test_an_error_holds_no_url_no_header_and_no_older_error(serve: Serve, script: Script) -> None:
    server = await serve(script)
    http = server.http(timeout=0.3)
    trouble = await failure(http.send("GET", f"/{SECRET}", query=QUERY, headers={"X-Key": SECRET}))
    shown = "".join(traceback.format_exception(trouble)) + repr(trouble.__context__) + repr(vars(trouble))
    assert SECRET not in shown
    assert "127.0.0.1" not in str(trouble) + repr(trouble)
    assert str(trouble) == trouble.code
    assert trouble.sentence


def test_an_answer_does_not_print_its_body() -> None:
    assert SECRET not in repr(Answer(200, {"x": SECRET}, SECRET.encode()))


# ---- strict JSON


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b"null", b'"a"', b"1", b"-1.5e3", '{"ü": "€"}'.encode(), b'"\\ud83d\\ude00"']
)
def test_plain_json_is_read(body: bytes) -> None:
    parse_json(body)


BAD_JSON = {
    "nothing": b"",
    "a page": b"<html></html>",
    "NaN": b'{"a": NaN}',
    "Infinity": b"[Infinity]",
    "-Infinity": b"[-Infinity]",
    "too large a float": b"1e999",
    "a key twice": b'{"status": 0, "status": 1}',
    "a key twice, deep": b'{"a": [{"b": 1, "b": 2}]}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "Latin-1": '{"a": "é"}'.encode("latin-1"),
    "a lone surrogate": b'{"a": "\\ud800"}',
    "a lone surrogate as key": b'{"\\udfff": 1}',
    "100,000 levels": b"[" * 100_000 + b"]" * 100_000,
    "100,000 open levels": b'{"a":' * 100_000,
    "5,000 digits": b"9" * 5_000,
    "two values": b"{}{}",
    "half": b'{"a": ',
    "single quotes": b"{'a': 1}",
}


@pytest.mark.parametrize("body", BAD_JSON.values(), ids=BAD_JSON.keys())
def test_anything_else_is_not_json(body: bytes) -> None:
    with pytest.raises(NotJson) as caught:
        parse_json(body)
    assert caught.value.__context__ is None
    assert Answer(200, {}, body).json_or_none() is None


# ---- Retry-After


def waits(value: str) -> timedelta | None:
    return Answer(429, {"retry-after": value}).retry_after


@pytest.mark.parametrize(
    ("value", "seconds"), [("2", 2), ("0", 1), ("3600", 3600), ("999999", 3600), (" 30 ", 30), ("007", 7)]
)
def test_retry_after_in_seconds_is_clamped(value: str, seconds: int) -> None:
    assert waits(value) == timedelta(seconds=seconds)


def test_retry_after_as_a_date_is_clamped() -> None:
    now = datetime.now(UTC)
    assert waits(format_datetime(now - timedelta(days=1), usegmt=True)) == timedelta(seconds=1)
    assert waits(format_datetime(now + timedelta(days=1), usegmt=True)) == timedelta(hours=1)
    soon = waits(format_datetime(now + timedelta(minutes=10), usegmt=True))
    assert soon is not None
    assert timedelta(minutes=9) < soon <= timedelta(minutes=10)


@pytest.mark.parametrize(
    "value", ["", "soon", "-5", "1.5", "1e3", "\uff11", "9" * 400, "Mon, 99 Foo 2026 99:99:99 GMT"]
)
def test_a_retry_after_that_makes_no_sense_is_ignored(value: str) -> None:
    assert waits(value) is None


def test_no_retry_after_is_none() -> None:
    assert Answer(429).retry_after is None
