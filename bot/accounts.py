"""The accounts that can be cancelled at, and who decides about each one's orders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from providers.contract import Facts, Provider


@dataclass(frozen=True, slots=True)
class Account:
    """One account at one provider. Its policy is frozen into each request when that is made."""

    name: str
    """What people choose; empty where a provider has only the one from the environment."""
    provider: Provider
    channel: str
    """Where its requests are approved."""
    approvers: tuple[str, ...]
    quorum: int
    ttl: timedelta

    @property
    def facts(self) -> Facts:
        return self.provider.facts


class Accounts:
    """All of them, in the order in which people see them."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._by_key = {(account.facts.name, account.name): account for account in accounts}

    def __iter__(self) -> Iterator[Account]:
        return iter(self._by_key.values())

    def find(self, provider: str, name: str) -> Account | None:
        return self._by_key.get((provider, name))

    def serving(self, provider: str, name: str, account: str) -> Account | None:
        """The one that leads to this very account at the provider: by its name, or, where it was
        renamed since, under any."""
        named = [self._by_key[provider, name]] if (provider, name) in self._by_key else []
        others = [each for each in self if each.facts.name == provider]
        return next((each for each in [*named, *others] if each.provider.account == account), None)

    def names_of(self, provider: str) -> list[str]:
        """The accounts of one provider."""
        return [name for known, name in self._by_key if known == provider]

    @property
    def facts(self) -> list[Facts]:
        """Each provider that has an account."""
        return list({account.facts.name: account.facts for account in self}.values())

    @property
    def approvers(self) -> set[str]:
        """Everybody, and every group, that may approve anywhere."""
        return {name for account in self for name in account.approvers}
