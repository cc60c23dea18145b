"""What rules do with a request: those in force with the state that gateways have, or a content on its way."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from core.errors import Invalid, NotFound
from routing.models import Environment, StateRevision, Version
from routing.rules import document, evaluator
from routing.rules.evaluator import Compiled, Decision
from routing.selectors import state


class NoVersion(NotFound):
    """Nothing was published there yet, or not that version."""

    code = "no-version"


def live(*, environment: str, context: Mapping[str, Any], at: datetime) -> Decision:
    """Return what the version in force decides at `at`, with every step. One query, two more after a change.

    Raises:
        NoVersion: there is none.
        Invalid: the request breaks `context.schema.json`, with every place.
    """
    _readable(context)
    found = Environment.objects.filter(name=environment).values_list("pk", "live_version", "state_revision").first()
    if found is None or found[1] is None:
        raise NoVersion(f"No rules were published in {environment} yet.")
    environment_id, number, revision = found
    return _compiled(environment_id, environment, number, revision).explain(context, at)


def past(*, environment: str, number: int, revision: int | None, context: Mapping[str, Any], at: datetime) -> Decision:
    """Return what a version decides at `at`, with every step, held to a state revision: to that of `at` without one.

    One query, one more without a revision, two more for what was not asked for lately.

    Raises:
        NoVersion: that one was never published there.
        Invalid: the request breaks `context.schema.json`, with every place.
    """
    versions = Version.objects.filter(environment__name=environment, number=number)
    environment_id = versions.values_list("environment_id", flat=True).first()
    if environment_id is None:
        raise NoVersion(f"Version {number} was never published in {environment}.")
    _readable(context)
    if revision is None:
        held = StateRevision.objects.filter(environment=environment_id, holds_from__lte=at)
        revision = held.order_by("-revision").values_list("revision", flat=True).first() or 0
    return _compiled(environment_id, environment, number, revision).explain(context, at)


def trial(*, content: Mapping[str, Any], environment: str, context: Mapping[str, Any], at: datetime) -> Decision:
    """Return what a content in the schema would decide at `at`, held to the present state. As version 0; few queries.

    Raises:
        Invalid: the request breaks `context.schema.json`, with every place.
    """
    _readable(context)
    told = state.of(environment=environment, at=at)
    return evaluator.compile(_document(environment, 0, at, content, told, 0)).explain(context, at)


def _readable(context: Mapping[str, Any]) -> None:
    problems = document.schema_problems("context", context)
    if problems:
        raise Invalid("This request cannot be read.", [(one.pointer, one.text) for one in problems])


# Versions and revisions never change, so what was compiled of them never gets old.
@lru_cache(maxsize=16)
def _compiled(environment_id: int, environment: str, number: int, revision: int) -> Compiled:
    version = Version.objects.get(environment=environment_id, number=number)
    held = StateRevision.objects.filter(environment=environment_id, revision=revision).first()
    told = state.nothing() if held is None else document.parse(bytes(held.canonical))
    content = document.parse(bytes(version.canonical))
    return evaluator.compile(_document(environment, number, version.published_at, content, told, revision))


def _document(
    environment: str,
    number: int,
    published_at: datetime,
    content: Mapping[str, Any],
    told: Mapping[str, Any],
    revision: int,
) -> dict[str, Any]:
    return {
        "spec": document.SPEC,
        "environment": environment,
        "version": number,
        "published_at": state.instant(published_at),
        **content,
        "state": {**told, "revision": revision},
    }
