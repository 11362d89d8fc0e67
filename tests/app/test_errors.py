"""Errors as sentences on a page."""

from app.components.errors import as_sentence


def test_a_message_begins_with_a_capital_letter() -> None:
    assert as_sentence("no hybrid fits: raise the budget.") == "No hybrid fits: raise the budget."


def test_a_name_at_the_start_keeps_its_spelling() -> None:
    assert as_sentence("poolformer can't be cut.") == "poolformer can't be cut."
