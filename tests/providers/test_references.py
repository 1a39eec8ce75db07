"""What people type as a reference: refused, or carried to the provider exactly as it is."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers import ADAPTERS
from providers.contract import OrderState, Provider, Result, Standing
from sandbox.vendors.vendor import Vendor
from tests.providers.conftest import PAIRS, connect
from tests.providers.examples.exchange import TOO_LATE, Request, ScriptedHttp
from tests.providers.test_examples import ALL

per_adapter = pytest.mark.parametrize("adapter", ADAPTERS, ids=[each.facts.name for each in ADAPTERS])
per_pair = pytest.mark.parametrize(
    ("adapter", "vendor"), PAIRS, ids=[adapter.facts.name for adapter, _ in PAIRS]
)
PENDING = OrderState(Standing.CANCELLABLE)

# The text around the hostile part is what the patterns take, so that it alone is the reason.
HOSTILE = {
    "nothing": "",
    "dot": ".",
    "two dots": "..",
    "the folder above": "../123456",
    "encoded dot": "%2e",
    "encoded dots": "%2e%2e",
    "encoded slash": "123456%2f123456",
    "slash": "123456/123456",
    "another host": "//evil.example",
    "backslash": "123456\\123456",
    "query": "123456?123456",
    "another parameter": "123456&merchant=evil",
    "fragment": "123456#123456",
    "path parameter": "123456;123456",
    "user name": "123456@123456",
    "colon": "123456:123456",
    "plus sign before": "+123456",
    "minus sign before": "-123456 ",
    "decimal": "123456.0",
    "comma": "123,456",
    "space before": " 123456",
    "space inside": "123 456",
    "space after": "123456 ",
    "CR": "123456\r123456",
    "LF": "123456\n123456",
    "newline after": "123456\n",
    "header": "123456\r\nX-Evil: 1",
    "NUL": "123456\x00",
    "tab": "123456\t123456",
    "vertical tab": "123456\v",
    "DEL": "123456\x7f",
    "C1 control": "123456\x85",
    "full-width digits": "\uff11\uff12\uff13\uff14\uff15\uff16",
    "Arabic-Indic digits": "\u0661\u0662\u0663\u0664\u0665\u0666",
    "Devanagari digits": "\u0967\u0968\u0969\u096a\u096b\u096c",
    "superscripts": "12345\u00b2",
    "circled digit": "12345\u2460",
    "Cyrillic homoglyph": "\u0430bcdef",
    "Greek homoglyph": "123\u0391BC",
    "Turkish dotless i": "ord\u0131er1",
    "Kelvin sign": "order\u212a1",
    "long s": "\u017fhop123",
    "right to left": "123\u202e456",
    "isolate": "\u2066123456\u2069",
    "zero-width space": "123\u200b456",
    "zero-width joiner": "123\u200d456",
    "byte order mark": "\ufeff123456",
    "soft hyphen": "123\u00ad456",
    "combining mark": "123456\u0301",
    "variation selector": "123456\ufe0f",
    "tag": "123456\U000e0031",
    "lone surrogate": "123456\ud800",
    "quote": "123456'",
    "formula": "=123456",
    "mention": "<!channel>",
    "format": "{0.__class__}",
    "too long": "1" * 201,
    "1 MB of digits": "9" * 1_000_000,
    "1 MB of letters": "a" * 1_000_000,
}


@pytest.mark.parametrize("hostile", HOSTILE)
@per_adapter
def test_a_pattern_refuses(adapter: type[Provider], hostile: str) -> None:
    assert adapter.facts.reference.fullmatch(HOSTILE[hostile]) is None


@per_adapter
def test_no_other_letter_of_unicode_slips_in(adapter: type[Provider]) -> None:
    """Not even one that a comparison without case takes for an ASCII letter."""
    example, pattern = adapter.facts.example, adapter.facts.reference
    slipped = [char for char in map(chr, range(128, 0x110000)) if pattern.fullmatch(example[:6] + char)]
    assert slipped == []


@per_adapter
def test_of_ascii_only_what_means_nothing_in_a_url_gets_in(adapter: type[Provider]) -> None:
    example, pattern = adapter.facts.example, adapter.facts.reference
    taken = {char for char in map(chr, range(128)) if pattern.fullmatch(example[:6] + char)}
    assert re.fullmatch(r"[A-Za-z0-9_-]+", "".join(sorted(taken)))


NUMERIC = [adapter for adapter in ADAPTERS if not adapter.facts.reference.fullmatch("order_abc")]


def test_three_providers_number_their_orders() -> None:
    assert {adapter.facts.name for adapter in NUMERIC} == {"cpanel", "digicert", "tradernet"}


@pytest.mark.parametrize(
    "other", ["0", "007", "0123456", "1_000", "+5", "-5", "1e3", "0x10", "1.0", "abc", "1" * 20]
)
@pytest.mark.parametrize("adapter", NUMERIC, ids=[each.facts.name for each in NUMERIC])
def test_a_number_is_written_in_one_way_only(adapter: type[Provider], other: str) -> None:
    assert adapter.facts.reference.fullmatch(other) is None


@pytest.mark.parametrize("last", ["!", "\n", "\u00e9", ""])
@pytest.mark.parametrize("letter", ["a", "1", "_", "-", "a-", "1a", "."])
@per_adapter
def test_a_pattern_is_quick_whatever_it_is_given(adapter: type[Provider], letter: str, last: str) -> None:
    text = letter * 50_000 + last
    start = time.perf_counter()
    assert adapter.facts.reference.fullmatch(text) is None
    # It takes microseconds; a pattern that backtracks would take longer than the universe has been there.
    assert time.perf_counter() - start < 0.5


@pytest.mark.parametrize("hostile", ["nothing", "two dots", "slash", "encoded dots", "header", "query"])
@per_adapter
async def test_what_is_refused_never_leaves(adapter: type[Provider], hostile: str) -> None:
    """Not even when somebody forgot to ask the pattern before."""
    examples = ALL[adapter.facts.name]
    http = ScriptedHttp({})
    provider = examples.build(http)
    state = await provider.look_up(HOSTILE[hostile])
    assert state.standing is Standing.NOT_FOUND
    assert state.detail
    outcome = await provider.cancel(HOSTILE[hostile], "", PENDING)
    assert (outcome.result, http.reads, http.sends) == (Result.NO_EFFECT, [], [])
    assert outcome.code in {"bad_reference", "token_unresolved"}


# ---- what is accepted arrives as it was given


@per_pair
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_an_accepted_reference_arrives_exactly_as_given(
    adapter: type[Provider], vendor: type[Vendor[Any]], data: st.DataObject
) -> None:
    accepted = st.from_regex(adapter.facts.reference, fullmatch=True)
    references = data.draw(st.lists(accepted, min_size=1, max_size=5, unique=True))
    assert asyncio.run(_arrived(adapter, vendor, references)) == references


async def _arrived(adapter: type[Provider], kind: type[Vendor[Any]], references: Sequence[str]) -> list[str]:
    """What the vendor takes the references for, which it decodes by itself."""
    vendor = kind()
    await vendor.start()
    try:
        provider = connect(adapter, vendor.settings())
        for reference in references:
            await provider.cancel(reference, "", PENDING)
    finally:
        await vendor.stop()
    assert [seen.problem for seen in vendor.seen if seen.problem and "parameter" in seen.problem] == []
    return vendor.sends


@per_adapter
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_the_request_depends_on_the_reference_and_on_nothing_else(
    adapter: type[Provider], data: st.DataObject
) -> None:
    reference = data.draw(st.from_regex(adapter.facts.reference, fullmatch=True))
    first = asyncio.run(_sent(adapter, reference, "", PENDING))
    second = asyncio.run(
        _sent(adapter, reference, "a/../b?c", OrderState(Standing.UNCLEAR, "x", known_as="../y"))
    )
    assert (first.method, first.path, first.query) == (second.method, second.path, second.query)
    _assert_in_one_place(reference, first.path, first.query, first.body)


async def _sent(adapter: type[Provider], reference: str, note: str, before: OrderState) -> Request:
    examples = ALL[adapter.facts.name]
    http = ScriptedHttp(examples.usual, otherwise=TOO_LATE)
    await examples.build(http).cancel(reference, note, before)
    [request] = http.sends
    return request


def _assert_in_one_place(reference: str, path: str, query: Mapping[str, str], body: bytes | None) -> None:
    as_segment = path.split("/").count(reference)
    as_value = list(query.values()).count(reference)
    parsed = json.loads(body) if body else {}
    as_number = sum(type(value) is int and str(value) == reference for value in parsed.values())
    assert as_segment + as_value + as_number >= 1
