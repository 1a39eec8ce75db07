"""Who is on call, as far as the settings say where to ask."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import SecretStr

from bot.environment import Reader

SOURCES = ("slack", "pagerduty")
ITS_SETTINGS = ("PAGERDUTY_API_KEY", "PAGERDUTY_SCHEDULES")

_SCHEDULE = re.compile(r"P[A-Z0-9]{5,19}", re.ASCII)


@dataclass(frozen=True)
class PagerDutySettings:
    key: SecretStr
    schedules: tuple[str, ...]
    base_url: str

    @property
    def names(self) -> tuple[str, ...]:
        """As they stand in a list of approvers."""
        return tuple(f"pagerduty:{schedule}" for schedule in self.schedules)


def read_pagerduty(read: Reader) -> PagerDutySettings | None:
    """None when people on call are the Slack user groups in `APPROVERS`; what is wrong goes to
    `read.problems`."""
    if read.choice("ON_CALL_SOURCE", SOURCES) == "slack":
        for name in (*ITS_SETTINGS, "PAGERDUTY_BASE_URL"):
            if read.is_given(name):
                read.warnings.append(f"{name} has no effect without ON_CALL_SOURCE=pagerduty.")
        return None
    for name in ITS_SETTINGS:
        if not read.is_given(name):
            read.problems.append(f"{name} is missing; ON_CALL_SOURCE=pagerduty needs it.")
    key = SecretStr(read.text("PAGERDUTY_API_KEY"))
    read.other_secrets.append(key)
    return PagerDutySettings(key, _schedules(read), read.url("PAGERDUTY_BASE_URL"))


def _schedules(read: Reader) -> tuple[str, ...]:
    named = [name.strip() for name in read.text("PAGERDUTY_SCHEDULES").split(",") if name.strip()]
    if any(not _SCHEDULE.fullmatch(name) for name in named):
        read.problems.append("PAGERDUTY_SCHEDULES takes schedule IDs such as PABC123, with commas.")
    return tuple(dict.fromkeys(named))
