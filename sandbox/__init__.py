"""Pretend Slack and pretend providers, to see the bot work without either."""
