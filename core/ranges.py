"""Exclusion constraints on dated rows, without btree_gist: the equal part is written as a range of one integer."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import BigIntegerRangeField, RangeOperators
from django.db.models import BigIntegerField, F, Func, Q, Value


def _one(expression: Any) -> Func:
    return Func(expression, expression, Value("[]"), function="int8range", output_field=BigIntegerRangeField())


def _hashed(column: str) -> Func:
    # Two names of one hash would refuse each other for no reason; with 64 bits that does not happen.
    return Func(F(column), Value(0), function="hashtextextended", output_field=BigIntegerField())


def no_overlap(
    name: str, *, same: str | None = None, same_text: str | None = None, ranges: list[str], where: Q | None = None
) -> ExclusionConstraint:
    """Refuse two rows with the same integer (or text) whose ranges all overlap."""
    key = _one(F(same)) if same else _one(_hashed(same_text or ""))
    return ExclusionConstraint(
        name=name,
        expressions=[(key, RangeOperators.OVERLAPS), *((column, RangeOperators.OVERLAPS) for column in ranges)],
        condition=where,
    )
