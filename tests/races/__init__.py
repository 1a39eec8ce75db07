"""People, workers and machines in the same moment, and processes that are stopped and go on later.

`python -m tests.races --help` says how; `test_races.py` does a sample in the ordinary run.
"""
