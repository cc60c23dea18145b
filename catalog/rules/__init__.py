"""How names are compared and resolved, and which price holds: plain Python, no I/O, no clock.

`book` is a frozen copy of the catalogue that booking keeps in memory; the others are what it is made of.
"""

from catalog.rules.book import Book, ContractFacts, OfferingFacts
from catalog.rules.dated import Dated, held
from catalog.rules.meters import INPUT_METERS, METERS, OUTPUT_METERS, REQUESTS
from catalog.rules.names import (
    LABEL_CHARACTERS,
    MODEL_CHARACTERS,
    PROVIDER_CHARACTERS,
    UNASSIGNED,
    UNKNOWN,
    clean_name,
    fold,
    offering_name,
    tidy_provider,
    tidy_service_tier,
)
from catalog.rules.pricing import (
    ATTO_PER_UNIT,
    Cliff,
    Face,
    Hours,
    ListedPrice,
    PriceTable,
    RateCard,
    Span,
    Terms,
    discounted,
    edges,
)

__all__ = [
    "ATTO_PER_UNIT",
    "INPUT_METERS",
    "LABEL_CHARACTERS",
    "METERS",
    "MODEL_CHARACTERS",
    "OUTPUT_METERS",
    "PROVIDER_CHARACTERS",
    "REQUESTS",
    "UNASSIGNED",
    "UNKNOWN",
    "Book",
    "Cliff",
    "ContractFacts",
    "Dated",
    "Face",
    "Hours",
    "ListedPrice",
    "OfferingFacts",
    "PriceTable",
    "RateCard",
    "Span",
    "Terms",
    "clean_name",
    "discounted",
    "edges",
    "fold",
    "held",
    "offering_name",
    "tidy_provider",
    "tidy_service_tier",
]
