"""Every example of what the providers answer is read as it has to be, by the adapter itself."""

from __future__ import annotations

from collections import Counter

import pytest

from providers.contract import Credentials, OrderState, Outcome
from tests.providers.examples.cpanel import CPANEL
from tests.providers.examples.digicert import DIGICERT
from tests.providers.examples.exchange import Example, Examples, ScriptedHttp
from tests.providers.examples.payvalida import PAYVALIDA
from tests.providers.examples.servertastic import SERVERTASTIC
from tests.providers.examples.tradernet import TRADERNET

ALL = {
    "cpanel": CPANEL,
    "digicert": DIGICERT,
    "payvalida": PAYVALIDA,
    "tradernet": TRADERNET,
    "servertastic": SERVERTASTIC,
}
ROWS = [
    pytest.param(each, example, id=f"{name}: {example.name}")
    for name, each in ALL.items()
    for example in each.examples
]


@pytest.mark.parametrize(("provider", "example"), ROWS)
async def test_an_example_is_read_as_it_has_to_be(provider: Examples, example: Example) -> None:
    http = ScriptedHttp({**provider.usual, example.path: example.answer})
    adapter = provider.build(http)
    got: OrderState | Outcome | Credentials
    match example.call:
        case "look_up":
            got = await adapter.look_up(example.order)
            assert got.standing is example.reads
        case "cancel":
            got = await adapter.cancel(example.order, "Two approvals.", example.before)
            assert got.result is example.reads
        case "check":
            got = await adapter.check()
            assert got.ok is example.reads
    assert example.says in repr(got)
    assert len(http.sends) == (example.call == "cancel")
    assert example.path in {request.path for request in (*http.reads, *http.sends)}


@pytest.mark.parametrize(
    ("name", "count", "shown"),
    [
        ("cpanel", 30, 12),
        ("digicert", 38, 25),
        ("payvalida", 36, 16),
        ("tradernet", 56, 44),
        ("servertastic", 38, 17),
    ],
)
def test_no_example_gets_lost(name: str, count: int, shown: int) -> None:
    """And it stays known which of them the provider's own pages show."""
    examples = ALL[name].examples
    assert (len(examples), sum(example.shown for example in examples)) == (count, shown)
    assert [each for each, times in Counter(e.name for e in examples).items() if times > 1] == []
