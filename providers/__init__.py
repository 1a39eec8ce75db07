"""Back doors: one file a provider."""

from __future__ import annotations

from providers.contract import Provider
from providers.cpanel import CPanel
from providers.digicert import DigiCert
from providers.payvalida import Payvalida
from providers.servertastic import Servertastic
from providers.tradernet import Tradernet

ADAPTERS: tuple[type[Provider], ...] = (CPanel, DigiCert, Payvalida, Tradernet, Servertastic)
"""In the order in which people see them."""
