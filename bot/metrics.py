"""`/metrics` for Prometheus: is it stuck, is anyone waiting, how slow is it.

Labels come from lists that we know, never from what people or providers wrote: no ID, no secret.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter as Count
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

from aiohttp import web
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from bot import __version__
from bot.errors import StorageError
from bot.model import OPEN
from bot.slack import SlackProblem
from bot.store import Store, Unit
from bot.store.numbers import Numbers
from bot.tally import Spread, Tally

CACHED = 5.0
"""Seconds for which the database is not asked again."""
AT_ONCE = 1000
"""Events that are read in one transaction: others want to read as well."""
PER_SCRAPE = 20_000
CALL_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
ALL = "all"


class Metrics(Collector):
    """What this process counts by itself, and what its database says."""

    def __init__(self, providers: Iterable[str]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._providers = tuple(providers)
        self._registry = CollectorRegistry()
        self._tally = Tally()
        self._counted = 0
        """Up to which event."""
        self._numbers: Numbers | None = None
        self._asked_at: float | None = None
        self._one_at_a_time = asyncio.Lock()
        self._in_this_process()
        self._registry.register(self)

    def _in_this_process(self) -> None:
        registry = self._registry
        self._calls = Histogram(
            "countersign_provider_call_seconds",
            "How long calls to providers took.",
            ("provider", "call"),
            buckets=CALL_BUCKETS,
            registry=registry,
        )
        self._results = Counter(
            "countersign_provider_results",
            "What calls to providers came back with.",
            ("provider", "call", "result"),
            registry=registry,
        )
        self._failures = Counter(
            "countersign_slack_failures", "Calls to Slack that failed.", ("method", "kind"), registry=registry
        )
        self._contact = Gauge(
            "countersign_slack_last_success_timestamp_seconds",
            "When Slack last carried out a call of this process; 0 before that.",
            registry=registry,
        )
        self._ready = Gauge("countersign_ready", "1 while /readyz says so.", registry=registry)
        version = Gauge("countersign_build_info", "Which version runs.", ("version",), registry=registry)
        version.labels(__version__).set(1)

    # --- what is told to it -----------------------------------------------------------------------

    def provider_answered(self, provider: str, call: str, result: str, seconds: float) -> None:
        self._calls.labels(provider, call).observe(seconds)
        self._results.labels(provider, call, result).inc()

    def slack_answered(self, method: str, problem: SlackProblem | None) -> None:
        if problem is None:
            self._contact.set(time.time())
        else:
            self._failures.labels(method, _kind(problem)).inc()

    # --- the page ---------------------------------------------------------------------------------

    def add_to(
        self, site: web.Application, store: Store, problems: Callable[[], Awaitable[Sequence[str]]]
    ) -> None:
        async def page(_request: web.Request) -> web.Response:
            self._ready.set(0 if await problems() else 1)
            await self._ask(store)
            return web.Response(
                body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
            )

        site.router.add_get("/metrics", page)

    async def _ask(self, store: Store) -> None:
        async with self._one_at_a_time:
            now = time.monotonic()
            if self._asked_at is not None and now - self._asked_at < CACHED:
                return
            try:
                self._numbers = await store.read(Unit.numbers)
                await self._count_on(store, self._numbers.events)
                self._asked_at = now
            except StorageError:
                self._numbers = None  # nothing is said rather than what was true before

    async def _count_on(self, store: Store, events: int) -> None:
        until = self._counted + PER_SCRAPE
        while self._counted < min(events, until):
            self._counted, past = await store.read(lambda unit: unit.past(self._counted, AT_ONCE))
            self._tally.add(past)

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        """The database's part."""
        numbers = self._numbers
        yield _gauge("database_up", "1 if the database could be read just now.", 0 if numbers is None else 1)
        if numbers is None:
            return
        yield from self._present(numbers)
        if self._counted >= numbers.events:  # half a count would look like a restart from zero
            yield from self._past()

    def _present(self, numbers: Numbers) -> Iterator[Metric]:
        opened = GaugeMetricFamily("countersign_requests_open", "Open requests.", labels=["state"])
        oldest = GaugeMetricFamily(
            "countersign_request_oldest_seconds", "Age of the oldest open request.", labels=["state"]
        )
        for state in sorted(OPEN):
            number, age = numbers.open.get(state.value, (0, 0.0))
            opened.add_metric([state.value], number)
            oldest.add_metric([state.value], age)
        paused = GaugeMetricFamily("countersign_paused", "1 where nothing is sent.", labels=["provider"])
        for name in ("", *self._providers):
            paused.add_metric([name or ALL], int(name in numbers.paused))
        yield from (opened, oldest, paused)
        yield _gauge("outbox_messages", "Messages that Slack has not taken yet.", numbers.owed[0])
        yield _gauge("outbox_oldest_seconds", "Age of the oldest of them.", numbers.owed[1])
        yield _gauge("work_overdue_seconds", "For how long work is due that nobody took.", numbers.overdue)
        yield _gauge("history_events", "Length of the history: the chain's head.", numbers.events)

    def _past(self) -> Iterator[Metric]:
        tally = self._tally
        per = {(name,): tally.requests[name] for name in self._providers}
        yield _counter("requests", "Requests that were made.", ["provider"], per)
        per = {(name,): tally.attempts[name] for name in self._providers}
        yield _counter("attempts", "Cancels that were permitted.", ["provider"], per)
        yield _counter("outcomes", "How requests ended.", ["provider", "state"], tally.outcomes)
        refused = {(rule,): number for rule, number in tally.refused.items()}
        yield _counter("refused", "Clicks and words that did not count.", ["rule"], refused)
        yield _histogram("time_to_quorum_seconds", "From asking to enough approvals.", tally.to_quorum)
        yield _histogram("time_to_outcome_seconds", "From enough approvals to the end.", tally.to_outcome)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"countersign_{name}", about, value=value)


def _counter(
    name: str,
    about: str,
    labels: Sequence[str],
    numbers: Count[tuple[str, str]] | dict[tuple[str], int],
) -> Metric:
    family = CounterMetricFamily(f"countersign_{name}", about, labels=labels)
    for values, number in sorted(numbers.items()):
        family.add_metric(list(values), number)
    return family


def _histogram(name: str, about: str, spread: Spread) -> Metric:
    bounds = [*(f"{float(bound)}" for bound in spread.bounds), "+Inf"]
    upto = [sum(spread.counts[: place + 1]) for place in range(len(bounds))]
    buckets = list(zip(bounds, upto, strict=True))
    return HistogramMetricFamily(f"countersign_{name}", about, buckets=buckets, sum_value=spread.total)


def _kind(problem: SlackProblem) -> str:
    """One of five: what Slack may name is not ours to bound."""
    if problem.retry_after is not None:
        return "ratelimited"
    if problem.is_auth:
        return "auth"
    if problem.code.startswith("no_answer"):
        return "no_answer"
    return "broken" if problem.code.startswith(("http_", "unreadable")) else "refused"
