"""`python -m bot …`: see `bot/cli` for what it understands."""

from bot.cli import main

if __name__ == "__main__":
    main()
