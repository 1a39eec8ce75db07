"""Found among a million

Revision: 0006
Follows: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BY_ITSELF = """
state = 'needs_person'
OR replace(replace(body, '"batch":""', ''), '"batch":"', '') = replace(body, '"batch":""', '')
"""


def upgrade() -> None:
    _of_those("is_open", "batch", "ix_batch_open_requester", ["requester", "is_open"])
    op.create_index("ix_batch_requester_created_at", "batch", ["requester", "created_at"])
    op.create_index("ix_batch_provider_is_open_created_at", "batch", ["provider", "is_open", "created_at"])
    op.drop_index("ix_batch_requester", "batch")

    _of_those("delivered", "message", "ix_message_owed", ["lane", "delivered", "id"], is_set=False)
    op.drop_index("ix_message_due", "message")

    by_itself = sa.Computed(" ".join(BY_ITSELF.split()), persisted=op.get_bind().dialect.name != "sqlite")
    op.add_column("request", sa.Column("by_itself", sa.Boolean(), by_itself))
    _of_those("is_open", "request", "ix_request_open_requester", ["requester", "is_open"])
    for column in ("state", "provider", "requester"):
        columns = [column, "by_itself", "created_at"]
        _of_those("by_itself", "request", f"ix_request_listed_{column}", columns)
    op.drop_index("ix_request_requester_created_at", "request")


def _of_those(flag: str, table: str, name: str, columns: list[str], is_set: bool = True) -> None:
    words = sa.text(flag if is_set else f"NOT {flag}")
    number = sa.text(f"{flag} = {is_set:d}")
    op.create_index(name, table, columns, sqlite_where=number, postgresql_where=words)


def downgrade() -> None:
    raise NotImplementedError("The history is never migrated backwards: restore a backup.")
