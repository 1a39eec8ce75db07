"""`python -m bot …`: see `bot/cli` for what it understands."""

import gc

if __name__ == "__main__":
    # What is imported stays, and looking for garbage in it again and again is a seventh of a start.
    gc.disable()
    from bot.cli import main

    gc.freeze()
    gc.enable()
    main()
