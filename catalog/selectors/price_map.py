"""The table of prices that LiteLLM proxies fetch: the newest of LiteLLM's own that was read here, with our prices."""

from __future__ import annotations

import zlib
from datetime import datetime
from functools import lru_cache

from catalog.models import Offering, SourceTable
from catalog.selectors import snapshot
from catalog.sources import litellm_map, litellm_table

PURPOSE = "price-map"  # what the token in its address opens


def litellm(*, at: datetime) -> bytes | None:
    """Return the table as of the hour of `at`, None where none of LiteLLM's was read yet.

    Two queries where nothing changed since it was asked for last, else some twenty.
    """
    found = SourceTable.objects.filter(source=litellm_table.SOURCE, content__isnull=False)
    digest = found.values_list("digest", flat=True).first()
    if digest is None:
        return None
    return _merged(digest, snapshot.revision(), at.replace(minute=0, second=0, microsecond=0))


# Some megabytes, which a fleet of proxies asks for at the same time.
@lru_cache(maxsize=1)
def _merged(digest: str, revision: int, at: datetime) -> bytes | None:
    table = SourceTable.objects.filter(source=litellm_table.SOURCE, digest=digest).values_list("content", flat=True)
    content = table.first()
    if content is None:
        return None  # another was read meanwhile
    names = {
        pk: names["litellm"]
        for pk, names in Offering.objects.values_list("id", "gateway_names")
        if isinstance(names, dict) and names.get("litellm")
    }
    return litellm_map.merged(zlib.decompress(bytes(content)), book=snapshot.load(), names=names, at=at)
