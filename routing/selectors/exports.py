"""Rules in the forms of gateways that somebody brings them into: for whom, what fits, and the text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.db.models import Q

from budgets.selectors import enforced
from catalog.models import Gateway, TakesRules
from core.money import plain
from routing.models import StateRevision, Version
from routing.rules import document
from routing.rules.document import Problem
from routing.rules.exports import FORMS, Form, Frozen, Limit
from routing.selectors import state
from routing.serving import documents, loading
from routing.serving.documents import Whole

FORM_OF_KIND: Mapping[str, Form] = {form.kind: form for form in FORMS.values()}
NOT_EXPRESSIBLE = "not-expressible"


@dataclass(frozen=True, kw_only=True)
class Taker:
    """A gateway that takes the rules of an environment in the form of its kind."""

    id: int
    name: str
    environment: str
    form: Form


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A gateway whose keys are of an environment. `form` is None where its kind has none."""

    id: int
    name: str
    kind: str
    takes_rules: str
    form: Form | None


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A form beside a set of rules. `text` is None where they do not fit, and `unfit` then says why.

    `unheld` says which limits of budgets the gateway does not hold by itself, and why; they are in nobody's way.
    """

    form: Form
    unfit: tuple[Problem, ...]
    left_out: tuple[Problem, ...]
    unheld: tuple[Problem, ...]
    text: str | None


def takers(*, at: datetime, environment: str | None = None, gateway_id: int | None = None) -> list[Taker]:
    """Return the gateways that take rules in a form, by environment and name. One query.

    They take those of the environments of their keys that work; retired ones take none.
    """
    found = Gateway.objects.filter(takes_rules=TakesRules.EXPORT, retired_at__isnull=True)
    works = _works(at)
    if environment is not None:
        works &= Q(keys__environment=environment)
    if gateway_id is not None:
        found = found.filter(pk=gateway_id)
    rows = found.filter(works).values_list("id", "name", "kind", "keys__environment").distinct()
    return [
        Taker(id=pk, name=name, environment=one, form=FORM_OF_KIND[kind])
        for pk, name, kind, one in sorted(rows, key=lambda row: (row[3], row[1]))
        if kind in FORM_OF_KIND
    ]


def registered(*, environment: str, at: datetime) -> list[Registered]:
    """Return the gateways whose keys are of an environment, by name, however they take rules. One query."""
    found = Gateway.objects.filter(_works(at), keys__environment=environment, retired_at__isnull=True).distinct()
    rows = found.order_by("name").values_list("id", "name", "kind", "takes_rules")
    return [
        Registered(id=pk, name=name, kind=kind, takes_rules=how, form=FORM_OF_KIND.get(kind))
        for pk, name, kind, how in rows
    ]


def _works(at: datetime) -> Q:
    """Ask for a key that works."""
    return Q(keys__key__revoked_at__isnull=True) & (
        Q(keys__key__expires_at__isnull=True) | Q(keys__key__expires_at__gt=at)
    )


def not_expressible(content: Mapping[str, Any], *, environment: str, at: datetime) -> list[Problem]:
    """Return why gateways that take these rules in a form could not be given them. One query.

    Each reason names the gateways. Asked is what holds whatever the state: what is exceeded or off now is not.
    """
    found: list[Problem] = []
    by_form: dict[str, list[Taker]] = {}
    for taker in takers(at=at, environment=environment):
        by_form.setdefault(taker.form.name, []).append(taker)
    for of_form in by_form.values():
        for one in of_form[0].form.unfit(Frozen(environment, content, None, state.nothing(), at)):
            text = f"the gateway{'s'[: len(of_form) - 1]} {_named(of_form)} cannot be given this: {one.text}"
            found.append(Problem(one.pointer, NOT_EXPRESSIBLE, text))
    return found


def _named(takers: Iterable[Taker]) -> str:
    return ", ".join(taker.name for taker in takers)


def in_force(*, environment: str, at: datetime, gateway: str | None = None) -> Frozen | None:
    """Return what is in force in an environment, None where nothing is. Three queries and those of `limits`."""
    for pointer in loading.pointers(environment=environment):
        return _frozen(pointer, pointer.version, gateway, limits(at=at))
    return None


def of_version(*, environment: str, number: int, at: datetime, gateway: str | None = None) -> Frozen | None:
    """Return a version held to the state that holds now, None where there is no such version. Queries as `in_force`."""
    for pointer in loading.pointers(environment=environment):
        return _frozen(pointer, number, gateway, limits(at=at))
    return None


def limits(*, at: datetime) -> tuple[Limit, ...]:
    """Return the limits of budgets that gateways are held to. One query, two more where labels are in a scope."""
    return tuple(
        Limit(
            budget=one.budget_id,
            name=one.name,
            scope=tuple((dimension, tuple(values)) for dimension, values in sorted(one.match.items())),
            unit=one.unit,
            amount=plain(one.amount),
            period=one.period,
            zone=one.zone,
            fiscal_start_month=one.fiscal_start_month,
            action=one.action,
        )
        for one in enforced.limits(at=at)
    )


def of_file(content: Mapping[str, Any], *, environment: str, at: datetime) -> Frozen:
    """Return a content that is no version, held to nothing."""
    return Frozen(environment, content, None, state.nothing(), at)


def _frozen(
    pointer: loading.Pointer, number: int, gateway: str | None, limits: tuple[Limit, ...] = ()
) -> Frozen | None:
    version = Version.objects.filter(environment_id=pointer.environment_id, number=number).first()
    if version is None:
        return None
    revision = StateRevision.objects.filter(environment_id=pointer.environment_id, revision=pointer.revision).first()
    held: Mapping[str, Any] = state.nothing() if revision is None else document.parse(bytes(revision.canonical))
    return Frozen(
        environment=pointer.name,
        content=document.parse(bytes(version.canonical)),
        version=number,
        state={**held, "revision": pointer.revision},
        at=version.published_at if revision is None else revision.holds_from,
        gateway=gateway,
        limits=limits,
    )


def beside(frozen: Frozen, form: Form) -> Fit:
    """Set a form beside a set of rules. No query."""
    unfit = form.unfit(frozen)
    return Fit(
        form=form,
        unfit=tuple(unfit),
        left_out=tuple(form.left_out(frozen)),
        unheld=tuple(form.unheld(frozen)),
        text=None if unfit else form.render(frozen).decode(),
    )


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A form of what is in force, ready to be answered with; `whole` is None where the rules do not fit it."""

    whole: Whole | None
    unfit: tuple[Problem, ...]


def exported(pointer: loading.Pointer, form: Form, gateway: str | None, *, at: datetime) -> Exported:
    """Return a form of what a pointer points to. No query where it was asked for before, else two.

    Beside them those of `limits`, where the form says them: its tag then changes with them too.
    """
    return _exported(pointer, form.name, gateway, limits(at=at) if form.says_limits else ())


# Whole sets of rules are large: what is asked for again and again is the form of what is in force.
@lru_cache(maxsize=32)
def _exported(pointer: loading.Pointer, form: str, gateway: str | None, limits: tuple[Limit, ...]) -> Exported:
    frozen = _frozen(pointer, pointer.version, gateway, limits)
    assert frozen is not None
    fit = beside(frozen, FORMS[form])
    if fit.text is None:
        return Exported(whole=None, unfit=fit.unfit)
    tag = f"{pointer.version}.{pointer.revision}"
    if limits:
        tag += f"-{hashlib.sha256(json.dumps(limits).encode()).hexdigest()[:8]}"
    whole = documents.tagged(fit.text.encode(), opaque=tag, media_type=FORMS[form].media_type)
    return Exported(whole=whole, unfit=())


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """A gateway that cannot be given the rules in force where it takes them."""

    taker: Taker
    unfit: tuple[Problem, ...]


def misfits(*, at: datetime, environment: str | None = None, gateway_id: int | None = None) -> list[Misfit]:
    """Return the gateways that the rules in force do not fit. One query, one more for each environment, and two more
    for each that was not asked for before.
    """
    pointers: dict[str, loading.Pointer | None] = {}
    found = []
    for taker in takers(at=at, environment=environment, gateway_id=gateway_id):
        if taker.environment not in pointers:
            pointers[taker.environment] = next(iter(loading.pointers(environment=taker.environment)), None)
        pointer = pointers[taker.environment]
        if pointer is not None and (unfit := _exported(pointer, taker.form.name, taker.name, ()).unfit):
            found.append(Misfit(taker=taker, unfit=unfit))
    return found
