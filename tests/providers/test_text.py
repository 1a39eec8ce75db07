from __future__ import annotations

import pytest

from providers.text import clean_text

KEY = "s3cr3t/key+1"


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("plain text", "plain text"),
        ("  two \n lines\tand\u00a0spaces\u2028 ", "two lines and spaces"),
        ("a\x00b\x1b[31mc\x7f", "ab[31mc"),
        ("left\u202eright\u2066\u200b\u200d\ufeff", "leftright"),
        ("filler\u3164\u115f\ufe0f\U000e0101", "filler"),
        ("lone \ud800 surrogate", "lone surrogate"),
        ("see https://evil.example/a?b=c now", "see [link] now"),
        ("HTTP://EVIL.example", "[link]"),
        ("Grüße €, 日本語", "Grüße €, 日本語"),
        (17, "17"),
        (None, ""),
        (True, ""),
        (["a"], ""),
        ({"a": 1}, ""),
    ],
)
def test_a_text_becomes_one_visible_line(raw: object, clean: str) -> None:
    assert clean_text(raw) == clean


def test_a_long_text_is_cut_and_shows_it() -> None:
    text = clean_text("word " * 100_000)
    assert len(text) <= 300
    assert text.endswith("…")
    assert len(clean_text("a" * 50, limit=10)) == 10


@pytest.mark.parametrize(
    "raw",
    [
        f"key {KEY} is wrong",
        f"key {KEY.upper()} is wrong",
        "key s3cr3t%2Fkey%2B1 is wrong",
        "key s3cr3\u200bt/key+1 is wrong",
        "x" * 295 + KEY,
        " " * 9_994 + KEY,
    ],
)
def test_our_own_secret_is_masked_however_it_is_written(raw: str) -> None:
    text = clean_text(raw, secrets=[KEY])
    assert "s3cr3" not in text.lower()


def test_an_empty_secret_masks_nothing() -> None:
    assert clean_text("fine", secrets=["", "a"]) == "fine"
