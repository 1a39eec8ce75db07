"""Every example of what the providers answer is read as it has to be, by the adapter itself."""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from providers.contract import Credentials, OrderState, Outcome
from providers.http import Answer, NoAnswer
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


SECRETS = {
    "cpanel": "T0KENT0KEN",
    "digicert": "K3YK3YK3Y",
    "payvalida": "s3cr3t-hash",
    "tradernet": "",  # the private key signs and never travels, so nobody can send it back
    "servertastic": "pr1v4te-k3y",
}


@pytest.mark.parametrize("name", ALL)
async def test_whatever_a_provider_writes_is_said_clean_and_without_our_secret(name: str) -> None:
    """Each text of each answer in turn holds our secret, a link, a line break and an order to turn round."""
    hostile = f"see {SECRETS[name]}\nhttps://evil.example/x \u202e{SECRETS[name].lower()}"
    for example in ALL[name].examples:
        for answer in _with_each_text_replaced(example.answer, hostile):
            http = ScriptedHttp({**ALL[name].usual, example.path: answer})
            adapter = ALL[name].build(http)
            said = [
                repr(await adapter.look_up(example.order)) if example.call == "look_up" else "",
                repr(await adapter.check()) if example.call == "check" else "",
                repr(await adapter.cancel(example.order, "", example.before)) if http.reads == [] else "",
            ]
            text = " ".join(said)
            assert not SECRETS[name] or SECRETS[name].lower() not in text.lower(), example.name
            assert not re.search(r"://|\\n|\\u202e", text), example.name


def _with_each_text_replaced(answer: Answer | NoAnswer, text: str) -> Iterator[Answer]:
    body = answer.json_or_none() if isinstance(answer, Answer) else None
    for place in _places(body):
        changed = copy.deepcopy(body)
        inner: Any = changed
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = text
        assert isinstance(answer, Answer)
        yield Answer(answer.status, answer.headers, json.dumps(changed).encode())


def _places(body: Any, *above: Any) -> Iterator[tuple[Any, ...]]:
    """Where texts and empty places are."""
    if isinstance(body, dict | list):
        for key, value in body.items() if isinstance(body, dict) else enumerate(body):
            yield from _places(value, *above, key)
    elif above and (body is None or isinstance(body, str)):
        yield above


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
