"""How much more or less, in sentences and in tables."""

from __future__ import annotations

from decimal import Decimal

import pytest

from dashboards.change_words import direction, points, relative, signed, told, told_points, told_usd
from dashboards.templatetags.figures import ABSENT, GAP


@pytest.mark.parametrize(
    ("now", "before", "sentence", "table", "way"),
    [
        ("112.4", "100", f"12.4{GAP}% more than in May", f"+12.4{GAP}%", "up"),
        ("50", "100", f"50.0{GAP}% less than in May", f"-50.0{GAP}%", "down"),
        ("0", "100", f"100.0{GAP}% less than in May", f"-100.0{GAP}%", "down"),
        ("100.04", "100", "the same as in May", f"0.0{GAP}%", "flat"),
        ("7", "0", "", "new", "flat"),
        ("0", "0", "", ABSENT, "flat"),
        ("7", None, "", ABSENT, "flat"),
        (None, "7", "", ABSENT, "flat"),
        ("7", "-1", "", ABSENT, "flat"),
    ],
)
def test_a_change_is_told_alike_in_sentences_and_tables(now, before, sentence, table, way):
    now, before = (None if one is None else Decimal(one) for one in (now, before))
    change = relative(now, before)

    assert (told(change, "in May"), signed(now, before), direction(change)) == (sentence, table, way)


def test_a_change_that_stands_alone_and_one_in_money():
    assert (told(Decimal("0.25")), told(Decimal(0))) == (f"25.0{GAP}% more", "the same")
    assert (told_usd(Decimal("-12.5")), told_usd(Decimal(3))) == ("$12.50 less", "$3.00 more")


@pytest.mark.parametrize(
    ("now", "before", "difference", "words", "way"),
    [
        ("0.31", "0.28", "+3.0", "3.0 points more than in May", "up"),
        ("0.28", "0.31", "-3.0", "3.0 points less than in May", "down"),
        ("0.2801", "0.28", "0.0", "the same as in May", "flat"),
        (None, "0.28", "", "", "flat"),
    ],
)
def test_shares_differ_by_points(now, before, difference, words, way):
    now, before = (None if one is None else Decimal(one) for one in (now, before))

    assert (points(now, before), told_points(now, before, "in May")) == (difference, (words, way))
