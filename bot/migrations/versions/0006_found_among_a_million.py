"""Found among a million

Revision: 0006
Follows: 0005
"""

import sqlalchemy as sa
import sqlmodel.sql.sqltypes
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

FORMER_INDEXES = (
    "uq_request_open_order",
    "ix_request_order_key",
    "ix_request_state_created_at",
    "ix_request_requester_created_at",
    "ix_request_reference_key_created_at",
)
BY_ITSELF = "state = 'needs_person' OR id NOT IN (SELECT request_id FROM line)"
COPY = f"""
INSERT INTO request
SELECT
    id, version, state, is_open, provider, reference_key, order_key, requester, created_at, {BY_ITSELF}, body
FROM request_before
"""  # noqa: S608


def upgrade() -> None:
    _of_those("is_open", "batch", "ix_batch_open_requester", ["requester", "is_open"])
    op.create_index("ix_batch_requester_created_at", "batch", ["requester", "created_at"])
    op.drop_index("ix_batch_requester", "batch")

    _of_those("delivered", "message", "ix_message_owed", ["lane", "delivered", "id"], is_set=False)
    op.drop_index("ix_message_due", "message")

    for name in FORMER_INDEXES:
        op.drop_index(name, "request")
    if op.get_bind().dialect.name == "sqlite":
        _copy_requests()
    else:
        op.add_column("request", sa.Column("by_itself", sa.Boolean(), nullable=True))
        op.execute(f"UPDATE request SET by_itself = {BY_ITSELF}")  # noqa: S608
        op.alter_column("request", "by_itself", nullable=False)
    op.create_index(
        "uq_request_open_order",
        "request",
        ["reference_key"],
        unique=True,
        sqlite_where=sa.text("is_open"),
        postgresql_where=sa.text("is_open"),
    )
    op.create_index("ix_request_order_key", "request", ["order_key"])
    op.create_index("ix_request_reference_key_created_at", "request", ["reference_key", "created_at"])
    op.create_index("ix_request_state_created_at", "request", ["state", "created_at"])
    _of_those("is_open", "request", "ix_request_open_requester", ["requester", "is_open"])
    for column in ("state", "provider", "requester"):
        columns = [column, "by_itself", "created_at"]
        _of_those("by_itself", "request", f"ix_request_listed_{column}", columns)


def _copy_requests() -> None:
    """SQLite adds a column behind the last one and empty."""
    op.rename_table("request", "request_before")
    op.create_table(
        "request",
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("provider", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("reference_key", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("order_key", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("requester", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("created_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("by_itself", sa.Boolean(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_request")),
    )
    op.execute(COPY)
    op.drop_table("request_before")


def _of_those(flag: str, table: str, name: str, columns: list[str], is_set: bool = True) -> None:
    words = sa.text(flag if is_set else f"NOT {flag}")
    number = sa.text(f"{flag} = {is_set:d}")
    op.create_index(name, table, columns, sqlite_where=number, postgresql_where=words)


def downgrade() -> None:
    raise NotImplementedError("The history is never migrated backwards: restore a backup.")
