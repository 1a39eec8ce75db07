"""Nothing that changes anything leaves after the fence has closed, however late a connection stands."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from providers import fence, http
from providers.http import Http, HttpLimits, Pace
from tests.providers.raw import RawServer, answers, failure, listening, waits


class Dial:
    """Seconds that pass when they are told to."""

    def __init__(self, seconds: float = 100.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def dial(monkeypatch: pytest.MonkeyPatch) -> Dial:
    dial = Dial()
    monkeypatch.setattr(fence, "elapsed", dial)
    return dial


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """Whom this machine trusts."""
    authority = trustme.CA()
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(file)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    return authority


def identity(authority: trustme.CA, on_greeting: Callable[[], None]) -> ssl.SSLContext:
    """Of a server that does something while somebody connects to it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    context.sni_callback = lambda *_: on_greeting()
    return context


async def test_a_cancel_that_leaves_in_time_leaves(dial: Dial) -> None:
    async with listening(RawServer(answers())) as server:
        with fence.closing_at(dial.seconds + 1):
            assert (await server.http().send("DELETE", "/order")).status == 200
    assert len(server.heard) == 1


async def test_a_fence_that_closes_while_connecting_keeps_every_byte_back(
    dial: Dial, authority: trustme.CA
) -> None:
    """The process was stopped in the middle of the handshake."""
    tls = identity(authority, on_greeting=lambda: dial.advance(30))
    async with listening(RawServer(answers(), tls=tls)) as server:
        with fence.closing_at(dial.seconds + 30):
            trouble = await failure(server.http().send("DELETE", "/order"))
    assert (trouble.code, trouble.sent) == ("too_late", False)
    assert server.heard == []


async def test_the_same_handshake_sends_when_the_fence_closes_a_moment_later(
    dial: Dial, authority: trustme.CA
) -> None:
    tls = identity(authority, on_greeting=lambda: dial.advance(29.9))
    async with listening(RawServer(answers(), tls=tls)) as server:
        with fence.closing_at(dial.seconds + 30):
            assert (await server.http().send("DELETE", "/order")).status == 200
    assert len(server.heard) == 1


async def test_a_fence_that_closes_while_the_call_waits_for_its_turn_keeps_every_byte_back(
    dial: Dial,
) -> None:
    async def suspended(_seconds: float) -> None:
        dial.advance(60)

    pace = Pace(1, 60.0, clock=dial, sleep=suspended)
    async with listening(RawServer(answers())) as server:
        async with asyncio.timeout(5):
            await pace.turn()
            client = Http(server.url, HttpLimits(timeout=5.0, max_bytes=1000), pace)
            with fence.closing_at(dial.seconds + 30):
                trouble = await failure(client.send("DELETE", "/order"))
    assert (trouble.code, trouble.sent) == ("too_late", False)
    assert server.heard == []


async def test_what_only_reads_passes_a_closed_fence(dial: Dial) -> None:
    async with listening(RawServer(answers())) as server:
        with fence.closing_at(dial.seconds - 1):
            assert (await server.http().read("GET", "/order")).status == 200
    assert len(server.heard) == 1


async def test_a_fence_that_closes_after_the_first_byte_does_not_end_the_call(dial: Dial) -> None:
    """What has left cannot be taken back; its answer is worth having."""

    async def late(writer: asyncio.StreamWriter) -> None:
        dial.advance(60)
        await answers(b'{"done": true}')(writer)

    async with listening(RawServer(late)) as server:
        with fence.closing_at(dial.seconds + 30):
            answer = await server.http().send("DELETE", "/order")
    assert answer.json() == {"done": True}


async def test_nobody_waits_for_an_answer_any_more_when_the_fence_has_closed() -> None:
    """Whoever takes over counts from then on."""
    async with listening(RawServer(waits)) as server:
        loop = asyncio.get_running_loop()
        with fence.closing_at(fence.elapsed() + 0.3):
            began = loop.time()
            trouble = await failure(server.http(timeout=30).send("DELETE", "/order"))
    assert (trouble.code, trouble.sent) == ("read_timeout", True)
    assert loop.time() - began < 5


async def test_a_fence_stands_in_the_way_of_nobody_else(dial: Dial) -> None:
    """Two cancels at once: one is too late, the other is not."""
    may_go_on = asyncio.Event()

    async def fenced() -> None:
        with fence.closing_at(dial.seconds):
            may_go_on.set()
            trouble = await failure(server.http().send("DELETE", "/late"))
        assert trouble.code == "too_late"

    async def free() -> None:
        await may_go_on.wait()
        assert not fence.is_closed()
        assert (await server.http().send("DELETE", "/in-time")).status == 200

    async with listening(RawServer(answers())) as server:
        await asyncio.gather(fenced(), free())
    assert [heard.split()[1] for heard in server.heard] == [b"/in-time"]


async def test_a_fence_is_gone_when_its_block_is_left(dial: Dial) -> None:
    with pytest.raises(LookupError), fence.closing_at(dial.seconds):
        raise LookupError
    assert not fence.is_closed()
    with fence.closing_at(dial.seconds + 5):
        with fence.closing_at(dial.seconds):
            assert fence.is_closed()
        assert not fence.is_closed()


async def test_a_task_that_a_fenced_one_starts_is_fenced_as_well(dial: Dial) -> None:
    with fence.closing_at(dial.seconds):
        started = asyncio.create_task(asyncio.to_thread(fence.is_closed))
    assert await started


def test_seconds_that_a_machine_was_suspended_for_count() -> None:
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    if boot is None:
        pytest.skip("this system has no such clock")
    assert abs(fence.elapsed() - time.clock_gettime(boot)) < 5


def test_people_are_told_that_nothing_left() -> None:
    assert http.NoAnswer("too_late", sent=False).sentence.endswith("nothing left.")
