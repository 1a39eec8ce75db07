"""Countersign: orders that cannot be un-cancelled are cancelled only when two people agree."""

__version__ = "0.1.0"
