"""The catch-all of the front door: whatever happens behind it, a person gets one honest sentence."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from bot.errors import CountersignError
from bot.logs import get_logger

log = get_logger(__name__)

T = TypeVar("T")
SLOW = "Slack did not open the form in time. Please try once more."
SAY_WHY = "Choose a reason above, or say here what is wrong."
SAY_WHAT = "Write down what you want to know."
BROKEN = "Something went wrong on our side and nothing was changed. Please try again in a moment."


async def attempt(what: str, work: Awaitable[T]) -> T | CountersignError:
    """The result of `work`, or the problem to tell the person about. Never raises."""
    try:
        return await work
    except CountersignError as problem:
        return problem
    except Exception:
        log.exception("listener_failed", what=what)
        return CountersignError(BROKEN)
