"""What an import of the installed price data finds in an empty house that has the standard catalogue."""

from __future__ import annotations

import pytest

from catalog.models import PriceProposal
from catalog.services import imports, standard
from tests.factories import NOON

# genai-prices takes the nights of these two for the ordinary price; the standard catalogue lists the day's.
NIGHTS = {"deepseek-chat@deepseek", "deepseek-reasoner@deepseek"}


@pytest.mark.django_db
def test_the_standard_catalogue_says_what_the_installed_price_data_says():
    standard.load(by="tests", at=NOON)

    found = imports.propose(table=imports.read(source="genai-prices"), by="tests", at=NOON)

    assert found.new > 1_000
    changed = set(PriceProposal.objects.exclude(kind="new").values_list("offering_name", flat=True))
    assert changed == NIGHTS
