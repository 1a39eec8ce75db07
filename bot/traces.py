"""Traces for OpenTelemetry: which request took how long where. Off unless a collector is named.

Needs the extra `otel` and `OTEL_EXPORTER_OTLP_ENDPOINT` in the environment, which the exporter's own
variables may go with (https://opentelemetry.io/docs/specs/otel/protocol/exporter/). Spans carry names,
IDs and results; never an order reference, a URL, a text that somebody typed, or an exception's words.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bot import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
LAST_WORDS = 3.0
"""Seconds for what was not sent yet when the bot ends; a collector that hangs must not keep it."""


class _Collector:
    """The one of this process."""

    provider: TracerProvider | None = None


def begin(environment: Mapping[str, str]) -> str:
    """Send traces from now on, if a collector is named. Returns what stands in the way, or nothing."""
    endpoint = environment.get(ENDPOINT, "").strip().rstrip("/")
    if not endpoint:
        return ""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        return f"{ENDPOINT} is set, and there are no traces: install the packages of the extra otel."
    about_us = Resource.create({"service.name": "countersign", "service.version": __version__})
    provider = TracerProvider(resource=about_us, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")))
    _Collector.provider = provider
    return ""


def end() -> None:
    """Send what is left, for as long as `LAST_WORDS`."""
    provider, _Collector.provider = _Collector.provider, None
    if provider is not None:
        sending = threading.Thread(target=provider.shutdown, name="last traces", daemon=True)
        sending.start()
        sending.join(LAST_WORDS)


@contextmanager
def span(name: str, **about: str | int) -> Iterator[None]:
    """Around one piece of work. What fails inside is marked as failed, without its words."""
    if _Collector.provider is None:
        yield
        return
    from opentelemetry.trace import StatusCode

    tracer = _Collector.provider.get_tracer("countersign", __version__)
    attributes = {f"countersign.{key}": value for key, value in about.items() if value}
    with tracer.start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as this:
        try:
            yield
        except BaseException:
            this.set_status(StatusCode.ERROR)
            raise
