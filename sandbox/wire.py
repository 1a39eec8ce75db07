"""What went over the wire, both ways, for whoever wants to look. Secrets are masked on the way out."""

from __future__ import annotations

import json
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

KEPT = 300
LONGEST = 12_000
"""Characters of one payload that are shown."""
MASK = "••••"
_SECRET_NAMES = re.compile(
    r"authorization|cookie|signature|(?:^|[-_])(?:token|secret|password|key|sig)$|checksum|ticket|devkey",
    re.IGNORECASE,
)
_IN_ADDRESSES = re.compile(r"((?:[?&](?:ticket|order_token|api_key|token)=)|/response/|/token/)[^&\s\"]+")


@dataclass(frozen=True, slots=True)
class Passed:
    """One call and what came back; `sent` and `answered` as they were, secrets and all."""

    number: int
    at: float
    sender: str
    receiver: str
    what: str
    outcome: str
    """"ok", or what went wrong in a word or two."""
    sent: Any
    answered: Any


class Wire:
    """The latest calls between the bot and the outside world."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.secrets: set[str] = set()
        """Shown nowhere, wherever they turn up."""
        self.last = 0
        self._clock = clock
        self._passed: deque[Passed] = deque(maxlen=KEPT)

    def note(
        self, sender: str, receiver: str, what: str, outcome: str, sent: Any = None, answered: Any = None
    ) -> None:
        self.last += 1
        self._passed.append(Passed(self.last, self._clock(), sender, receiver, what, outcome, sent, answered))

    def since(self, number: int) -> list[dict[str, Any]]:
        """What passed after that one, oldest first, without secrets and fit to be shown."""
        return [self._shown(passed) for passed in self._passed if passed.number > number]

    def _shown(self, passed: Passed) -> dict[str, Any]:
        return {
            "number": passed.number,
            "at": passed.at,
            "from": passed.sender,
            "to": passed.receiver,
            "what": self._masked(passed.what),
            "outcome": passed.outcome,
            "sent": self._written(passed.sent),
            "answered": self._written(passed.answered),
        }

    def _written(self, thing: Any) -> str:
        if thing is None or thing == {} or thing == "":
            return ""
        text = json.dumps(self._masked(thing), indent=2, ensure_ascii=False, default=str)
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}\n… {len(text) - LONGEST} more characters"

    def _masked(self, thing: Any) -> Any:
        if isinstance(thing, dict):
            return {
                name: MASK if _is_secret(str(name), value) else self._masked(value)
                for name, value in thing.items()
            }
        if isinstance(thing, list | tuple):
            return [self._masked(each) for each in thing]
        if not isinstance(thing, str):
            return thing
        for secret in self.secrets:
            thing = thing.replace(secret, MASK)
        return _IN_ADDRESSES.sub(rf"\1{MASK}", thing)


def _is_secret(name: str, value: Any) -> bool:
    return isinstance(value, str) and bool(value) and bool(_SECRET_NAMES.search(name))
