"""A pretend provider, and the adapter that talks to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from providers import ADAPTERS
from providers.contract import Provider
from providers.http import HttpLimits
from sandbox.vendors import VENDORS
from sandbox.vendors.vendor import Vendor

PAIRS = [(adapter, vendor) for adapter in ADAPTERS for vendor in VENDORS if vendor.name == adapter.facts.name]


def connect(
    adapter: type[Provider], environment: dict[str, str], limits: HttpLimits | None = None
) -> Provider:
    """Build an adapter as the bot does: from its settings, with the defaults filled in."""
    values = {each.name: environment.get(each.name, each.default) for each in adapter.facts.settings}
    assert None not in values.values(), f"{adapter.facts.name}: the pretend vendor lacks a setting"
    return adapter.from_settings(
        {name: value or "" for name, value in values.items()}, limits or HttpLimits()
    )


@pytest.fixture
async def start_vendor() -> AsyncIterator[Callable[[type[Vendor[Any]]], Awaitable[Any]]]:
    started: list[Vendor[Any]] = []

    async def start(kind: type[Vendor[Any]]) -> Vendor[Any]:
        vendor = kind()
        started.append(vendor)
        await vendor.start()
        return vendor

    yield start
    for vendor in started:
        await vendor.stop()
