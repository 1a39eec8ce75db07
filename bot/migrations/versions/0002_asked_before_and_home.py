"""Find earlier requests for the same order, and know who looks at the App Home

Revision: 0002
Follows: 0001
"""

import sqlalchemy as sa
import sqlmodel.sql.sqltypes
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("request", schema=None) as batch_op:
        batch_op.create_index(
            "ix_request_reference_key_created_at", ["reference_key", "created_at"], unique=False
        )

    op.create_table(
        "home",
        sa.Column("person", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("opened_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("person", name=op.f("pk_home")),
    )
    with op.batch_alter_table("home", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_home_opened_at"), ["opened_at"], unique=False)


def downgrade() -> None:
    raise NotImplementedError("The history is never migrated backwards: restore a backup.")
