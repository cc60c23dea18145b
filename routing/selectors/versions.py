"""Versions: what was published, when and by whom, and what each changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from routing.models import Contribution, Environment, Version
from routing.rules import document
from routing.rules.differences import differences

NOTHING: Mapping[str, Any] = {"rules": [], "default": {"targets": []}, "offerings": {}}


@dataclass(frozen=True, kw_only=True)
class VersionRow:
    """A version without its content."""

    environment: str
    number: int
    base: int | None
    title: str
    reason: str
    published_at: datetime
    published_by: str
    approved_by: str
    rolls_back_to: int | None
    sha256: str
    live: bool
    own_work: bool  # whoever approved it had a hand in its content: duties were not separated


@dataclass(frozen=True, kw_only=True)
class VersionDetail:
    row: VersionRow
    content: Mapping[str, Any]
    changes: tuple[str, ...]  # against its base, in plain words


def newest(*, environment: str, limit: int, before: int | None = None, over: int = 0) -> list[VersionRow]:
    """Return versions with a number under `before` and over `over`, the latest first, without contents. One query."""
    found = _versions().filter(environment__name=environment, number__gt=over).defer("canonical")
    if before is not None:
        found = found.filter(number__lt=before)
    return [_row(version) for version in found.order_by("-number")[:limit]]


def one(*, environment: str, number: int) -> VersionDetail | None:
    """Return a version with its content and what it changed. Two queries."""
    version = _found(environment, number)
    if version is None:
        return None
    content = document.parse(bytes(version.canonical))
    base = content_of(environment=environment, number=version.base)
    return VersionDetail(row=_row(version), content=content, changes=tuple(differences(base, content)))


def live(*, environment: str) -> VersionDetail | None:
    """Return the version in force, None where there is none. Up to three queries."""
    number = live_number(environment=environment)
    return None if number is None else one(environment=environment, number=number)


def live_number(*, environment: str) -> int | None:
    """Return the number of the version in force, None where there is none. One query."""
    return Environment.objects.filter(name=environment).values_list("live_version", flat=True).first()


def content_of(*, environment: str, number: int | None) -> Mapping[str, Any]:
    """Return a version's content; an empty one for None or a version that there is not. At most one query."""
    version = None if number is None else _found(environment, number)
    return NOTHING if version is None else document.parse(bytes(version.canonical))


def with_content(*, environment: str, number: int) -> tuple[VersionRow, Mapping[str, Any]] | None:
    """Return a version and its content, None where there is no such. One query."""
    version = _found(environment, number)
    return None if version is None else (_row(version), document.parse(bytes(version.canonical)))


def compared(*, environment: str, before: int, after: int) -> tuple[str, ...] | None:
    """Return in plain words what differs between any two versions; None where one of them is not. Two queries."""
    found = [_found(environment, number) for number in (before, after)]
    if found[0] is None or found[1] is None:
        return None
    return tuple(differences(*(document.parse(bytes(version.canonical)) for version in found if version)))


def _found(environment: str, number: int) -> Version | None:
    return _versions().filter(environment__name=environment, number=number).first()


def _versions() -> QuerySet[Any]:
    own_work = Contribution.objects.filter(
        proposal__environment=OuterRef("environment"),
        proposal__version=OuterRef("number"),
        by=OuterRef("approved_by"),
    )
    return Version.objects.select_related("environment").annotate(own_work=Exists(own_work))


def _row(version: Any) -> VersionRow:
    return VersionRow(
        environment=version.environment.name,
        number=version.number,
        base=version.base,
        title=version.title,
        reason=version.reason,
        published_at=version.published_at,
        published_by=version.published_by,
        approved_by=version.approved_by,
        rolls_back_to=version.rolls_back_to,
        sha256=bytes(version.sha256).hex(),
        live=version.number == version.environment.live_version,
        own_work=version.own_work,
    )
