"""A pretend provider each, keeping that provider's promises."""

from __future__ import annotations

from typing import Any

from sandbox.vendors.cpanel import CPanelVendor
from sandbox.vendors.digicert import DigiCertVendor
from sandbox.vendors.payvalida import PayvalidaVendor
from sandbox.vendors.servertastic import ServertasticVendor
from sandbox.vendors.tradernet import TradernetVendor
from sandbox.vendors.vendor import Vendor

VENDORS: tuple[type[Vendor[Any]], ...] = (
    CPanelVendor,
    DigiCertVendor,
    PayvalidaVendor,
    TradernetVendor,
    ServertasticVendor,
)
"""In the order of `providers.ADAPTERS`."""
