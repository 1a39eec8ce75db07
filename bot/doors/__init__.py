"""How Slack reaches the listeners: Socket Mode or signed HTTP, the same listeners behind both."""
