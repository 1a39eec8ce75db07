"""Only whoever proves to be the provider gets to see a request, and nobody in between."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
import trustme

from providers.http import Http, HttpLimits
from tests.providers.raw import RawServer, answers, failure, listening, says, waits

SECRET = "t0ps3cret"
HANDSHAKE = b"\x16"
"""The first byte of every TLS greeting."""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(autouse=True)
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator trusts this authority."""
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(file)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))


def identity(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def expired(authority: trustme.CA) -> ssl.SSLContext:
    past = datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 2, 1, tzinfo=UTC)
    return identity(authority.issue_cert("127.0.0.1", not_before=past[0], not_after=past[1]))


def not_valid_yet(authority: trustme.CA) -> ssl.SSLContext:
    future = datetime(2090, 1, 1, tzinfo=UTC), datetime(2090, 2, 1, tzinfo=UTC)
    return identity(authority.issue_cert("127.0.0.1", not_before=future[0], not_after=future[1]))


def of_another_host(authority: trustme.CA) -> ssl.SSLContext:
    return identity(authority.issue_cert("api.example"))


def of_a_stranger(_authority: trustme.CA) -> ssl.SSLContext:
    return identity(trustme.CA().issue_cert("127.0.0.1"))


def self_signed(_authority: trustme.CA) -> ssl.SSLContext:
    itself = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with itself.private_key_pem.tempfile() as key, itself.cert_pem.tempfile() as certificate:
        context.load_cert_chain(certificate, key)
    return context


def outdated(authority: trustme.CA) -> ssl.SSLContext:
    context = identity(authority.issue_cert("127.0.0.1"))
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


@dataclass
class Wire:
    """Everything that clients wrote on the way to a server, one entry a connection."""

    port: int = 0
    written: list[bytearray] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


@asynccontextmanager
async def tapped(server: RawServer) -> AsyncIterator[Wire]:
    """A wire to the server that remembers what passes. It is taken down when both ends have hung up."""
    wire = Wire()
    connections: list[asyncio.Task[None]] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, log: bytearray) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                log += data
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(cast("asyncio.Task[None]", asyncio.current_task()))
        wire.written.append(log := bytearray())
        there, back = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(pump(reader, back, log), pump(there, writer, bytearray()))

    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    wire.port = listener.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        listener.close()
        async with asyncio.timeout(5):
            await asyncio.gather(*connections)


async def test_an_authority_of_the_operator_is_trusted(authority: trustme.CA) -> None:
    tls = identity(authority.issue_cert("127.0.0.1"))
    async with listening(RawServer(answers(b"[1]"), tls=tls)) as server, tapped(server) as wire:
        for kind in ("read", "send"):
            answer = await getattr(Http(wire.url, HttpLimits(timeout=5)), kind)("PUT", f"/{SECRET}")
            assert answer.json() == [1]
        assert len(server.heard) == 2
        assert not any(SECRET.encode() in written for written in wire.written)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_an_authority_that_cannot_be_read_is_said_at_once(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (tmp_path / "broken.pem").write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "broken.pem"))
    with pytest.raises(ValueError, match="SSL_CERT_FILE"):
        Http("https://api.example", HttpLimits())


@pytest.mark.parametrize(
    "context", [expired, not_valid_yet, of_another_host, of_a_stranger, self_signed, outdated]
)
async def test_whoever_is_not_trusted_gets_nothing_of_the_request(
    authority: trustme.CA, context: Callable[[trustme.CA], ssl.SSLContext]
) -> None:
    async with listening(RawServer(answers(), tls=context(authority))) as server, tapped(server) as wire:
        http = Http(wire.url, HttpLimits(timeout=5))
        trouble = await failure(
            http.send("PUT", f"/{SECRET}", headers={"X-Key": SECRET}, content=SECRET.encode())
        )
        assert (trouble.code, trouble.sent) == ("tls_error", False)
        assert "not trusted" in trouble.sentence
        assert server.heard == []
        [written] = wire.written
        assert written.startswith(HANDSHAKE)
        assert SECRET.encode() not in written


async def test_a_read_does_not_switch_to_plain_http_either(authority: trustme.CA) -> None:
    async with listening(RawServer(answers(), tls=expired(authority))) as server, tapped(server) as wire:
        trouble = await failure(Http(wire.url, HttpLimits(timeout=5)).read("GET", f"/{SECRET}"))
        assert (trouble.code, trouble.sent) == ("tls_error", False)
        assert server.heard == []
        assert all(written.startswith(HANDSHAKE) for written in wire.written)


async def test_http_on_the_tls_port_gets_nothing_of_the_request() -> None:
    server = RawServer(says(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"))
    server.until = HANDSHAKE
    async with listening(server), tapped(server) as wire:
        trouble = await failure(Http(wire.url, HttpLimits(timeout=5)).send("PUT", f"/{SECRET}"))
        assert (trouble.code, trouble.sent) == ("tls_error", False)
        [written] = wire.written
        assert written.startswith(HANDSHAKE)
        assert SECRET.encode() not in written
        assert b"HTTP" not in written


async def test_a_name_that_leads_elsewhere_gets_nothing_of_the_request(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two calls, the provider's name is turned to a machine that cannot prove to be it."""

    def astray(_host: object, port: int, *_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    here = identity(authority.issue_cert("localhost", "127.0.0.1"))
    async with listening(RawServer(answers(), tls=here)) as server, tapped(server) as wire:
        monkeypatch.setattr(socket, "getaddrinfo", astray)
        http = Http(f"https://api.example:{wire.port}", HttpLimits(timeout=5))
        trouble = await failure(http.send("PUT", f"/{SECRET}"))
        assert (trouble.code, trouble.sent) == ("tls_error", False)
        assert server.heard == []


async def test_a_handshake_that_never_ends_meets_the_deadline_unsent_and_is_hung_up() -> None:
    server = RawServer(waits)
    server.until = HANDSHAKE
    async with listening(server):
        https = Http(f"https://127.0.0.1:{server.port}", HttpLimits(timeout=0.4))
        gc.disable()  # an abandoned socket must be closed, not just found by chance
        try:
            trouble = await failure(https.send("PUT", "/a"))
            await server.is_left()
        finally:
            gc.enable()
        assert (trouble.code, trouble.sent) == ("connect_timeout", False)


async def test_a_call_that_is_interrupted_in_its_handshake_hangs_up() -> None:
    server = RawServer(waits)
    server.until = HANDSHAKE
    async with listening(server):
        https = Http(f"https://127.0.0.1:{server.port}", HttpLimits(timeout=60))
        call = asyncio.create_task(https.send("PUT", "/a"))
        async with asyncio.timeout(5):
            await server.reached.wait()
        gc.disable()
        try:
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await server.is_left()
        finally:
            gc.enable()


async def test_tls_that_breaks_after_the_handshake_may_have_been_carried_out(authority: trustme.CA) -> None:
    """The answer is no TLS any more: the bytes go around the encryption, as from a broken middlebox."""

    async def breaks(writer: asyncio.StreamWriter) -> None:
        os.write(writer.get_extra_info("socket").fileno(), b"\x17\x03\x03\x00\x20" + b"x" * 32)
        await asyncio.sleep(30)

    tls = identity(authority.issue_cert("127.0.0.1"))
    async with listening(RawServer(breaks, tls=tls)) as server:
        trouble = await failure(server.http().send("PUT", f"/{SECRET}"))
        assert (trouble.code, trouble.sent) == ("connection_lost", True)
        assert trouble.__context__ is None
        assert len(server.heard) == 1


async def test_a_server_that_wants_a_certificate_of_ours_is_a_lost_connection(authority: trustme.CA) -> None:
    tls = identity(authority.issue_cert("127.0.0.1"))
    authority.configure_trust(tls)
    tls.verify_mode = ssl.CERT_REQUIRED
    async with listening(RawServer(answers(), tls=tls)) as server, tapped(server) as wire:
        for kind in ("read", "send"):
            trouble = await failure(getattr(Http(wire.url, HttpLimits(timeout=5)), kind)("PUT", "/a"))
            assert (trouble.code, trouble.sent) == ("connection_lost", True)
        assert server.heard == []


async def test_http_2_is_not_asked_for(authority: trustme.CA) -> None:
    spoken: list[str | None] = []

    async def notes(writer: asyncio.StreamWriter) -> None:
        spoken.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await answers()(writer)

    tls = identity(authority.issue_cert("127.0.0.1"))
    tls.set_alpn_protocols(["h2", "http/1.1"])
    async with listening(RawServer(notes, tls=tls)) as server:
        assert (await server.http().send("PUT", "/a")).status == 200
        assert spoken == ["http/1.1"]


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "502 Bad Gateway", "200 OK"])
async def test_no_proxy_of_the_environment_is_used(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    tls = identity(authority.issue_cert("127.0.0.1"))
    trap = RawServer(answers(status=status))
    async with listening(trap), listening(RawServer(answers(), tls=tls)) as server:
        for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, trap.url)
            monkeypatch.setenv(name.lower(), trap.url.replace("//", "//user:password@"))
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        for kind in ("read", "send"):
            assert (await getattr(server.http(), kind)("PUT", "/a")).status == 200
        assert (len(trap.heard), len(server.heard)) == (0, 2)
        assert not any(b"proxy" in head.lower() for head in server.heard)
