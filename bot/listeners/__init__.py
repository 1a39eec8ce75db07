"""Front door: a Slack payload becomes one call of `workflow`, and its result an answer.

No rule, no SQL and no provider in here. Everything a listener does happens before it acknowledges:
Slack is told "ok" only for what is stored, and nothing may raise after an acknowledgement (Bolt would
lose it). What is said later goes through the outbox.
"""

from __future__ import annotations

from slack_bolt.async_app import AsyncApp

from bot.listeners import batches, commands, forms, leftovers, votes
from bot.slack import Slack
from bot.workflow import Workflow


def register(app: AsyncApp, workflow: Workflow, slack: Slack) -> None:
    """What people wait for most comes first: Bolt asks one listener after the other whether it is meant."""
    votes.register(app, workflow, slack)
    forms.register(app, workflow, slack)
    commands.register(app, workflow, slack)
    batches.register(app, workflow, slack)
    leftovers.register(app)
