"""Response URLs: five answers to one interaction, within half an hour."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.slack.model import Refused

USES = 5
SECONDS = 30 * 60


@dataclass
class Address:
    channel: str
    user: str
    message_ts: str | None
    at: float
    uses: int = 0


class ResponseUrls:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[str, Address] = {}
        self.base = ""  # set by the server once it knows its port

    def new(self, channel: str, user: str, message_ts: str | None = None) -> str:
        key = secrets.token_urlsafe(18)
        self._known[key] = Address(channel, user, message_ts, self._clock())
        return f"{self.base}/response/{key}"

    def use(self, key: str) -> Address:
        address = self._known.get(key)
        if address is None:
            raise Refused("invalid_url")
        if self._clock() - address.at > SECONDS:
            raise Refused("expired_url")
        if address.uses >= USES:
            raise Refused("used_url")
        address.uses += 1
        return address
