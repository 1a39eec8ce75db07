"""An example of what a provider answers, and what the adapter has to make of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from providers.contract import OrderState, Provider, Result, Standing
from providers.http import Answer, Http, NoAnswer

CANCELLABLE = OrderState(Standing.CANCELLABLE)
Call = Literal["look_up", "cancel", "check"]


@dataclass(frozen=True, slots=True)
class Example:
    name: str
    call: Call
    order: str
    path: str
    """The address whose answer this is; other addresses answer as usual."""
    answer: Answer | NoAnswer
    reads: Result | Standing | bool | None
    """The result, the standing, or whether the credentials are good."""
    says: str = ""
    """A part of the sentence or the warnings that people get."""
    before: OrderState = CANCELLABLE
    shown: bool = True
    """False where the provider's pages do not show such an answer: it is inferred, or made up for lack
    of better, and a real one may differ."""


@dataclass(frozen=True, slots=True)
class Examples:
    """All examples of one provider, and how its adapter is built."""

    build: Callable[[Http], Provider]
    usual: Mapping[str, Answer]
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


class ScriptedHttp(Http):
    """Gives the answers of an example instead of asking anybody, and keeps what was asked."""

    def __init__(
        self, answers: Mapping[str, Answer | NoAnswer], otherwise: Answer | NoAnswer | None = None
    ) -> None:
        # Not the usual start: it loads certificates, which takes its time and is for real calls.
        self._origin = "http://127.0.0.1:1"
        self._answers = answers
        self._otherwise = otherwise
        self.reads: list[Request] = []
        self.sends: list[Request] = []

    async def read(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Answer:
        self.reads.append(Request(method, path, query or {}, content))
        return self._answer(path)

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Answer:
        self.sends.append(Request(method, path, query or {}, content))
        return self._answer(path)

    def _answer(self, path: str) -> Answer:
        answer = self._answers.get(path, self._otherwise)
        assert answer is not None, f"nothing is known of {path}"
        if isinstance(answer, NoAnswer):
            raise answer
        return answer


NOT_SENT = NoAnswer("connect_error", sent=False)
TOO_LATE = NoAnswer("read_timeout", sent=True)


def says_json(body: object, status: int = 200, **headers: str) -> Answer:
    return Answer(status, _headers(headers), json.dumps(body, ensure_ascii=False).encode())


def says_text(body: str, status: int = 200, **headers: str) -> Answer:
    return Answer(status, _headers(headers), body.encode())


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
