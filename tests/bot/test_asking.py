"""What is found in what people type and paste."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.asking import LONGEST, Meant, read_command, read_text
from providers import ADAPTERS

ENABLED = [adapter.facts for adapter in ADAPTERS]
BY_NAME = {facts.name: facts for facts in ENABLED}
ACCOUNTS = {"cpanel": ["eu", "us"]}
TWO = [BY_NAME["digicert"], BY_NAME["payvalida"]]


def command(text: str) -> Meant | None:
    return read_command(text.split(), ENABLED, ACCOUNTS)


def test_nothing_typed_is_an_empty_form() -> None:
    assert command("") == Meant()


def test_what_is_documented_is_taken_as_it_is() -> None:
    assert command("digicert 123456 ordered twice") == Meant("digicert", "", "123456", "ordered twice")
    assert command("cpanel eu 10427508 a test") == Meant("cpanel", "eu", "10427508", "a test")
    assert command("digicert abc") == Meant("digicert", "", "abc", ""), "the form says what is wrong with it"


def test_a_mistyped_provider_is_taken_for_the_nearest_and_the_form_says_so() -> None:
    meant = command("digcert 123456")
    assert meant is not None
    assert (meant.provider, meant.reference) == ("digicert", "123456")
    assert meant.note == "digcert was taken for DigiCert."


@pytest.mark.parametrize(
    "pasted",
    [
        "https://www.digicert.com/secure/orders/123456/details?tab=2",
        "please cancel DigiCert order 123456, ordered twice",
        "INC-7: digicert #123456",
    ],
)
def test_a_link_or_a_line_that_names_the_provider(pasted: str) -> None:
    meant = command(pasted)
    assert meant is not None
    assert (meant.provider, meant.reference) == ("digicert", "123456")
    assert "Check that it is the Order ID you mean" in meant.note


def test_a_line_of_a_ticket_becomes_the_reason() -> None:
    meant = command("please cancel DigiCert order 123456, ordered twice")
    assert meant is not None
    assert meant.reason == "please cancel DigiCert order 123456, ordered twice"


def test_a_bare_reference_of_one_provider_is_a_guess_and_is_called_one() -> None:
    meant = read_text("1496953766724_6", TWO)
    assert (meant.provider, meant.reference) == ("payvalida", "1496953766724_6")
    assert "guessed" in meant.note


def test_a_bare_number_of_several_providers_is_left_to_the_person() -> None:
    meant = command("123456")
    assert meant is not None
    assert (meant.provider, meant.reference) == ("", "123456")
    assert "DigiCert" in meant.note
    assert "Choose which" in meant.note


def test_a_secret_reference_is_in_no_note_and_no_reason() -> None:
    meant = command("please cancel the servertastic order abc123456789 for me")
    assert meant is not None
    assert meant.reference == "abc123456789"
    assert "abc123456789" not in meant.note + meant.reason


@pytest.mark.parametrize("text", ["hello there", "pendng", "what can I do", "cancel it please"])
def test_ordinary_words_are_no_order(text: str) -> None:
    assert command(text) is None


def test_a_key_in_a_line_does_not_become_a_reason() -> None:
    meant = read_text("cancel digicert 123456 with the token xoxb-1234567890-abcdefghij", ENABLED)
    assert meant.reason == ""


@given(st.text(max_size=300))
def test_whatever_is_found_is_of_the_providers_own_form(text: str) -> None:
    meant = read_text(text, ENABLED)
    if meant.reference:
        assert meant.reference in text
        assert any(facts.reference.fullmatch(meant.reference) for facts in ENABLED)
        assert meant.reference.isascii()
    if meant.reference and meant.provider:
        assert BY_NAME[meant.provider].reference.fullmatch(meant.reference)


@pytest.mark.parametrize("piece", ["a", "1", "-", " 1a", "a1_", "/?&"])
def test_a_flood_is_read_in_no_time(piece: str) -> None:
    flood = piece * 50_000
    began = time.process_time()
    read_text(flood + "!", ENABLED)
    read_command(flood.split(), ENABLED, ACCOUNTS)
    assert time.process_time() - began < 1.0
    assert len(read_text(flood, ENABLED).reason) <= LONGEST
