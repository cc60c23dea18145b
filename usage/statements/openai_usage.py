"""OpenAI: `GET /v1/organization/usage/completions`, and `/embeddings`, which has the same shape.

`input_tokens` counts all input, cached and cache writes included. Grouping fields are null where the export was not
grouped by them. Requests of a batch are told by `batch`, not by the service tier.
"""

from __future__ import annotations

from collections.abc import Iterator

from catalog.rules.names import tidy_service_tier
from core.errors import Invalid
from usage.statements.buckets import Buckets, read_buckets
from usage.statements.contract import Line, Statement, statement
from usage.statements.values import count, needed, text

COMPLETIONS = "organization.usage.completions.result"
EMBEDDINGS = "organization.usage.embeddings.result"
_ENDPOINTS = {
    COMPLETIONS: "/v1/organization/usage/completions",
    EMBEDDINGS: "/v1/organization/usage/embeddings",
}


def read(content: bytes) -> Statement:
    """Return what an export of completions says. Raises Malformed and Invalid (`contract`)."""
    return _read(content, COMPLETIONS)


def read_embeddings(content: bytes) -> Statement:
    """Return what an export of embeddings says. Raises Malformed and Invalid (`contract`)."""
    return _read(content, EMBEDDINGS)


def _read(content: bytes, kind: str) -> Statement:
    found = read_buckets(content, starts="start_time", ends="end_time", endpoint=_ENDPOINTS[kind])
    return statement(
        _lines(found, kind), whole_days=found.whole_days, partial_days=found.partial_days, notes=found.notes
    )


def demand_kind(given: object, wanted: str, where: str, endpoint: str) -> None:
    """Refuse results of another export of OpenAI's: they all come in the same pages.

    Raises:
        Invalid
    """
    if given != wanted:
        said = f"is {given[:60]!r}" if isinstance(given, str) else "does not say what it is"
        raise Invalid(f"{where} {said}, and {endpoint} gives {wanted!r}: is this another export?", [("format", where)])


def _lines(found: Buckets, kind: str) -> Iterator[Line]:
    embeddings = kind == EMBEDDINGS
    for bucket in found.buckets:
        for where, result in bucket.results:
            demand_kind(result.get("object"), kind, where, _ENDPOINTS[kind])
            tier = tidy_service_tier(text(result, "service_tier", 32))
            yield Line(
                day=bucket.day,
                provider="openai",
                model=text(result, "model", 193),
                key=text(result, "api_key_id", 128),
                project=text(result, "project_id", 128),
                service_tier="batch" if result.get("batch") is True else tier,
                requests=needed(result, "num_model_requests", where),
                input_tokens=needed(result, "input_tokens", where),
                cache_read_tokens=0 if embeddings else count(result, "input_cached_tokens", where, optional=True),
                cache_write_tokens=0 if embeddings else count(result, "input_cache_write_tokens", where, optional=True),
                output_tokens=0 if embeddings else needed(result, "output_tokens", where),
            )
