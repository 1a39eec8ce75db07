"""A Slack workspace on this machine, as strict as Slack: for the tests, and for `python -m sandbox`."""
