"""Kills the real process, and breaks the disk under it, at every point of a cancellation.

`python -m tests.crash --help` says how; `test_sweep.py` does a dozen points in the ordinary run.
"""
