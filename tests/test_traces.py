"""Traces, to a pretend collector over HTTP: what took how long, and nothing that must not leave."""

from __future__ import annotations

import asyncio
import gzip
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bot import traces
from sandbox.vendors.vendor import Fault
from tests.conftest import World


class Collector:
    def __init__(self) -> None:
        self.url = ""
        self.heard: list[bytes] = []
        self.spans: list[Span] = []

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        packed = request.headers.get("Content-Encoding") == "gzip" and body[:2] == b"\x1f\x8b"
        self.heard.append(gzip.decompress(body) if packed else body)
        told = ExportTraceServiceRequest.FromString(self.heard[-1])
        self.spans += [one for of in told.resource_spans for by in of.scope_spans for one in by.spans]
        return web.Response()

    def named(self, name: str) -> list[Span]:
        return [one for one in self.spans if one.name == name]


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    collector = Collector()
    site = web.Application()
    site.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(site)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield collector
    finally:
        await runner.cleanup()


def about(span: Span) -> dict[str, object]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


async def test_a_cancellation_can_be_followed_and_no_word_of_it_leaves(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    async with collecting() as collector:
        assert traces.begin({traces.ENDPOINT: collector.url}) == ""
        vendor = world.vendor("servertastic")
        order = vendor.samples["cancellable"]
        card = await world.asked("alice", "servertastic", order, "because of the blue moon")
        for who in ("bob", "carol"):
            await world.approve(who, card)
        await world.reads(card, "Outcome: cancelled")
        await asyncio.to_thread(traces.end)
    (cancelled,) = collector.named("cancel at servertastic")
    assert any(one.span_id == cancelled.parent_span_id for one in collector.named("work: cancel"))
    assert {"hear: command", "hear: view_submission", "hear: block_actions", "tell: card"} <= {
        one.name for one in collector.spans
    }
    requests = {about(one).get("countersign.request") for one in collector.named("work: cancel")}
    assert len(requests) == 1
    everything = b"".join(collector.heard)
    for word in (order, "blue moon", *world.settings().secret_values()):
        assert word.encode() not in everything


async def test_a_collector_that_cannot_be_reached_keeps_nobody_waiting(world: World) -> None:
    async with collecting() as collector:
        gone = collector.url
    assert traces.begin({traces.ENDPOINT: gone}) == ""
    world.vendor("payvalida").fail_next(Fault.REJECT)
    card = await world.asked("alice", "payvalida", world.vendor("payvalida").samples["cancellable"])
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "Outcome: ")
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.to_thread(traces.end)
    assert loop.time() - began < traces.LAST_WORDS + 5


def test_what_fails_is_marked_without_its_words() -> None:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    traces._Collector.provider = provider
    with pytest.raises(ValueError, match="secret"), traces.span("work: check", request="r1", runs=0):
        raise ValueError("a secret")
    traces.end()
    (span,) = kept.get_finished_spans()
    assert not span.status.is_ok
    assert (span.status.description, span.events, dict(span.attributes or {})) == (
        None,
        (),
        {"countersign.request": "r1"},
    )


def test_without_a_collector_there_are_none_and_without_the_packages_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert traces.begin({}) == ""
    assert traces._Collector.provider is None
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    assert "extra otel" in traces.begin({traces.ENDPOINT: "http://127.0.0.1:4318"})
