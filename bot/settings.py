"""Every setting of the bot, read once and judged together.

Somebody who gets several settings wrong is told about all of them at once, in words that say what to
do, and never sees a secret repeated on the screen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, cast

from dotenv import dotenv_values
from pydantic import SecretStr

from bot.accounts_file import AccountSettings, read_accounts
from bot.environment import DEFAULTS, OTHERS, SECRETS, Reader, SettingsError, check_url
from bot.on_call_settings import PagerDutySettings, read_pagerduty
from providers.contract import Provider

LogFormat = Literal["auto", "console", "json"]

__all__ = [
    "DEFAULTS",
    "OTHERS",
    "SECRETS",
    "AccountSettings",
    "Settings",
    "SettingsError",
    "check_url",
    "database_url",
    "read_environment",
]


@dataclass(frozen=True, kw_only=True)
class Settings:
    slack_bot_token: SecretStr
    slack_app_token: SecretStr | None
    signing_secrets: tuple[SecretStr, ...]
    slack_api_url: str
    approval_channel: str
    approvers: tuple[str, ...]
    """User IDs (`U…`, `W…`), user group IDs (`S…`), and schedules of whoever is on call
    (`pagerduty:…`)."""
    pagerduty: PagerDutySettings | None
    requesters: tuple[str, ...]
    """The same form; empty means everyone."""
    approvals_required: int
    request_ttl: timedelta
    remind_after: timedelta
    """Zero: no reminders."""
    escalate_after: timedelta
    escalate_to: tuple[str, ...]
    """Who is called after that time, and may decide from then on; empty means nobody."""
    provider_timeout: timedelta
    provider_max_bytes: int
    reconcile_after: timedelta
    reconcile_for: timedelta
    outbox_retry_min: timedelta
    outbox_retry_max: timedelta
    database_url: str = field(repr=False)
    host: str
    port: int
    log_level: str
    log_format: LogFormat
    accounts: tuple[AccountSettings, ...] = field(repr=False)
    """Every account that can be cancelled at, from the environment and from `ACCOUNTS_FILE`."""
    provider_secrets: tuple[SecretStr, ...] = ()
    other_secrets: tuple[SecretStr, ...] = ()
    warnings: tuple[str, ...] = ()
    """What works but should be looked at; no line holds a secret."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str], adapters: Sequence[type[Provider]]) -> Settings:
        """Read everything, or raise `SettingsError` with everything that is wrong."""
        facts = [adapter.facts for adapter in adapters]
        read = Reader(environ, facts)
        named = read_accounts(read, facts)
        providers = read.providers(others=bool(named))
        pagerduty = read_pagerduty(read)
        on_call = pagerduty.names if pagerduty else ()
        escalate_after, escalate_to = read.escalation()
        settings = cls(
            slack_bot_token=SecretStr(read.token("SLACK_BOT_TOKEN", "xoxb-", required=True)),
            slack_app_token=SecretStr(token) if (token := read.token("SLACK_APP_TOKEN", "xapp-")) else None,
            signing_secrets=read.signing_secrets(),
            slack_api_url=read.url("SLACK_API_URL") + "/",
            approval_channel=read.channel(),
            approvers=(*read.people("APPROVERS", required=True), *on_call),
            pagerduty=pagerduty,
            requesters=read.people("REQUESTERS"),
            approvals_required=read.quorum(),
            request_ttl=read.duration("REQUEST_TTL"),
            remind_after=read.duration("REMIND_AFTER", zero=True),
            escalate_after=escalate_after,
            escalate_to=escalate_to,
            provider_timeout=read.duration("PROVIDER_TIMEOUT"),
            provider_max_bytes=read.whole("PROVIDER_MAX_BYTES", 1, 2**30),
            reconcile_after=read.duration("RECONCILE_AFTER"),
            reconcile_for=read.duration("RECONCILE_FOR"),
            outbox_retry_min=read.duration("OUTBOX_RETRY_MIN"),
            outbox_retry_max=read.duration("OUTBOX_RETRY_MAX"),
            database_url=read.database(),
            host=read.host(),
            port=read.whole("PORT", 1, 65535),
            log_level=read.choice("LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")),
            log_format=cast("LogFormat", read.choice("LOG_FORMAT", ("auto", "console", "json"))),
            accounts=(*(AccountSettings(name, "", values) for name, values in providers.items()), *named),
            provider_secrets=tuple(read.provider_secrets),
            other_secrets=tuple(read.other_secrets),
            warnings=tuple(read.warnings),
        )
        read.refuse_misspellings()
        read.cross_check(settings)
        if read.problems:
            raise SettingsError(list(dict.fromkeys(read.problems)))
        return settings

    def secret_values(self) -> tuple[str, ...]:
        """Everything that a log must mask."""
        secrets = [self.slack_bot_token, self.slack_app_token, *self.signing_secrets]
        secrets += [*self.provider_secrets, *self.other_secrets]
        return tuple(secret.get_secret_value() for secret in secrets if secret)

    def fingerprint(self) -> str:
        """A short hash of all settings that decide what is executed and when, and of no secret, so that the
        history shows when they changed."""
        secret = {value.get_secret_value() for value in self.provider_secrets}
        policy: dict[str, Any] = {
            "approvers": sorted(self.approvers),
            "requesters": sorted(self.requesters),
            "approvals_required": self.approvals_required,
            "request_ttl": self.request_ttl.total_seconds(),
            "approval_channel": self.approval_channel,
            "accounts": [account.in_the_open(secret) for account in self.accounts],
            "escalation": [self.escalate_after.total_seconds(), sorted(self.escalate_to)],
            "reminders": self.remind_after.total_seconds(),
            "provider": [self.provider_timeout.total_seconds(), self.provider_max_bytes],
            "reconcile": [self.reconcile_after.total_seconds(), self.reconcile_for.total_seconds()],
            "slack": self.slack_api_url,
            "on_call": self.pagerduty.base_url if self.pagerduty else "",
        }
        return hashlib.sha256(json.dumps(policy, sort_keys=True).encode()).hexdigest()[:16]


def read_environment(environ: Mapping[str, str], dotenv_path: Path = Path(".env")) -> dict[str, str]:
    """The environment on top of the `.env` file, if there is one."""
    try:
        # Not interpolated: a `${` inside a password is a part of the password.
        from_file = dotenv_values(dotenv_path, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            [f"The .env file cannot be read ({type(error).__name__}); fix or remove it."]
        ) from None
    return {name: value for name, value in from_file.items() if value is not None} | dict(environ)


def database_url(environ: Mapping[str, str]) -> str:
    """The database alone, for commands that need no other setting. Raises `SettingsError`."""
    reader = Reader(environ, [])
    url = reader.database()
    if reader.problems:
        raise SettingsError(reader.problems)
    return url
