"""The history for somebody who trusts nobody: read, checked, exported and explained. Nothing here writes
to the database, and the bot itself does not use it."""
