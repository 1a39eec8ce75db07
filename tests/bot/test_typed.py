"""What people typed and what of it is turned back."""

from __future__ import annotations

import pytest

from bot.model import reference_key
from bot.typed import LONGEST, complaint, repeats_a_secret_reference
from tests.bot.builders import a_request, some_facts

TOKEN = "ab_c-123456789"
SECRET = some_facts(reference_is_secret=True)


@pytest.mark.parametrize("text", ["ordered twice", "x" * LONGEST, "größer, 漢字, 🙂", "<!channel> *bold*"])
def test_what_can_be_kept_and_shown_is_taken(text: str) -> None:
    assert complaint("reason", text) == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "The evidence is missing."),
        (" \n", "The evidence is missing."),
        ("x" * (LONGEST + 1), "Keep the evidence within 500 characters."),
        ("a\x00b", "The evidence contains characters that cannot be shown."),
        ("a\ud800b", "The evidence contains characters that cannot be shown."),
        ("use xoxb-123456789012-abcdefghij", "The evidence seems to contain a token or key."),
    ],
)
def test_what_is_turned_back_is_told_why(text: str, why: str) -> None:
    assert complaint("evidence", text).startswith(why)


@pytest.mark.parametrize("text", [TOKEN, f"it is {TOKEN}.", f'"{TOKEN}"', f"list?order={TOKEN}&x=1"])
def test_a_secret_reference_is_recognised_by_its_key_alone(text: str) -> None:
    key = reference_key("digicert", "account", TOKEN)
    request = a_request(account="account", reference="#1234567890", reference_key=key)
    assert repeats_a_secret_reference(text, request, SECRET)
    assert not repeats_a_secret_reference(text, request, some_facts()), "others are on the card anyway"
    assert not repeats_a_secret_reference(text.replace(TOKEN, TOKEN[:-1]), request, SECRET)
