"""OpenRouter: what a client merges into its requests, per use case, and the same as presets.

A request carries `models` (the offering, then its fallbacks), `provider` (who may serve them) and `metadata`, which
comes back with Broadcast. A preset holds the same without the metadata; requests name it as `@preset/SLUG`.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from routing.rules.document import Problem
from routing.rules.exports.fragments import OTHERS, Fragment, fragments, pinned, unfit_for_hosts
from routing.rules.exports.names import Named, slug
from routing.rules.exports.parts import NO, OUT, YES, Form, Frozen, Says, candidates
from routing.rules.exports.written import written

KIND = "openrouter"
VENDORS = {
    "anthropic": "anthropic", "openai": "openai", "google": "google", "deepseek": "deepseek", "mistral": "mistralai",
    "xai": "x-ai", "moonshot": "moonshotai", "zai": "z-ai",
}  # fmt: skip
_OWN = {
    "anthropic": "anthropic", "openai": "openai", "google": "google-ai-studio", "deepseek": "deepseek",
    "mistral": "mistral", "xai": "xai", "moonshot": "moonshotai", "zai": "z-ai",
}  # fmt: skip
PROVIDERS = _OWN | {
    "azure": "azure", "bedrock": "amazon-bedrock", "vertex": "google-vertex", "groq": "groq", "fireworks": "fireworks",
    "together": "together",
}  # fmt: skip
_SERVE_ONLY_THEIRS = frozenset(_OWN.values())
_NO_SLUG = re.compile(r"[^a-z0-9]+")

SAYS: dict[str, Says] = {
    "use_cases": YES, "conditions": NO, "tags": NO, "text_order": NO, "lists": NO, "clock": NO, "window": NO,
    "labels": NO, "split": NO, "sticky": NO, "order": YES, "fallbacks": YES, "over_budget": YES, "block": NO,
    "switches": YES, "timeout": OUT, "params": NO, "travels_back": YES, "limits": OUT,
}  # fmt: skip
REMARKS = {
    "use_cases": "a fragment and a preset for each",
    "conditions": "a request is what it is; let a gateway or a client of Tollkeeper decide, then send the fragment",
    "split": "a request names its models in order, not by shares",
    "window": "nothing there begins or ends by itself; publish when it should",
    "order": "as the order of the models",
    "fallbacks": "as the models after the first",
    "block": "take the key's limit for that",
    "timeout": "the client's own timeout holds",
    "params": "one request has one set of settings, whichever provider answers",
    "travels_back": "in metadata, which Broadcast sends along",
    "limits": "budgets are counted by us alone; what they exceed is taken out",
}


def unfit(frozen: Frozen) -> list[Problem]:
    return unfit_for_hosts(frozen, FORM, _named(frozen), only_own=_SERVE_ONLY_THEIRS)


def render(frozen: Frozen) -> bytes:
    found, _ = fragments(frozen)
    named = _named(frozen)
    slugs = _slugs(found)
    configs = {one.use_case: _config(one, named) for one in found}
    requests = {one.use_case: configs[one.use_case] | {"metadata": one.metadata(frozen)} for one in found}
    return written(
        {
            "tollkeeper": {"environment": frozen.environment, "rules": frozen.stamp},
            "requests": {label or OTHERS: request for label, request in requests.items() if label is not None},
            OTHERS: requests[None],
            "presets": [
                {
                    "slug": slugs[one.use_case],
                    "name": f"Tollkeeper {frozen.environment}: {one.use_case or 'all other use cases'}",
                    "description": f"{frozen.mark(one.line.rule)}, rules {frozen.stamp}",
                    "config": configs[one.use_case],
                }
                for one in found
            ],
        }
    )


def _config(one: Fragment, named: dict[str, Named | None]) -> dict[str, Any]:
    config: dict[str, Any] = {"models": [name.model for offering in one.offerings if (name := named[offering])]}
    provider: dict[str, Any] = {}
    pins = pinned(one, named)
    if pins:
        # `only` keeps the data where the rule sends it; `order` has them tried as the rule names them.
        provider |= {"order": pins, "only": pins}
    provider["allow_fallbacks"] = True
    most = one.line.spec.get("max_usd_per_1k_tokens")
    if most is not None and not one.outcome.of_default:
        # The rule's most is for a mix of tokens, and input is never dearer than the mix: so no host that the rule may
        # be sent to is left out, and one that asks more for input alone is.
        provider["max_price"] = {"prompt": float(Decimal(most) * 1000)}
    return config | {"provider": provider}


def _named(frozen: Frozen) -> dict[str, Named | None]:
    return {name: slug(frozen, name, KIND, VENDORS, PROVIDERS) for name in candidates(frozen)}


def _slugs(found: list[Fragment]) -> dict[str | None, str]:
    """Return a slug for each use case: letters, digits and hyphens, each once."""
    slugs: dict[str | None, str] = {}
    for one in found:
        wanted = _NO_SLUG.sub("-", one.use_case or OTHERS).strip("-") or "use-case"
        free, number = f"tollkeeper-{wanted}", 2
        while free in slugs.values():
            free, number = f"tollkeeper-{wanted}-{number}", number + 1
        slugs[one.use_case] = free
    return slugs


FORM = Form(
    name="openrouter",
    title="OpenRouter",
    kind=KIND,
    media_type="application/json",
    suffix=".json",
    says=SAYS,
    remarks=REMARKS,
    bring_in=(
        (
            "Clients merge the object of their use case into the body of each request; `others` is for use cases that "
            "are not there."
        ),
        (
            "Or make the presets under Settings, Presets (or with POST /api/v1/presets), and name them in requests: "
            '"model": "@preset/SLUG". Then send the metadata along, or usage comes back without its rule.'
        ),
    ),
    unfit=unfit,
    render=render,
)
