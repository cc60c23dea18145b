"""A small ledger with its rollups, written by SQL alone: none of the code under test takes part."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from catalog.models import Gateway, Model, Offering, Provider, Team, UseCase
from usage.rules.postings import LATENCY_BOUNDS_MS

TIERS = {"gpt-5.5@openai": 1, "claude-sonnet-4.6@anthropic": 2, "deepseek-v4-flash@deepseek": 3, "mystery@openai": 0}


@dataclass(kw_only=True)
class Names:
    """Ids of what entries are about, by name."""

    use_cases: dict[str, int]
    teams: dict[str, int]
    offerings: dict[str, int]
    gateways: dict[str, int]


def make_names() -> Names:
    offerings = {}
    for name in TIERS:
        model_name, provider_name = name.split("@")
        model, _ = Model.objects.get_or_create(name=model_name)
        provider, _ = Provider.objects.get_or_create(name=provider_name)
        offerings[name] = Offering.objects.create(name=name, model=model, provider=provider).pk
    created_at = datetime(2026, 1, 1, tzinfo=UTC)
    return Names(
        use_cases={
            name: UseCase.objects.create(name=name, folded=name.casefold()).pk
            for name in ("support-routing", "code-review", "Übersetzung")
        },
        teams={name: Team.objects.create(name=name, folded=name).pk for name in ("support", "platform")},
        offerings=offerings,
        gateways={
            name: Gateway.objects.get_or_create(name=name, defaults={"created_at": created_at})[0].pk
            for name in ("edge", "batch")
        },
    )


def make_entries(names: Names, *, starts_at: datetime, ends_at: datetime, count: int, seed: int = 7) -> None:
    """Put entries at random instants of [starts_at, ends_at) into the ledger; a tenth is unpriced."""
    chance = random.Random(seed)
    seconds = int((ends_at - starts_at).total_seconds())
    for number in range(count):
        offering = chance.choice(list(names.offerings))
        priced = offering != "mystery@openai"
        cost = f"{chance.randrange(1, 10**12)}e-18" if priced else None
        make_entry(
            names,
            id=number + 1,
            at=starts_at + timedelta(seconds=chance.randrange(seconds)),
            use_case_id=chance.choice(list(names.use_cases.values())),
            team_id=chance.choice(list(names.teams.values())),
            gateway_id=chance.choice(list(names.gateways.values())),
            offering_id=names.offerings[offering],
            tier=TIERS[offering],
            status=chance.choice([1, 1, 1, 2, 4]),
            cost_usd=cost,
            list_cost_usd=cost,
            unpriced=0 if priced else 1,
            rule=chance.choice(["", "code-high"]),
            task=chance.choice(["", "code", "summary"]),
            uncached_input_tokens=chance.randrange(2000),
            cache_read_tokens=chance.randrange(1000),
            image_input_tokens=chance.choice([0, 0, 300]),
            output_tokens=chance.randrange(500),
            audio_output_tokens=chance.choice([0, 0, 40]),
            tags=chance.choice(['{"cost_centre": "4711"}', '{"cost_centre": "0815", "env": "prod"}', None]),
        )


def make_entry(names: Names, *, at: datetime, **given: Any) -> None:
    values: dict[str, Any] = {
        "use_case_id": names.use_cases["support-routing"],
        "booked_at": at,
        "id": 1,
        "kind": 1,
        "occurred_at": at,
        "source_id": 1,
        "gateway_id": names.gateways["edge"],
        "environment": "production",
        "team_id": names.teams["support"],
        "offering_id": names.offerings["gpt-5.5@openai"],
        "tier": 1,
        "status": 1,
        "requested_model": "auto",
        "requests": 1,
        "counted": True,
        "service_tier": "",
        "cost_usd": "0.001",
        "list_cost_usd": "0.001",
        "avoided_usd": 0,
        "unpriced": 0,
        "task": "",
        "sticky_key": "",
        "user_key": "",
        "rules_version": 42,
        "state_revision": 0,
        "rule": "",
        "reason": "",
        "fallback_index": 0,
        "call_group": "",
        "event_id": "",
    } | given
    columns = ", ".join(values)
    places = ", ".join(["%s"] * len(values))
    with connection.cursor() as cursor:
        cursor.execute("SELECT usage_make_partitions(%s, %s)", [at.date(), at.date()])
        cursor.execute(f"INSERT INTO ledger ({columns}) VALUES ({places})", list(values.values()))


_METERS = (
    "uncached_input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens",
    "audio_input_tokens", "audio_output_tokens", "image_input_tokens", "image_output_tokens", "requests",
    "web_searches",
)  # fmt: skip
_INPUT = (
    "uncached_input_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens + audio_input_tokens"
    " + image_input_tokens"
)
_OUTPUT = "output_tokens + audio_output_tokens + image_output_tokens"
_KEY = (
    "use_case_id, {time}, offering_id, team_id, gateway_id, tier, status, rules_version, "
    "coalesce(extract(year FROM correction_of) * 100 + extract(month FROM correction_of), 0), environment, rule, "
    "reason, task, requested_model"
)
_KEY_COLUMNS = (
    "use_case_id, {name}, offering_id, team_id, gateway_id, tier, status, rules_version, correction_of, environment, "
    "rule, reason, task, requested_model"
)
_SUMS = (
    ", ".join(f"sum({meter})" for meter in _METERS)
    + ", coalesce(sum(reasoning_tokens), 0), coalesce(sum(cost_usd), 0), coalesce(sum(list_cost_usd), 0)"
    + ", sum(avoided_usd), coalesce(sum(reported_cost_usd), 0)"
    + f", coalesce(sum({_INPUT} + {_OUTPUT}) FILTER (WHERE unpriced > 0), 0)"
    + ", coalesce(sum(requests) FILTER (WHERE unpriced > 0), 0)"
    + ", coalesce(sum(requests) FILTER (WHERE NOT counted), 0)"
    + ", coalesce(sum(requests) FILTER (WHERE fallback_index > 0), 0)"
    + ", coalesce(sum(latency_ms * sign(requests)), 0), ARRAY["
    + ", ".join(
        f"coalesce(sum(sign(requests)) FILTER (WHERE latency_ms > {low} AND latency_ms <= {high}), 0)::bigint"
        for low, high in zip((-1, *LATENCY_BOUNDS_MS), (*LATENCY_BOUNDS_MS, 2**31 - 1), strict=True)
    )
    + "]"
)
_SUM_COLUMNS = ", ".join(_METERS) + (
    ", reasoning_tokens, cost_usd, list_cost_usd, avoided_usd, reported_cost_usd, unpriced_tokens, unpriced_requests,"
    " uncounted_requests, fallback_requests, latency_ms, latency_histogram"
)


def roll_up(*, zone: str = "UTC", tags: tuple[str, ...] = ()) -> None:
    """Sum the ledger by quarter hours, by days of a zone, and by values of tags, with PostgreSQL's own calendar."""
    tables = {
        "rollup_15min": ("bucket", "date_bin('15 minutes', booked_at, '2000-01-01Z')"),
        "rollup_day": ("day", f"(booked_at AT TIME ZONE '{zone}')::date"),
    }
    with connection.cursor() as cursor:
        for table, (name, time) in tables.items():
            key = _KEY.format(time=time)
            cursor.execute(
                f"INSERT INTO {table} ({_KEY_COLUMNS.format(name=name)}, {_SUM_COLUMNS}) "
                f"SELECT {key}, {_SUMS} FROM ledger GROUP BY {key}"
            )
        for tag in tags:
            key = (
                f"use_case_id, (booked_at AT TIME ZONE '{zone}')::date, tags ->> '{tag}', offering_id, team_id, "
                "gateway_id, tier, status"
            )
            cursor.execute(
                "INSERT INTO rollup_day_tag (use_case_id, day, value, offering_id, team_id, gateway_id, tier, status, "
                "tag, requests, input_tokens, output_tokens, cost_usd, unpriced_tokens, uncounted_requests) "
                f"SELECT {key}, '{tag}', sum(requests), sum({_INPUT}), sum({_OUTPUT}), coalesce(sum(cost_usd), 0), "
                f"coalesce(sum({_INPUT} + {_OUTPUT}) FILTER (WHERE unpriced > 0), 0), 0 "
                f"FROM ledger WHERE tags ? '{tag}' GROUP BY {key}"
            )


def ledger_total(*, starts_at: datetime, ends_at: datetime) -> tuple[int, Any, int]:
    """Return requests, cost and tokens of the range, straight from the ledger."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT sum(requests), sum(cost_usd), sum({_INPUT} + {_OUTPUT}) FROM ledger "
            "WHERE booked_at >= %s AND booked_at < %s",
            [starts_at, ends_at],
        )
        requests, cost, tokens = cursor.fetchone()
    return int(requests), cost, int(tokens)
