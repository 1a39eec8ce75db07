"""The command, and each action_id, block_id and callback_id, named once."""

from __future__ import annotations

COMMAND = "/cancel-order"

# buttons on the card
APPROVE = "approve"
DENY = "deny"
WITHDRAW = "withdraw"
TAKE_BACK = "take_back"
ASK = "ask"
CLOSE = "close"
CONFIRM_CLOSING = "confirm_closing"
DETAILS = "details"
ASK_AGAIN = "ask_again"
START = "start"

# buttons about several orders at once
SEVERAL = "several"
BATCH_APPROVE = "batch_approve"
BATCH_DENY = "batch_deny"
BATCH_TAKE_BACK = "batch_take_back"
BATCH_WITHDRAW = "batch_withdraw"
BATCH_DETAILS = "batch_details"
BATCH_ASK = "batch_ask"
BATCH_ASK_AGAIN = "batch_ask_again"
BATCH_PAGE = "batch_page"

# fields of the forms: action IDs
PROVIDER = "provider"
ACCOUNT = "account"
REFERENCE = "reference"
LINES = "lines"
MORE_LINES = "more_lines"
REASON = "reason"
FINDING = "finding"
EVIDENCE = "evidence"
QUESTION = "question"
DENIAL = "denial"

# views, and the shortcuts that open one
REQUEST_FORM = "request_form"
DENY_FORM = "deny_form"
QUESTION_FORM = "question_form"
CLOSING_FORM = "closing_form"
BATCH_DENY_FORM = "batch_deny_form"
BATCH_QUESTION_FORM = "batch_question_form"
DETAILS_VIEW = "details_view"
CANCEL_AN_ORDER = "cancel_an_order"
CANCEL_THIS_ORDER = "cancel_this_order"

# blocks of the forms
NOTE = "note"
PROVIDER_BLOCK = "provider_block"
REASON_BLOCK = "reason_block"
CONSEQUENCE_BLOCK = "consequence_block"
ORDER_BLOCK = "order_block"
REFERENCE_BLOCK = "reference_block"
LINES_BLOCK = "lines_block"
MORE_LINES_BLOCK = "more_lines_block"
SWITCH_BLOCK = "switch_block"
ACCOUNT_BLOCK = "account_block"
FINDING_BLOCK = "finding_block"
EVIDENCE_BLOCK = "evidence_block"
DENIAL_BLOCK = "denial_block"
QUESTION_BLOCK = "question_block"


def reference_block(provider: str | None) -> str:
    """The block of the reference: another one for each provider.

    Slack keeps what was typed, and ignores an initial value, while block_id and action_id stay the
    same. A new block_id makes it show the label, the hint and the value of the rebuilt form.
    """
    return f"{REFERENCE_BLOCK}.{provider or 'any'}"


# blocks of the card, top to bottom
HEAD = "head"
QUOTED_REASON = "quoted_reason"
EXPLANATION = "explanation"
ORDER = "order"
LINE_LIST = "line_list"
CONSEQUENCE = "consequence"
APPROVALS = "approvals"
FOOT = "foot"
BUTTONS = "buttons"
MORE_BUTTONS = "more_buttons"
