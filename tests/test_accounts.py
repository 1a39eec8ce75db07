"""Several accounts of one provider, each with its own people, channel and number of approvals."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.settings import Settings, SettingsError
from providers import ADAPTERS
from sandbox.vendors.digicert import DigiCertVendor
from tests.conftest import World

SECRET = "PRETEND-SECOND-KEY"


def accounts_file(folder: Path, eu: str, us: str, more: str = "") -> str:
    path = folder / "accounts.toml"
    path.write_text(
        f"""
        [digicert.eu]
        DIGICERT_BASE_URL = "{eu}"
        DIGICERT_API_KEY = {{ env = "EU_KEY" }}
        APPROVERS = ["U0BOB", "U0CAROL", "U0DAN", "U0ALICE"]
        APPROVALS_REQUIRED = 3
        APPROVAL_CHANNEL = "C0ORDERS"
        REQUEST_TTL = "2h"

        [digicert.us]
        DIGICERT_BASE_URL = "{us}"
        DIGICERT_API_KEY = {{ env = "US_KEY" }}
        {more}
        """
    )
    return str(path)


async def two_accounts(world: World) -> tuple[DigiCertVendor, DigiCertVendor]:
    """DigiCert is not in the environment any more, but twice in the file."""
    eu, us = world.vendor("digicert"), DigiCertVendor()
    assert isinstance(eu, DigiCertVendor)
    us.key = SECRET
    await us.start()
    world.without = ("DIGICERT_API_KEY", "DIGICERT_BASE_URL", "DIGICERT_CANCEL_STATUS")
    path = accounts_file(world.folder, eu.base_url, us.base_url)
    await world.start_bot(ACCOUNTS_FILE=path, EU_KEY=eu.key, US_KEY=SECRET)
    return eu, us


async def test_the_form_asks_for_the_account_and_the_cancel_goes_there(quiet_world: World) -> None:
    world = quiet_world
    eu, us = await two_accounts(world)
    alice = world.person("alice")
    await alice.command("/cancel-order", f"digicert us {us.samples['cancellable']} ordered twice")
    form = await alice.modal()
    assert "Account" in form.labels
    assert (await form.submit()).ok
    card = await world.workspace.wait_until(lambda: world.cards[-1] if world.cards[-1].buttons else None)
    await world.workspace.wait_until(lambda: "Approve cancellation" in world.card(card).buttons)
    assert "DigiCert (us) order ID" in world.card(card).readable
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await world.reads(card, "Outcome: cancelled")
    assert (eu.sends, us.sends) == ([], [us.samples["cancellable"]])
    await us.stop()


async def test_an_account_has_its_own_channel_people_and_number_of_approvals(quiet_world: World) -> None:
    world = quiet_world
    eu, us = await two_accounts(world)
    gina = world.person("gina")
    await gina.command("/cancel-order", f"digicert eu {eu.samples['cancellable']} ordered twice")
    assert (await (await gina.modal()).submit()).ok
    orders = world.workspace.channel("C0ORDERS")
    card = await world.workspace.wait_until(
        lambda: next(m for m in orders.messages if "Approve cancellation" in m.buttons)
    )
    for who in ("alice", "bob"):
        await world.person(who).click(card, "Approve")
    await world.workspace.wait_until(lambda: "1 more needed" in card.readable)
    assert eu.sends == []
    await world.person("dan").click(card, "Approve")
    await world.workspace.wait_until(lambda: "Outcome: cancelled" in card.readable)
    assert eu.sends == [eu.samples["cancellable"]]
    assert world.cards == [], "nothing of it is in the other channel"
    await us.stop()


async def test_a_form_without_an_account_is_turned_back(quiet_world: World) -> None:
    world = quiet_world
    eu, us = await two_accounts(world)
    alice = world.person("alice")
    await alice.command("/cancel-order", f"digicert {eu.samples['cancellable']} ordered twice")
    form = await alice.modal()
    sent = await form.submit()
    assert not sent.ok
    assert eu.sends == us.sends == []
    await us.stop()


async def test_with_one_account_nobody_is_asked_for_it(world: World) -> None:
    alice = world.person("alice")
    await alice.command("/cancel-order", "digicert 123456 ordered twice")
    assert "Account" not in (await alice.modal()).labels


# --- the file -----------------------------------------------------------------------------------------


def given(folder: Path, text: str, **environment: str) -> dict[str, str]:
    path = folder / "accounts.toml"
    path.write_text(text)
    return {
        "SLACK_BOT_TOKEN": "xoxb-1",
        "SLACK_APP_TOKEN": "xapp-1",
        "APPROVAL_CHANNEL": "C1",
        "APPROVERS": "S1",
        "ACCOUNTS_FILE": str(path),
        "KEY": SECRET,
    } | environment


def problems(folder: Path, text: str, **environment: str) -> list[str]:
    with pytest.raises(SettingsError) as wrong:
        Settings.from_env(given(folder, text, **environment), ADAPTERS)
    assert SECRET not in str(wrong.value)
    return wrong.value.problems


GOOD = '[digicert.eu]\nDIGICERT_API_KEY = { env = "KEY" }\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace('{ env = "KEY" }', f'"{SECRET}"'), "is a secret"),
        (GOOD.replace('KEY" }', 'NOKEY" }'), "NOKEY, which is not set"),
        (GOOD + "COLOUR = 1\n", "'COLOUR' is not a setting of DigiCert"),
        (GOOD + "APPROVALS_REQUIRED = 1\n", "at least 2"),
        (GOOD + 'APPROVERS = ["U1", "U2"]\n', "at least 3 people"),
        (GOOD + 'APPROVERS = ["@bob"]\n', "APPROVERS takes user IDs"),
        (GOOD + "APPROVERS = []\n", "APPROVERS is missing"),
        (GOOD + 'APPROVAL_CHANNEL = "#approvals"\n', "must be a channel ID"),
        (GOOD + 'REQUEST_TTL = "soon"\n', "must be a time"),
        (GOOD + 'DIGICERT_BASE_URL = "http://example.com"\n', "must begin with https://"),
        (GOOD.replace("digicert.eu", 'digicert."E U"'), "the name takes"),
        (GOOD.replace("digicert", "digicrt"), "is not a provider"),
        ("[cpanel.eu]\n", "CPANEL_BASE_URL is missing"),
        ("[digicert\n", "is not TOML"),
        ("digicert = 1\n", "is not a provider"),
    ],
)
def test_a_wrong_file_is_explained_and_no_secret_is_repeated(tmp_path: Path, text: str, said: str) -> None:
    found = problems(tmp_path, text)
    assert any(said in problem for problem in found), found


def test_a_right_file_is_accepted_and_its_secrets_are_masked(tmp_path: Path) -> None:
    settings = Settings.from_env(given(tmp_path, GOOD), ADAPTERS)
    assert [(account.provider, account.name) for account in settings.accounts] == [("digicert", "eu")]
    assert SECRET in settings.secret_values()
    assert SECRET not in repr(settings)


def test_a_provider_is_set_up_in_one_place(tmp_path: Path) -> None:
    found = problems(tmp_path, GOOD, DIGICERT_API_KEY="another")
    assert any("keep one" in problem for problem in found)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    found = problems(tmp_path, GOOD, ACCOUNTS_FILE=str(tmp_path / "nowhere.toml"))
    assert any("ACCOUNTS_FILE cannot be read" in problem for problem in found)
