"""Slack, the people and the providers, opened for one command and closed after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from bot.accounts import Accounts
from bot.app import accounts_of, people_of
from bot.on_call import Sources
from bot.settings import Settings
from bot.slack import Slack
from providers import ADAPTERS


@dataclass(frozen=True, slots=True)
class Visit:
    settings: Settings
    slack: Slack
    people: Sources
    accounts: Accounts

    @property
    def lists(self) -> tuple[set[str], tuple[str, ...], tuple[str, ...]]:
        """Everybody who may approve, ask, or be called later."""
        return self.accounts.approvers, self.settings.requesters, self.settings.escalate_to


@asynccontextmanager
async def visiting(settings: Settings) -> AsyncIterator[Visit]:
    async with AsyncExitStack() as opened:
        slack = Slack(settings.slack_bot_token.get_secret_value(), settings.slack_api_url)
        opened.push_async_callback(slack.close)
        people = people_of(settings, slack)
        opened.push_async_callback(people.close)
        accounts = accounts_of(settings, ADAPTERS)
        for account in accounts:
            opened.push_async_callback(account.provider.close)
        yield Visit(settings, slack, people, accounts)
