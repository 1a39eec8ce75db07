"""A pretend provider, and the adapter that talks to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from providers import ADAPTERS
from sandbox.conformance import connect
from sandbox.vendors import VENDORS
from sandbox.vendors.vendor import Vendor

__all__ = ["PAIRS", "connect"]

PAIRS = [(adapter, vendor) for adapter in ADAPTERS for vendor in VENDORS if vendor.name == adapter.facts.name]


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
