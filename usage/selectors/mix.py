"""What use cases' tokens are made of: the mix of meters that a price per 1000 tokens is worked out with."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date, timedelta
from typing import Any

from django.db.models import Sum

from usage.models import RollupDay
from usage.rules.postings import STATUS_NUMBERS

DAYS = 30
COLUMNS = {
    "uncached_input": "uncached_input_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write_5m": "cache_write_5m_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "output": "output_tokens",
    "audio_input": "audio_input_tokens",
    "audio_output": "audio_output_tokens",
    "image_input": "image_input_tokens",
    "image_output": "image_output_tokens",
}


def by_use_case(*, until: date, names: Collection[str] | None = None) -> dict[str, Mapping[str, int]]:
    """Return tokens per meter of each use case in the 30 days before `until`, a day of the organisation's zone.

    Of calls that were served (status ok); use cases without tokens are left out. `names` None is all. One query.
    """
    rows = RollupDay.objects.filter(day__gte=until - timedelta(days=DAYS), day__lt=until, status=STATUS_NUMBERS["ok"])
    if names is not None:
        rows = rows.filter(use_case__name__in=names)
    sums: Iterable[Mapping[str, Any]] = rows.values("use_case__name").annotate(
        **{meter: Sum(column) for meter, column in COLUMNS.items()}
    )
    found: dict[str, Mapping[str, int]] = {}
    for row in sums:
        mix = {meter: int(row[meter] or 0) for meter in COLUMNS}
        if sum(mix.values()) > 0 and min(mix.values()) >= 0:
            found[row["use_case__name"]] = mix
    return found
