"""How Alembic reaches the database: the URL comes from `bot.store.schema`, never from a file."""

from alembic import context

from bot.store.database import engine_for_migrations
from bot.store.tables import Table

engine = engine_for_migrations(context.config.attributes["url"])
try:
    with engine.connect() as connection:
        # One transaction for all of it: a migration that is killed leaves the old schema, not half of two.
        context.configure(
            connection=connection,
            target_metadata=Table.metadata,
            render_as_batch=True,
            transactional_ddl=True,
        )
        with context.begin_transaction():
            context.run_migrations()
finally:
    engine.dispose()
