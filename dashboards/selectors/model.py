"""Everything about one model over all of its providers: prices side by side, who uses it, which rules send to it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db.models import Sum

from alerts.selectors import alerts
from alerts.selectors.alerts import AlertRow
from catalog.models import Alias, ClaimState, Model, Price, Provider, UseCase
from catalog.rules import METERS
from catalog.selectors import lists
from catalog.selectors.lists import ContractRow, OfferingRow
from core import periods
from core.models import Organisation
from dashboards.selectors import about as shared
from dashboards.selectors.about import Budgets, Days
from dashboards.selectors.use_case import Part, parts
from routing.selectors import environments, switches, versions
from routing.selectors.switches import SwitchRow
from usage.models import RollupDay
from usage.selectors import about
from usage.selectors.about import Of, Row, Sums
from usage.selectors.overview import share

DEAR = Decimal(2)  # times the cheapest price of a meter, from where on a host is said to be dear
BY_USE_CASE, BY_OFFERING = ("day", "use_case"), ("day", "offering")


@dataclass(frozen=True, kw_only=True)
class Quote:
    """What a meter costs at list at one provider, in USD per million; `times` is of the cheapest (1: it is that)."""

    usd_per_1m: Decimal
    times: Decimal | None  # None: nobody else has a price for the meter, or the cheapest is free

    @property
    def cheapest(self) -> bool:
        return self.times == 1

    @property
    def dear(self) -> bool:
        return self.times is not None and self.times >= DEAR


@dataclass(frozen=True, kw_only=True)
class Host:
    """The model at one provider: its list prices by meter, other terms, and what was used there in the listed days."""

    row: OfferingRow
    provider_title: str
    retired: bool
    means: str  # the offering that its name means now, where it was merged
    quotes: Mapping[str, Quote]
    other_terms: int  # prices in force on other terms than the ordinary ones
    sums: Sums
    share: Decimal | None  # of the model's requests


@dataclass(frozen=True, kw_only=True)
class Sends:
    """A rule in force, or the default (`place` 0), that names the model; `how` says as what."""

    environment: str
    version: int
    place: int
    id: str
    title: str
    how: Sequence[tuple[str, str]]  # (as what, offering)


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A list price that began in the drawn days."""

    day: date
    offering: str
    meter: str
    usd_per_1m: Decimal


@dataclass(frozen=True, kw_only=True)
class ModelPage:
    """One model in full."""

    model: Model
    hosts: Sequence[Host]
    meters: Sequence[str]  # that any of them has an ordinary price for
    days: Days
    by_use_case: Sequence[Row]  # of the drawn days, by (day, use case)
    by_offering: Sequence[Row]
    use_case_names: Mapping[int, str]
    offerings: Mapping[int, str]
    providers: Mapping[int, str]  # of offerings, by offering
    listed: Sums
    all_usd: Decimal  # what everything cost in the listed days
    use_cases: Sequence[Part]
    use_case_ids: Mapping[str, int]
    moved: Sequence[Moved]
    rules: Sequence[Sends]
    switches: Sequence[SwitchRow]
    contracts: Sequence[ContractRow]
    budgets: Budgets
    alerts: Sequence[AlertRow]

    @property
    def share(self) -> Decimal | None:
        return self.listed.cost_usd / self.all_usd if self.all_usd else None


def found(name: str) -> Model | None:
    """Return the model of a name in any case, the very one first; with its default offering. One query."""
    known = Model.objects.select_related("default_offering").filter(name__iexact=name)
    return next(iter(sorted(known, key=lambda one: (one.name != name, one.pk))), None)


def one(*, model: Model, organisation: Organisation, at: datetime, with_rules: bool) -> ModelPage:
    """Return all that is known of a model, and what was booked for it.

    Three reads of sums by their index of offerings or days, and twenty-two other queries at most; one more for each
    environment, and more after a change of budgets.
    """
    days = shared.days_of(at=at, zone=organisation.zone)
    rows = [one for one in lists.offerings(at=at, model=model.name) if one.model == model.name]
    ids = [row.id for row in rows]
    of = Of(offering_ids=ids)
    drawn = about.sums(
        of=of, first=days.first, until=days.until, ways=[BY_USE_CASE, BY_OFFERING], only=["cost_usd", "requests"]
    )
    listed = about.sums(of=of, first=days.listed, until=days.until, ways=[("use_case",), ("offering",)], latencies=True)
    total = about.added(row.sums for row in listed["offering",])
    names = shared.names_of(UseCase, {row.keys[1] for row in drawn[BY_USE_CASE]})
    hosts = _hosts(rows, {row.keys[0]: row.sums for row in listed["offering",]}, total, at)
    used = [(names.get(row.keys[0], ""), row.sums) for row in listed["use_case",]]
    budgets = shared.budgets_of(
        at=at,
        names={
            "model": frozenset([model.name]),
            "offering": frozenset(row.name for row in rows),
            "provider": frozenset(row.provider for row in rows),
            "tier": frozenset(row.tier for row in rows),
        },
        own=["model", "offering"],
        tiers=frozenset(row.tier for row in rows),
    )
    return ModelPage(
        model=model,
        hosts=hosts,
        meters=[meter for meter in METERS if any(meter in host.quotes for host in hosts)],
        days=days,
        by_use_case=drawn[BY_USE_CASE],
        by_offering=drawn[BY_OFFERING],
        use_case_names=names,
        offerings={row.id: row.name for row in rows},
        providers={row.id: row.provider for row in rows},
        listed=total,
        all_usd=_everything(days),
        use_cases=parts(used, total),
        use_case_ids={name: pk for pk, name in names.items()},
        moved=_moved(model, rows, days, organisation.zone),
        rules=_sends({row.name for row in rows}) if with_rules else (),
        switches=_switched(model.name, rows, at),
        contracts=_contracts(rows, at),
        budgets=budgets,
        alerts=alerts.concerning(subjects=[("offering", pk) for pk in ids], budget_ids=budgets.ids),
    )


def _everything(days: Days) -> Decimal:
    spent = RollupDay.objects.filter(day__gte=days.listed, day__lt=days.until).aggregate(usd=Sum("cost_usd"))["usd"]
    return spent or Decimal(0)


def _hosts(rows: Sequence[OfferingRow], sums: Mapping[int, Sums], total: Sums, at: datetime) -> list[Host]:
    """Return the model at each provider, the most used first; those that are retired or merged last."""
    listed: dict[int, dict[str, Decimal]] = {}
    for row in rows:
        usual = [price for price in row.prices if price.is_ordinary(row.region)]
        # A price for the offering's own region goes before one for any.
        listed[row.id] = {price.meter: price.usd_per_1m for price in sorted(usual, key=lambda one: bool(one.region))}
    living = [row for row in rows if not _gone(row, at)]
    cheapest: dict[str, Decimal] = {}
    for meter in METERS:
        asked = [listed[row.id][meter] for row in living if meter in listed[row.id]]
        if len(asked) > 1 and min(asked) > 0:
            cheapest[meter] = min(asked)
    titles = dict(Provider.objects.filter(name__in={row.provider for row in rows}).values_list("name", "title"))
    means = _means(rows, at)
    hosts = [
        Host(
            row=row,
            provider_title=titles.get(row.provider) or row.provider,
            retired=row.retired_at is not None and row.retired_at <= at,
            means=means.get(row.id, ""),
            quotes={
                meter: Quote(
                    usd_per_1m=usd,
                    times=usd / cheapest[meter] if meter in cheapest and not _gone(row, at) else None,
                )
                for meter, usd in listed[row.id].items()
            },
            other_terms=len(row.prices) - len(listed[row.id]),
            sums=sums.get(row.id, Sums()),
            share=share(sums[row.id].requests, total.requests) if row.id in sums else None,
        )
        for row in rows
    ]
    return sorted(
        hosts, key=lambda host: (_gone(host.row, at), -host.sums.cost_usd, -host.sums.requests, host.row.name)
    )


def _gone(row: OfferingRow, at: datetime) -> bool:
    return row.state == ClaimState.MERGED or (row.retired_at is not None and row.retired_at <= at)


def _means(rows: Sequence[OfferingRow], at: datetime) -> dict[int, str]:
    """Return what the names of merged offerings mean now. One query, none where none was merged."""
    merged = {f"{row.provider}/{row.model}".lower(): row.id for row in rows if row.state == ClaimState.MERGED}
    if not merged:
        return {}
    known = Alias.objects.filter(name__in=merged, valid__contains=at).values_list("name", "offering__name")
    return {merged[name]: offering for name, offering in known}


def _moved(model: Model, rows: Sequence[OfferingRow], days: Days, zone: str) -> list[Moved]:
    """Return the ordinary list prices that began in the drawn days, in order. One query."""
    begun: Any = (
        Price.objects.filter(
            series__model=model,
            series__contract__isnull=True,
            series__hour_window__isnull=True,
            series__context_over__isnull=True,
            series__service_tier__isnull=True,
            recorded__upper_inf=True,
            valid__startswith__gte=periods.day_start(days.first, zone),
            valid__startswith__lt=periods.day_start(days.until, zone),
        )
        .select_related("series__provider")
        .order_by("valid", "id")
    )
    names = {row.provider: row.name for row in rows}
    return [
        Moved(
            day=periods.local_day(price.valid.lower, zone),
            offering=names.get(price.series.provider.name, price.series.provider.name),
            meter=price.series.meter,
            usd_per_1m=price.usd_per_1m,
        )
        for price in begun
    ]


def _sends(names: Collection[str]) -> list[Sends]:
    """Return the rules in force that name one of the offerings. Two queries, and one for each environment."""
    found = []
    for environment in environments.listed():
        if environment.live_version is None:
            continue
        content = versions.content_of(environment=environment.name, number=environment.live_version)
        for place, rule in [*enumerate(content["rules"], 1), (0, content["default"])]:
            how = [(words, offering) for words, offering in _named(rule) if offering in names]
            if how:
                found.append(
                    Sends(
                        environment=environment.name,
                        version=environment.live_version,
                        place=place,
                        id=rule.get("id", "default"),
                        title=rule.get("title", ""),
                        how=list(dict.fromkeys(how)),
                    )
                )
    return found


def _named(rule: Mapping[str, Any]) -> list[tuple[str, str]]:
    over = rule.get("over_budget") or {}
    return [
        *(("target", one["offering"]) for one in rule.get("targets") or ()),
        *(("target over budget", one["offering"]) for one in over.get("targets") or ()),
        *(("fallback", name) for name in rule.get("fallbacks") or ()),
    ]


def _switched(model: str, rows: Sequence[OfferingRow], at: datetime) -> list[SwitchRow]:
    """Return the words in force on the model, its offerings or its providers. One query."""
    meant = {("model", model)}
    meant |= {("offering", row.name) for row in rows} | {("provider", row.provider) for row in rows}
    return [one for one in switches.in_force(at=at) if (one.kind, one.name) in meant]


def _contracts(rows: Sequence[OfferingRow], at: datetime) -> list[ContractRow]:
    """Return what contracts say of its providers and offerings now; those of a gateway hold for every model."""
    names, providers = {row.name for row in rows}, {row.provider for row in rows}
    return [
        one
        for one in lists.contracts(at=at)
        if one.offering in names
        or one.provider in providers
        or (one.gateway is not None and one.discount_percent is not None)
    ]
