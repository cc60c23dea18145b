"""What an offering costs per 1000 tokens at a mix of meters: a rule may set a most."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

# Where a use case has no past: three tokens in for one out.
USUAL_MIX: Mapping[str, int] = {"uncached_input": 3, "output": 1}
_OUTPUT = frozenset({"output", "audio_output", "image_output"})


def usd_per_1k_tokens(mix: Mapping[str, int], usd_per_1m: Mapping[str, Decimal]) -> Decimal | None:
    """Return USD per 1000 tokens of a mix, exactly divided to 28 digits; None where there is no price to go by.

    A meter without a price of its own goes by that of ordinary input or output: this is a check before the fact, and
    what is booked is never rated so.
    """
    tokens = sum(mix.values())
    cost = Decimal(0)
    for meter, count in mix.items():
        if not count:
            continue
        price = usd_per_1m.get(meter, usd_per_1m.get("output" if meter in _OUTPUT else "uncached_input"))
        if price is None:
            return None
        cost += count * price
    return cost / tokens / 1000 if tokens else None
