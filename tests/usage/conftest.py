from collections.abc import Iterator

import pytest

from tests.usage.making import forget_everything


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    """Bookings remember a catalogue, partitions and sources; the next test has others."""
    forget_everything()
    yield
    forget_everything()
