"""The one way out, tried against servers that do not keep the rules."""

# What can go wrong on the way to a provider, and where it is tried:
#
#   no such name, nobody listening, no room left, broken IPv6   "nothing was sent"
#   certificates, HTTP on a TLS port, HTTP/2, proxies for TLS   test_tls.py
#   resets, silence, late answers, slow drips                   "trouble on the way", "the deadline"
#   halves, wrong lengths, broken chunks, 1xx, HTTP/1.0         "answers that break the rules"
#   endless answers, bombs, thousands of headers                "too much of everything"
#   two answers on one connection, a connection that died       "one attempt or several"
#   redirects, cookies, proxies                                 "redirects, cookies, proxies"
#   too many calls: ours, and what a provider says about it     test_pace.py; "Retry-After"
#   strange JSON                                                "strict JSON"
#   one provider hangs, the others do not wait                  tests/test_bulkhead.py
#   what a status or a body means for an order                  test_contract.py, and each adapter's own
#   hours without a provider, answers that stay unknown         tests/test_flows.py, tests/bot/

from __future__ import annotations

import asyncio
import errno
import gc
import gzip
import json
import logging
import re
import socket
import time
import traceback
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import trustme

from providers.http import USER_AGENT, Answer, Http, HttpLimits, NoAnswer, NotJson, parse_json
from tests.providers.raw import (
    RawServer,
    Script,
    answers,
    drips,
    failure,
    hangs_up,
    listening,
    repeats,
    resets,
    says,
    waits,
)

SECRET = "t0ps3cret"
QUERY = {"order_token": SECRET}
MEGABYTE = 1_048_576

Serve = Callable[..., Awaitable[RawServer]]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("trust") / "authority.pem"
    trustme.CA().cert_pem.write_to_path(file)
    return str(file)


@pytest.fixture(autouse=True)
def one_authority(authority: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here speaks TLS, and loading the usual hundred authorities takes longer than most tests."""
    monkeypatch.setenv("SSL_CERT_FILE", authority)


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def start(*scripts: Script) -> RawServer:
            return await stack.enter_async_context(listening(RawServer(*scripts)))

        yield start


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Decide what every name resolves to; nothing at all means that there is no such name."""

    def use(*addresses: str) -> None:
        def look_up(_host: object, port: int, *_: object, **__: object) -> list[Any]:
            if not addresses:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            families = {
                address: socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses
            }
            return [(families[each], socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)

    return use


@contextmanager
def little_memory(most: int) -> Iterator[None]:
    """Fails when more than `most` bytes were needed at the same time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


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
    assert "Accept: application/json\r\n" in head
    assert "Content-Length: 2\r\n" in head
    assert head.count("Host: ") == 1
    assert f"Host: {server.url.removeprefix('http://')}\r\n" in head


@pytest.mark.parametrize(
    ("method", "content", "length"),
    [
        ("PUT", None, "0"),
        ("POST", b"", "0"),
        ("POST", "ü".encode(), "2"),
        ("GET", None, ""),
        ("DELETE", None, ""),
    ],
)
async def test_a_body_is_announced_in_bytes_and_an_empty_one_where_there_may_be_one(
    serve: Serve, method: str, content: bytes | None, length: str
) -> None:
    server = await serve(answers())
    await server.http().send(method, "/a", content=content)
    assert re.findall(r"Content-Length: (.*)\r\n", server.heard[0].decode()) == ([length] if length else [])


@pytest.mark.parametrize(
    ("base_url", "host"),
    [
        ("https://api.example", "api.example"),
        ("https://api.example:443/v2", "api.example"),
        ("https://api.example:8443", "api.example:8443"),
        ("https://api.example:80", "api.example:80"),
        ("http://127.0.0.1:80", "127.0.0.1"),
        ("http://[::1]:8080", "[::1]:8080"),
    ],
)
def test_the_host_is_named_without_the_usual_port(base_url: str, host: str) -> None:
    assert Http(base_url, HttpLimits())._host == host


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
        "https://api..example",
        f"https://{'a' * 64}.example",
        "https://[fe80::1%25eth0]",
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


@pytest.mark.parametrize("name", ["Host", "host", "Content-Length", "connection", "Transfer-Encoding"])
async def test_a_header_that_we_set_is_nobody_elses(serve: Serve, name: str) -> None:
    server = await serve(answers())
    trouble = await failure(server.http().send("PUT", "/a", headers={name: "1"}))
    assert (trouble.code, trouble.sent) == ("unusable_request", False)
    assert server.heard == []


async def test_a_name_that_the_system_looks_for_too_long_is_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def look_up(*_: object, **__: object) -> None:
        raise TimeoutError(errno.ETIMEDOUT, "timed out")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    trouble = await failure(Http("https://api.example", HttpLimits()).send("PUT", "/a"))
    assert (trouble.code, trouble.sent) == ("connect_error", False)


@pytest.mark.parametrize("value", ["", "a\r\nX-Evil: 1", " a", "ü", "a\x00"])
async def test_a_header_that_would_become_two_is_never_sent(serve: Serve, value: str) -> None:
    server = await serve(answers())
    trouble = await failure(server.http().send("GET", "/a", headers={"X-Key": value}))
    assert (trouble.code, trouble.sent) == ("unusable_request", False)
    assert server.heard == []


# ---- redirects, cookies, proxies


@pytest.mark.parametrize("target", ["another host", "/itself", "//127.0.0.1/x", "file:///etc/hostname", ""])
async def test_a_redirect_is_an_answer_and_nobody_follows_it(serve: Serve, target: str) -> None:
    trap = await serve(answers())
    location = f"{trap.url}/trap" if target == "another host" else target
    for status in ("301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"):
        server = await serve(answers(b"", f"Location: {location}", status=status))
        http = server.http()
        for call in (http.send, http.read):
            assert (await call("GET", "/a", query=QUERY)).status == int(status[:3])
        assert len(server.heard) == 2
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


# ---- nothing was sent


async def test_a_refused_connection_is_proved_unsent() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    trouble = await failure(Http(f"http://127.0.0.1:{port}", HttpLimits()).send("PUT", "/a"))
    assert (trouble.code, trouble.sent) == ("connect_error", False)


async def test_a_name_that_does_not_resolve_is_proved_unsent(resolve: Callable[..., None]) -> None:
    resolve()
    trouble = await failure(Http("https://countersign.invalid", HttpLimits()).send("PUT", "/a"))
    assert (trouble.code, trouble.sent) == ("connect_error", False)


async def test_a_server_that_takes_no_more_connections_is_proved_unsent() -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        http = Http(f"http://127.0.0.1:{full.getsockname()[1]}", HttpLimits(timeout=0.3))
        trouble = await failure(http.send("PUT", "/a"))
    assert (trouble.code, trouble.sent) == ("connect_timeout", False)


async def test_where_ipv6_is_broken_ipv4_is_used(serve: Serve, resolve: Callable[..., None]) -> None:
    server = await serve(answers())
    resolve("::1", "127.0.0.1")
    assert (await Http(f"http://localhost:{server.port}", HttpLimits()).send("PUT", "/a")).status == 200
    assert len(server.heard) == 1


# ---- trouble on the way


@pytest.mark.parametrize("script", [hangs_up, resets])
async def test_a_connection_that_dies_after_the_request_may_have_been_carried_out(
    serve: Serve, script: Script
) -> None:
    server = await serve(script)
    trouble = await failure(server.http().send("PUT", "/a"))
    assert (trouble.code, trouble.sent) == ("connection_lost", True)
    assert len(server.heard) == 1


async def test_a_connection_that_dies_during_the_request_may_have_been_carried_out(serve: Serve) -> None:
    server = await serve(resets)
    server.until = b"PUT"
    trouble = await failure(server.http().send("PUT", "/a", content=b"x" * 20_000_000))
    assert (trouble.code, trouble.sent) == ("connection_lost", True)
    assert len(server.heard) == 1


async def test_an_answer_before_the_end_of_the_request_is_an_answer(serve: Serve) -> None:
    server = await serve(answers(status="413 Too Large"), waits)
    server.until = b"PUT"
    assert (await server.http().send("PUT", "/a", content=b"x" * 1_000)).status == 413
    assert len(server.heard) == 1


# ---- the deadline

SLOW = {
    "silence": waits,
    "a slow head": drips(b"HTTP/1.1 200 OK\r\nX-A: ", b"a"),
    "a slow body": drips(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
    "slow chunks": drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "wait, and wait again": drips(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
}


@pytest.mark.parametrize("script", SLOW.values(), ids=SLOW.keys())
@pytest.mark.parametrize("kind", ["read", "send"])
async def test_the_deadline_counts_everything(serve: Serve, script: Script, kind: str) -> None:
    server = await serve(script)
    clock = asyncio.get_running_loop()
    start = clock.time()
    trouble = await failure(getattr(server.http(timeout=0.2), kind)("PUT", "/a"))
    assert (trouble.code, trouble.sent) == ("read_timeout", True)
    assert clock.time() - start < 3
    assert len(server.heard) == 1


async def test_an_answer_after_the_deadline_reaches_nobody(serve: Serve) -> None:
    given_up = asyncio.Event()

    async def too_late(writer: asyncio.StreamWriter) -> None:
        await given_up.wait()
        await answers(b'"late"')(writer)

    server = await serve(too_late, answers(b'"in time"'))
    http = server.http(timeout=0.3)
    assert (await failure(http.send("PUT", "/a"))).code == "read_timeout"
    given_up.set()
    assert (await http.read("GET", "/b")).json() == "in time"


@pytest.mark.parametrize("jump", [1e9, -1e9])
async def test_a_jump_of_the_wall_clock_neither_ends_a_call_nor_stretches_it(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    true_time = time.time

    async def jumps(writer: asyncio.StreamWriter) -> None:
        monkeypatch.setattr(time, "time", lambda: true_time() + jump)
        await answers()(writer)

    server = await serve(jumps, waits)
    http = server.http(timeout=0.4)
    assert (await http.send("PUT", "/a")).status == 200
    assert (await failure(http.send("PUT", "/a"))).code == "read_timeout"


# ---- answers that break the rules

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BROKEN = {
    "no answer": b"",
    "half a status line": b"HTTP/1.1 2",
    "half the headers": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half the body": b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"status": 1',
    "half an interim answer": b"HTTP/1.1 100 Continue\r\n",
    "only an interim answer": b"HTTP/1.1 100 Continue\r\n\r\n",
    "a bad chunk": CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    "a chunk that is longer than it says": CHUNKED + b"2\r\n{}x\r\n0\r\n\r\n",
    "half a chunk": CHUNKED + b"64\r\n{",
    "a missing last chunk": CHUNKED + b"2\r\n{}\r\n",
    "a chunk of negative size": CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}",
    "a length in words": b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n{}",
    "an unknown transfer encoding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n{}",
    "a header without a name": b"HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 2\r\n\r\n{}",
    "a status of two digits": b"HTTP/1.1 99 Eh\r\nContent-Length: 2\r\n\r\n{}",
    "no HTTP": b"220 mail.example ESMTP\r\n\r\n",
    "HTTP/2 without being asked": b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + b"\x00" * 64,
    "another protocol": b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
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


async def test_a_body_that_is_longer_than_it_says_is_not_json(serve: Serve) -> None:
    server = await serve(says(b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"status": 1}'))
    assert (await server.http().send("PUT", "/a")).json_or_none() is None


UNUSUAL = {
    "100 first": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "103 first": b"HTTP/1.1 103 Early Hints\r\nLink: </trap>; rel=preload\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "an offer of HTTP/2": b"HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n"
    b"Content-Length: 2\r\n\r\n{}",
    "an offer of HTTP/3": b'HTTP/1.1 200 OK\r\nAlt-Svc: h3=":443"\r\nContent-Length: 2\r\n\r\n{}',
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n{}",
    "HTTP/1.0 kept alive": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}",
    "chunks": CHUNKED + b"1\r\n{\r\n1;a=b\r\n}\r\n0\r\nX-After: 1\r\n\r\n",
}


@pytest.mark.parametrize("raw", UNUSUAL.values(), ids=UNUSUAL.keys())
async def test_an_unusual_answer_that_keeps_the_rules_is_read(serve: Serve, raw: bytes) -> None:
    server = await serve(says(raw))
    answer = await server.http().send("PUT", "/a")
    assert (answer.status, answer.json()) == (200, {})
    assert len(server.heard) == 1


# ---- too much of everything


@pytest.mark.parametrize("kind", ["read", "send"])
async def test_an_endless_body_is_cut_and_never_asked_for_again(serve: Serve, kind: str) -> None:
    for opening in (b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n"):
        server = await serve(repeats(opening, b"x" * 65_536))
        with little_memory(6 * MEGABYTE):
            trouble = await failure(getattr(server.http(max_bytes=MEGABYTE), kind)("PUT", "/a"))
        assert (trouble.code, trouble.sent) == ("too_large", True)
        assert len(server.heard) == 1


async def test_endless_chunks_are_cut(serve: Serve) -> None:
    server = await serve(repeats(CHUNKED, b"1000\r\n" + b"x" * 4096 + b"\r\n"))
    with little_memory(6 * MEGABYTE):
        assert (await failure(server.http(max_bytes=MEGABYTE).send("PUT", "/a"))).code == "too_large"


def bomb(wbits: int) -> bytes:
    """About a gigabyte of zeros in a megabyte. It lacks a correct end, which nobody must get to see."""
    packer = zlib.compressobj(9, wbits=wbits)
    head = packer.compress(b"0" * MEGABYTE) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(b"0" * MEGABYTE) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + again * 1000


@pytest.mark.parametrize(
    ("wbits", "encoding", "code"),
    [
        (31, "gzip", "too_large"),
        (31, "x-gzip", "too_large"),
        (31, "gzip, gzip", "broken_answer"),
        (15, "deflate", "broken_answer"),
        (-15, "deflate", "broken_answer"),
    ],
)
async def test_a_bomb_is_cut_before_it_unfolds(serve: Serve, wbits: int, encoding: str, code: str) -> None:
    body = bomb(wbits)
    server = await serve(answers(body, f"Content-Encoding: {encoding}"))
    with little_memory(12 * MEGABYTE):
        trouble = await failure(server.http(max_bytes=2 * MEGABYTE).send("PUT", "/a"))
    assert (trouble.code, trouble.sent) == (code, True)


async def test_ten_thousand_short_headers_are_read(serve: Serve) -> None:
    server = await serve(answers(b"{}", *["A: b"] * 10_000))
    with little_memory(12 * MEGABYTE):
        assert (await server.http().send("PUT", "/a")).json() == {}


ENDLESS_HEADS = {
    "headers": repeats(b"HTTP/1.1 200 OK\r\n", b"X-A: aaaaaaaaaaaaaaaa\r\n" * 1000),
    "a header's value": repeats(b"HTTP/1.1 200 OK\r\nX-A: ", b"a" * 65_536),
    "a header's name": repeats(b"HTTP/1.1 200 OK\r\n", b"a" * 65_536),
    "a status line": repeats(b"HTTP/1.1 200 ", b"a" * 65_536),
    "the size of a chunk": repeats(CHUNKED + b"1;", b"a" * 65_536),
    "headers after the body": repeats(CHUNKED + b"0\r\n", b"X-A: aaaaaaaaaaaaaaaa\r\n" * 1000),
}


@pytest.mark.parametrize("script", ENDLESS_HEADS.values(), ids=ENDLESS_HEADS.keys())
async def test_everything_around_the_body_has_an_end_too(serve: Serve, script: Script) -> None:
    server = await serve(script)
    with little_memory(6 * MEGABYTE):
        trouble = await failure(server.http().send("PUT", "/a"))
    assert (trouble.code, trouble.sent) == ("broken_answer", True)
    assert len(server.heard) == 1


async def test_endless_interim_answers_meet_the_deadline(serve: Serve) -> None:
    server = await serve(repeats(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 1000))
    with little_memory(6 * MEGABYTE):
        trouble = await failure(server.http(timeout=0.4).send("PUT", "/a"))
    assert (trouble.code, trouble.sent) == ("read_timeout", True)


# ---- whoever gives up hangs up


async def test_a_call_that_is_interrupted_leaves_no_connection_behind(serve: Serve) -> None:
    server = await serve(waits)
    call = asyncio.create_task(server.http(timeout=60).send("PUT", "/a"))
    async with asyncio.timeout(5):
        await server.reached.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await server.is_left()


async def test_a_call_that_meets_its_deadline_leaves_no_connection_behind(serve: Serve) -> None:
    server = await serve(waits)
    await failure(server.http(timeout=0.2).send("PUT", "/a"))
    await server.is_left()


async def test_an_answer_that_is_cut_leaves_no_connection_and_no_task_behind(serve: Serve) -> None:
    server = await serve(repeats(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65_536))
    before = asyncio.all_tasks()
    await failure(server.http().send("PUT", "/a"))
    await server.is_left()
    gc.collect()
    async with asyncio.timeout(5):
        await asyncio.gather(*(asyncio.all_tasks() - before))


# ---- one attempt or several


async def test_a_send_uses_a_connection_that_nothing_used_before(serve: Serve) -> None:
    """The server offers to keep the connection of a read, and lets it die just before the cancel."""
    kept: list[asyncio.StreamWriter] = []

    async def keeps_alive(writer: asyncio.StreamWriter) -> None:
        await answers(b"{}", "Connection: keep-alive", "Keep-Alive: timeout=60")(writer)
        kept.append(writer)
        await asyncio.Event().wait()

    server = await serve(keeps_alive, answers(b'"cancelled"'))
    http = server.http()
    await http.read("GET", "/a")
    await resets(kept[0])
    assert (await http.send("PUT", "/cancel")).json() == "cancelled"
    assert [head.split(b" ")[1] for head in server.heard] == [b"/a", b"/cancel"]
    assert all(b"Connection: close\r\n" in head for head in server.heard)


async def test_bytes_after_the_answer_belong_to_nobody(serve: Serve) -> None:
    two = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2"
    server = await serve(says(two), answers(b"3"))
    http = server.http()
    first, second = await http.send("GET", "/a"), await http.send("GET", "/a")
    assert (first.body, second.body) == (b"1", b"3")


@pytest.mark.parametrize("trouble", [hangs_up, resets, says(b"")])
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
    server = await serve(hangs_up, waits)
    trouble = await failure(server.http(timeout=0.5).read("GET", "/a"))
    assert trouble.code == "read_timeout"
    assert len(server.heard) == 2


# ---- secrets


TROUBLE = {
    "reset": resets,
    "silence": waits,
    "endless": repeats(b"HTTP/1.1 200 OK\r\n\r\n", SECRET.encode() * 5000),
    "no HTTP": says(SECRET.encode() + b"\r\n\r\n"),
    "a bad header": says(b"HTTP/1.1 200 OK\r\n" + SECRET.encode() + b"\r\n\r\n"),
    "a bad length": says(b"HTTP/1.1 200 OK\r\nContent-Length: " + SECRET.encode() + b"\r\n\r\n"),
    "a bad chunk": says(CHUNKED + SECRET.encode() + b"\r\n"),
    "half a body": says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + SECRET.encode()),
    "broken gzip": answers(SECRET.encode(), "Content-Encoding: gzip"),
    "an odd encoding": answers(SECRET.encode(), f"Content-Encoding: {SECRET}"),
}


@pytest.mark.parametrize("script", TROUBLE.values(), ids=TROUBLE.keys())
async def test_an_error_holds_no_url_no_header_no_body_and_no_older_error(
    serve: Serve, script: Script
) -> None:
    server = await serve(script)
    call = server.http(timeout=0.3).send
    trouble = await failure(
        call("PUT", f"/{SECRET}", query=QUERY, headers={"X-Key": SECRET}, content=SECRET.encode())
    )
    shown = "".join(traceback.format_exception(trouble)) + repr(trouble.__context__) + repr(vars(trouble))
    assert SECRET not in shown + trouble.sentence
    assert "127.0.0.1" not in str(trouble) + repr(trouble)
    assert str(trouble) == trouble.code
    assert trouble.sentence


async def test_a_request_that_cannot_be_built_is_not_repeated_in_the_error() -> None:
    http = Http("http://127.0.0.1:1", HttpLimits())
    for path, headers in ((f"/../{SECRET}", {}), ("/a", {"X-Key": f"{SECRET}\n"})):
        trouble = await failure(http.send("PUT", path, query=QUERY, headers=headers))
        assert trouble.code == "unusable_request"
        assert SECRET not in "".join(traceback.format_exception(trouble)) + repr(trouble.__context__)


async def test_nothing_of_a_request_reaches_a_log_at_any_level(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("", "httpcore"):  # a bot that ran in this process before may have silenced it
        caplog.set_level(logging.DEBUG, name)
    server = await serve(answers(SECRET.encode()), resets)
    for _ in range(2):
        call = server.http().send
        with suppress(NoAnswer):
            await call("PUT", f"/{SECRET}", query=QUERY, headers={"X-Key": SECRET}, content=SECRET.encode())
    assert caplog.records
    assert SECRET not in caplog.text


def test_an_answer_does_not_print_its_body() -> None:
    assert SECRET not in repr(Answer(200, {"x": SECRET}, SECRET.encode()))


# ---- strict JSON


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b"null", b'"a"', b"1", b"-1.5e3", '{"ü": "€"}'.encode(), b'"\\ud83d\\ude00"']
)
def test_plain_json_is_read(body: bytes) -> None:
    assert parse_json(body) == json.loads(body)


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


def waiting_time(value: str) -> timedelta | None:
    return Answer(429, {"retry-after": value}).retry_after


@pytest.mark.parametrize("kind", ["read", "send"])
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ((), None),
        (("Retry-After: 2",), 2),
        (("Retry-After: 3600",), 3600),
        (("Retry-After: 99999999999999999999",), 3600),
        (("Retry-After: Wed, 21 Oct 2015 07:28:00 GMT",), 1),
        (("Retry-After: Fri, 31 Dec 2100 23:59:59 GMT",), 3600),
        (("Retry-After: -5",), None),
        (("Retry-After: in a while",), None),
        (("Retry-After:",), None),
        (("Retry-After: 2", "Retry-After: 3"), None),
    ],
)
async def test_too_many_calls_is_an_answer_that_may_say_how_long_to_wait(
    serve: Serve, kind: str, header: tuple[str, ...], seconds: int | None
) -> None:
    server = await serve(answers(b"", *header, status="429 Too Many Requests"))
    answer = await getattr(server.http(), kind)("GET", "/a")
    assert answer.status == 429
    assert answer.retry_after == (None if seconds is None else timedelta(seconds=seconds))
    assert len(server.heard) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("2", 2), ("0", 1), ("3600", 3600), ("999999", 3600), ("9" * 400, 3600), (" 30 ", 30), ("007", 7)],
)
def test_retry_after_in_seconds_is_clamped(value: str, seconds: int) -> None:
    assert waiting_time(value) == timedelta(seconds=seconds)


def test_retry_after_as_a_date_is_clamped() -> None:
    now = datetime.now(UTC)
    assert waiting_time(format_datetime(now - timedelta(days=1), usegmt=True)) == timedelta(seconds=1)
    assert waiting_time(format_datetime(now + timedelta(days=1), usegmt=True)) == timedelta(hours=1)
    soon = waiting_time(format_datetime(now + timedelta(minutes=10), usegmt=True))
    assert soon is not None
    assert timedelta(minutes=9) < soon <= timedelta(minutes=10)


@pytest.mark.parametrize(
    "value", ["", "soon", "-5", "1.5", "1e3", "\uff11", "inf", "Mon, 99 Foo 2026 99:99:99 GMT"]
)
def test_a_retry_after_that_makes_no_sense_is_ignored(value: str) -> None:
    assert waiting_time(value) is None


def test_no_retry_after_is_none() -> None:
    assert Answer(429).retry_after is None
