"""What can be said of rules without a catalogue: the schema, conditions, weights, order, dates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from routing.rules import validation
from routing.rules.document import Problem
from routing.rules.validation import OfferingFacts

# What a catalogue decides; nobody knows better than the document here.
_OF_CATALOGUE = {"unknown_offering", "retired", "no_price", "differs_from_catalogue", "residency"}


class _Anything:
    """Takes every offering for one that there is."""

    def offering(self, name: str, /) -> OfferingFacts | None:
        model, _, provider = name.rpartition("@")
        return OfferingFacts(
            model=model, provider=provider, tier=None, region="", data_class="", priced=True, retired=False
        )

    def data_classes(self) -> Mapping[str, str]:
        return {}


def problems(content: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with a content whatever the catalogue says, by place; offerings may be left out."""
    whole = dict(content)
    if whole.get("offerings") is None:
        whole["offerings"] = {}
    found = validation.validate(whole, _Anything())
    return [problem for problem in found if problem.code not in _OF_CATALOGUE]
