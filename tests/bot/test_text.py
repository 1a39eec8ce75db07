"""Nothing that people or providers wrote can become more than text."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.blocks.text import (
    code,
    cut,
    escape,
    literal,
    mention,
    one_line,
    plain,
    quote,
    sentence,
    visible,
    when,
)
from tests.bot.builders import HOSTILE, check_mrkdwn

ANYTHING = st.text(max_size=700)


@given(ANYTHING)
def test_a_literal_is_one_line_that_fits_and_means_nothing(text: str) -> None:
    shown = literal(text, 120)
    assert len(shown) <= 120
    assert "\n" not in shown
    assert "`" not in shown
    assert ">" not in shown
    check_mrkdwn(shown)


@given(ANYTHING)
def test_a_quote_fits_and_every_line_of_it_is_marked(text: str) -> None:
    shown = quote(text, 300)
    assert len(shown) <= 300
    assert all(line.startswith("> ") for line in shown.split("\n"))
    check_mrkdwn(shown)


@given(ANYTHING)
def test_plain_text_is_one_line_that_fits_and_mentions_nobody(text: str) -> None:
    shown = plain(text, 80)
    assert len(shown) <= 80
    assert not {"\n", "<", ">"} & set(shown)


@given(ANYTHING)
def test_code_cannot_be_left(text: str) -> None:
    shown = code(text, 80)
    assert len(shown) <= 80
    assert shown.count("`") == 2
    check_mrkdwn(shown)


@pytest.mark.parametrize("build", [literal, quote, code, visible, one_line])
def test_a_very_long_text_is_read_quickly(build: Callable[[str], str]) -> None:
    for text in ("a" * 1_000_000, ":" * 1_000_000, "&" * 1_000_000, "*_" * 500_000):
        assert len(build(text)) <= 5000


def test_hostile_text_is_shown_as_it_was_written() -> None:
    shown = literal(HOSTILE, 1000)
    assert "&lt;!channel&gt; &lt;@U1&gt; &lt;https://evil.example|click&gt; &amp;" in shown
    assert "[U+202E]gnp.exe[U+202C] zero[U+200B]width [U+001B][31m [U+0000]" in shown
    assert "*" not in shown
    assert ":white_check_mark:" not in shown


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("waiting_pickup", "waiting_pickup"),
        ("2 * 3 at 12:30:45, _ and -", "2 * 3 at 12:30:45, _ and -"),
        ("*bold* _it_ ~no~", "\u2217bold\u2217 \u02cdit\u02cd \u223cno\u223c"),
        ("Crème brûlée 東京", "Crème brûlée 東京"),
        ("I \u2764\ufe0f it", "I \u2764 it"),
        ("A & B", "A &amp; B"),
        ("", ""),
    ],
)
def test_ordinary_text_stays_readable(written: str, shown: str) -> None:
    assert literal(written) == shown


def test_piles_of_combining_marks_are_spelt_out() -> None:
    assert one_line("a" + "\u0301" * 6) == "a" + "\u0301" * 4 + "[U+0301]" * 2


def test_an_escape_is_never_cut_in_half() -> None:
    assert literal("&" * 10, 12) == "&amp;&amp;…"


def test_a_quote_of_many_lines_takes_little_room() -> None:
    assert quote("a\n\nb\nc\nd\ne") == "> a\n> b\n> c\n> d / e"
    assert quote("") == "> "


def test_a_time_names_its_zone_where_it_cannot_be_the_readers() -> None:
    at = datetime(2026, 11, 21, 18, 0, tzinfo=timezone(timedelta(hours=1)))
    assert when(at) == "<!date^1795280400^{date_short_pretty} at {time}|2026-11-21 17:00 UTC>"


def test_only_an_id_becomes_a_mention() -> None:
    assert mention("U0BOB") == "<@U0BOB>"
    assert mention("U1> <!channel") == "U1&gt; &lt;!channel"


def test_small_things() -> None:
    assert escape("<&>") == "&lt;&amp;&gt;"
    assert cut("abc def", 5) == "abc…"
    assert sentence("no stop") == "no stop."
    assert sentence("Why?") == "Why?"
