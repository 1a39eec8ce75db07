"""`ACCOUNTS_FILE`: several accounts of one provider, each with people of its own if need be.

A table for each account, `[provider.account]`. In it, settings have the names they have in the
environment; a secret is never written down but named: `{ env = "EU_CPANEL_TOKEN" }`.

    [cpanel.eu]
    CPANEL_BASE_URL = "https://eu.example.com:2083"
    CPANEL_USERNAME = "shop"
    CPANEL_API_TOKEN = { env = "EU_CPANEL_TOKEN" }
    APPROVERS = ["S0EUONCALL"]
    APPROVALS_REQUIRED = 3
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from bot.environment import GUARDS, Reader
from providers.contract import Facts

POLICY = ("APPROVAL_CHANNEL", "APPROVERS", "APPROVALS_REQUIRED", "REQUEST_TTL")
"""What an account may decide for itself."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,29}", re.ASCII)


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """One account; what is None is as it is for everybody."""

    provider: str
    name: str
    """Empty for the one account that is given in the environment."""
    values: Mapping[str, str] = field(repr=False)
    """The provider's own settings."""
    channel: str | None = None
    approvers: tuple[str, ...] | None = None
    approvals_required: int | None = None
    request_ttl: timedelta | None = None

    def in_the_open(self, secrets: set[str]) -> list[Any]:
        """Everything that is not a secret, for the fingerprint of the policy."""
        ttl = None if self.request_ttl is None else self.request_ttl.total_seconds()
        values = {name: value for name, value in self.values.items() if value not in secrets}
        return [
            self.provider,
            self.name,
            values,
            self.channel,
            sorted(self.approvers or ()),
            self.approvals_required,
            ttl,
        ]


def read_accounts(read: Reader, facts: Sequence[Facts]) -> tuple[AccountSettings, ...]:
    """The accounts in the file that `ACCOUNTS_FILE` names; what is wrong goes to `read.problems`."""
    path = read.text("ACCOUNTS_FILE")
    if not path:
        return ()
    try:
        tables = tomllib.loads(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        read.problems.append(f"ACCOUNTS_FILE cannot be read ({type(error).__name__}).")
        return ()
    except tomllib.TOMLDecodeError as error:
        read.problems.append(f"ACCOUNTS_FILE is not TOML: {error}.")
        return ()
    known = {each.name: each for each in facts}
    accounts: list[AccountSettings] = []
    for provider, named in tables.items():
        if provider not in known or not isinstance(named, dict):
            names = ", ".join(known)
            read.problems.append(f"ACCOUNTS_FILE: [{provider[:40]!r}] is not a provider; there are {names}.")
        elif any(read.is_given(each.name) for each in known[provider].settings if each.default is None):
            read.problems.append(
                f"{known[provider].label} is set up in the environment and in ACCOUNTS_FILE; keep one."
            )
        else:
            accounts += [_account(read, known[provider], name, table) for name, table in named.items()]
    return tuple(accounts)


def _account(read: Reader, facts: Facts, name: str, table: object) -> AccountSettings:
    where = f"ACCOUNTS_FILE [{facts.name}.{name[:40]}]"
    inner = Reader({}, [facts])
    if not _NAME.fullmatch(name):
        inner.problems.append("the name takes small letters, digits, - and _, at most 30.")
    if not isinstance(table, dict):
        inner.problems.append("must be a table of settings.")
        table = {}
    inner = _with(inner, facts, _resolved(read, inner, facts, table))
    values = inner.provider_values(facts)
    account = AccountSettings(
        provider=facts.name,
        name=name,
        values=values,
        channel=inner.channel() if "APPROVAL_CHANNEL" in table else None,
        approvers=inner.people("APPROVERS", required=True) if "APPROVERS" in table else None,
        approvals_required=inner.quorum() if "APPROVALS_REQUIRED" in table else None,
        request_ttl=inner.duration("REQUEST_TTL") if "REQUEST_TTL" in table else None,
    )
    read.problems += [f"{where}: {problem}" for problem in inner.problems]
    read.provider_secrets += inner.provider_secrets
    return account


def _with(inner: Reader, facts: Facts, environ: Mapping[str, str]) -> Reader:
    """A reader of one account's settings that keeps the problems found so far."""
    reader = Reader(environ, [facts])
    reader.problems += inner.problems
    return reader


def _resolved(read: Reader, inner: Reader, facts: Facts, table: Mapping[str, Any]) -> dict[str, str]:
    """The table as an environment: lists joined, numbers written out, references looked up."""
    secret = {setting.name: setting.secret for setting in facts.settings}
    found: dict[str, str] = {}
    for name, value in table.items():
        if name not in secret and name not in POLICY:
            inner.problems.append(f"{name[:60]!r} is not a setting of {facts.label}.")
        elif isinstance(value, dict) and set(value) == {"env"} and isinstance(value["env"], str):
            found[name] = read.referenced(value["env"])
            if not found[name]:
                inner.problems.append(f"{name} names {value['env'][:60]}, which is not set.")
        elif secret.get(name):
            inner.problems.append(f'{name} is a secret: name a variable that holds it, {{ env = "NAME" }}.')
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            found[name] = ",".join(value)
        elif isinstance(value, str) or type(value) is int:
            found[name] = str(value)
        else:
            inner.problems.append(f"{name} must be text, a number or a list of texts.")
    return {name: value for name, value in found.items() if value or name in GUARDS}
