"""What the demo's providers say of the last two months, in exports of their own, for the page Reconciliation.

They nearly say what the ledger says. What differs is what differs in life: calls that broke off and were charged all
the same, a key that no gateway knows, and a contract whose terms have not reached the provider's own reckoning.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from controlplane.seed import company
from controlplane.seed.story import SERVED, Plan
from core import periods
from usage.selectors.spend import SpendAsk, SpendRow, Sums, spends
from usage.services import statements

BROKEN_OFF = 150  # one call in so many
PAST_THE_GATEWAYS = "gpt-4.1-mini"
EMBEDDING = "text-embedding-3-small"
_BY = f"finance@{company.DOMAIN}"
_ONE_DAY = timedelta(days=1)
_OUTPUT_SHARE = Decimal("0.6")  # of a model's cost, which its export splits into input and output
_CENT_OF_A_CENT = Decimal("0.0001")

_Days = dict[date, list[tuple[str, Sums]]]  # by UTC day: models in the provider's words, with what we booked


def bring(plan: Plan) -> None:
    """Import what OpenAI and Anthropic would export of the days that are over. Safe to repeat: the same files again."""
    yesterday = plan.now.astimezone(UTC).date() - _ONE_DAY
    for first in plan.months[1:]:
        last = min(yesterday, periods.add_months(first, 1) - _ONE_DAY)
        if last < first:
            continue
        openai, anthropic = _booked(first, last)
        chat = {day: [one for one in models if one[0] != EMBEDDING] for day, models in openai.items()}
        embeddings = {day: [one for one in models if one[0] == EMBEDDING] for day, models in openai.items()}
        for format_, content in (
            ("openai-usage", _openai(chat, _completions)),
            ("openai-embeddings", _openai(embeddings, _embeddings)),
            ("openai-costs", _openai(openai, _openai_costs)),
            ("anthropic-usage", _anthropic(anthropic, _messages)),
            ("anthropic-costs", _anthropic(anthropic, _anthropic_costs)),
        ):
            statements.import_file(
                content=content, format=format_, file_name=f"{format_}-{first:%Y-%m}.json", by=_BY, at=plan.now
            )


def _booked(first: date, last: date) -> tuple[_Days, _Days]:
    asks = [
        SpendAsk(
            starts_at=_midnight(first), ends_at=_midnight(last + _ONE_DAY), zone="UTC", group_by=("model", "day"),
            filters={"provider": (provider,), "status": ("ok", "error")},
        )
        for provider in ("openai", "anthropic")
    ]  # fmt: skip
    openai, anthropic = (_by_day(answer.rows, first, last) for answer in spends(asks=asks))
    return openai, anthropic


def _by_day(rows: Iterable[SpendRow], first: date, last: date) -> _Days:
    found: _Days = {first + _ONE_DAY * n: [] for n in range((last - first).days + 1)}
    for row in rows:
        model = row.keys["model"] or ""
        name = SERVED[model].model if model in SERVED else model
        found[date.fromisoformat(row.keys["day"] or "")].append((name, row.sums))
    return found


def _lost(sums: Sums) -> int:
    return (sums.requests + BROKEN_OFF // 2) // BROKEN_OFF


def _charged(sums: Sums) -> Mapping[str, int]:
    """Return what was used, with the calls that broke off: input was read, and half of an answer was written."""
    lost = _lost(sums)
    per_call = max(1, sums.requests)
    return {
        "requests": sums.requests + lost,
        "input": sums.input_tokens + lost * sums.input_tokens // per_call,
        "output": sums.output_tokens + lost * sums.output_tokens // per_call // 2,
        "cached": sums.cache_read_input_tokens or 0,
        "written": (sums.cache_write_5m_input_tokens or 0) + (sums.cache_write_1h_input_tokens or 0),
    }


def _completions(day: date, models: list[tuple[str, Sums]]) -> list[dict[str, Any]]:
    results = []
    for name, sums in models:
        used = _charged(sums)
        results.append(
            {
                "object": "organization.usage.completions.result", "model": name, "batch": False,
                "input_tokens": used["input"], "input_cached_tokens": used["cached"],
                "input_cache_write_tokens": used["written"], "output_tokens": used["output"],
                "num_model_requests": used["requests"], "project_id": "proj_nordlicht",
                "api_key_id": "key_litellm_main", "user_id": None, "service_tier": "default",
            }
        )  # fmt: skip
    if day.isoweekday() <= 5:  # somebody's notebook, at work
        results.append(
            {
                "object": "organization.usage.completions.result", "model": PAST_THE_GATEWAYS, "batch": False,
                "input_tokens": 40_000 + 900 * day.day, "input_cached_tokens": 0, "input_cache_write_tokens": 0,
                "output_tokens": 6_000 + 70 * day.day, "num_model_requests": 20 + day.day,
                "project_id": "proj_data_science", "api_key_id": "key_notebook", "user_id": None,
                "service_tier": "default",
            }
        )  # fmt: skip
    return results


def _embeddings(day: date, models: list[tuple[str, Sums]]) -> list[dict[str, Any]]:
    return [
        {
            "object": "organization.usage.embeddings.result", "model": name, "input_tokens": sums.input_tokens,
            "num_model_requests": sums.requests, "project_id": "proj_nordlicht", "api_key_id": "key_litellm_main",
            "user_id": None,
        }
        for name, sums in models
    ]  # fmt: skip


def _cost(provider: str, sums: Sums) -> Decimal:
    """Return what the provider charges: at list prices where the contract's have not reached it."""
    cost = sums.list_cost_usd if provider == company.CONTRACT_PROVIDER else sums.cost_usd
    whole = cost or Decimal(0)
    return (whole + whole * _lost(sums) / max(1, sums.requests)).quantize(_CENT_OF_A_CENT)


def _openai_costs(day: date, models: list[tuple[str, Sums]]) -> list[dict[str, Any]]:
    items = []
    for name, sums in models:
        cost = _cost("openai", sums)
        output = Decimal(0) if name == EMBEDDING else (cost * _OUTPUT_SHARE).quantize(_CENT_OF_A_CENT)
        items += [(f"{name}, input", cost - output), (f"{name}, output", output)]
    if day.isoweekday() <= 5:
        items.append((f"{PAST_THE_GATEWAYS}, input", Decimal("0.4") + Decimal(day.day) / 100))
    return [
        {
            "object": "organization.costs.result", "line_item": item, "amount": {"value": str(cost), "currency": "usd"},
            "project_id": None, "api_key_id": None, "quantity": None, "quantity_unit": None,
        }
        for item, cost in items
        if cost
    ]  # fmt: skip


def _messages(day: date, models: list[tuple[str, Sums]]) -> list[dict[str, Any]]:
    results = []
    for name, sums in models:
        used = _charged(sums)
        results.append(
            {
                "model": name, "uncached_input_tokens": used["input"] - used["cached"] - used["written"],
                "cache_read_input_tokens": used["cached"],
                "cache_creation": {
                    "ephemeral_5m_input_tokens": used["written"], "ephemeral_1h_input_tokens": 0,
                },
                "output_tokens": used["output"], "server_tool_use": {"web_search_requests": sums.web_searches or 0},
                "api_key_id": "apikey_litellm_main", "workspace_id": None, "service_tier": "standard",
                "context_window": None,
            }
        )  # fmt: skip
    return results


def _anthropic_costs(day: date, models: list[tuple[str, Sums]]) -> list[dict[str, Any]]:
    return [
        {
            "currency": "USD", "amount": str(_cost("anthropic", sums) * 100), "model": name, "workspace_id": None,
            "description": f"{name} usage", "cost_type": "tokens", "token_type": None, "service_tier": "standard",
            "context_window": None,
        }
        for name, sums in models
    ]  # fmt: skip


def _openai(days: _Days, results: Any) -> bytes:
    return _page(
        {
            "object": "bucket", "start_time": int(_midnight(day).timestamp()),
            "end_time": int(_midnight(day + _ONE_DAY).timestamp()), "results": results(day, models),
        }
        for day, models in days.items()
    )  # fmt: skip


def _anthropic(days: _Days, results: Any) -> bytes:
    return _page(
        {
            "starting_at": _midnight(day).isoformat(), "ending_at": _midnight(day + _ONE_DAY).isoformat(),
            "results": results(day, models),
        }
        for day, models in days.items()
    )  # fmt: skip


def _page(buckets: Iterable[dict[str, Any]]) -> bytes:
    return json.dumps({"object": "page", "data": list(buckets), "has_more": False, "next_page": None}).encode()


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)
