"""`python -m bot …`: see `bot/cli.py` for what it understands."""

from bot.cli import main

if __name__ == "__main__":
    main()
