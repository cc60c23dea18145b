"""Vercel AI Gateway: the model and `providerOptions` of a request, per use case.

`providerOptions.gateway` carries the fallback models, who may serve them, and tags, which come back in its report;
a rule's settings by provider stand beside it under the provider's name, where the AI SDK reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from routing.rules.document import Problem
from routing.rules.exports.fragments import OTHERS, Fragment, fragments, pinned, unfit_for_hosts
from routing.rules.exports.names import Named, slug
from routing.rules.exports.parts import NO, OUT, YES, Form, Frozen, Says, candidates, parts_of
from routing.rules.exports.written import written

KIND = "vercel"
VENDORS = {
    "anthropic": "anthropic", "openai": "openai", "google": "google", "deepseek": "deepseek", "mistral": "mistral",
    "xai": "xai", "moonshot": "moonshotai", "zai": "zai",
}  # fmt: skip
PROVIDERS = VENDORS | {
    "azure": "azure", "bedrock": "bedrock", "vertex": "vertex", "groq": "groq", "fireworks": "fireworks",
    "together": "togetherai",
}  # fmt: skip
_SERVE_ONLY_THEIRS = frozenset(VENDORS.values())

SAYS: dict[str, Says] = {
    "use_cases": YES, "conditions": NO, "tags": NO, "text_order": NO, "lists": NO, "clock": NO, "window": NO,
    "labels": NO, "split": NO, "sticky": NO, "order": YES, "fallbacks": YES, "over_budget": YES, "block": NO,
    "switches": YES, "timeout": OUT, "params": YES, "travels_back": YES, "limits": OUT,
}  # fmt: skip
REMARKS = {
    "use_cases": "a fragment for each",
    "conditions": "a request is what it is; let a client of Tollkeeper decide, then send the fragment",
    "split": "a request names its models in order, not by shares",
    "window": "nothing there begins or ends by itself; publish when it should",
    "order": "as model, then models",
    "fallbacks": "as models, in order",
    "block": "take its budgets for that",
    "timeout": "the client's own timeout holds",
    "params": "beside gateway in providerOptions, under the provider's name",
    "travels_back": "in tags, which its report groups by",
    "limits": "budgets are counted by us alone; what they exceed is taken out",
}


def unfit(frozen: Frozen) -> list[Problem]:
    return unfit_for_hosts(frozen, FORM, _named(frozen), only_own=_SERVE_ONLY_THEIRS, also=_settings(frozen))


def render(frozen: Frozen) -> bytes:
    found, _ = fragments(frozen)
    named = _named(frozen)
    requests = {one.use_case: _request(frozen, one, named) for one in found}
    return written(
        {
            "tollkeeper": {"environment": frozen.environment, "rules": frozen.stamp},
            "requests": {label: request for label, request in requests.items() if label is not None},
            OTHERS: requests[None],
        }
    )


def _settings(frozen: Frozen) -> Iterator[Problem]:
    """Give a reason for settings of a provider whose name in the AI SDK is not the gateway's."""
    for place, rule in parts_of(frozen):
        for provider, settings in (rule.get("params") or {}).items():
            if settings and provider not in VENDORS:
                text = f"calls to {provider} get settings; the AI SDK reads those of {', '.join(VENDORS)}"
                yield Problem(f"{place}/params", "params", text)


def _request(frozen: Frozen, one: Fragment, named: Mapping[str, Named | None]) -> dict[str, Any]:
    models = [name.model for offering in one.offerings if (name := named[offering])]
    gateway: dict[str, Any] = {"models": models[1:]} if models[1:] else {}
    pins = pinned(one, named)
    if pins:
        gateway |= {"order": pins, "only": pins}
    gateway["tags"] = [f"{name}:{value}" for name, value in one.metadata(frozen).items()]
    options: dict[str, Any] = {"gateway": gateway}
    for provider, settings in one.line.params(one.outcome).items():
        if settings and PROVIDERS.get(provider) in pins:
            options[PROVIDERS[provider]] = settings
    return {"model": models[0], "providerOptions": options}


def _named(frozen: Frozen) -> dict[str, Named | None]:
    return {name: slug(frozen, name, KIND, VENDORS, PROVIDERS) for name in candidates(frozen)}


FORM = Form(
    name="vercel",
    title="Vercel AI Gateway",
    kind=KIND,
    media_type="application/json",
    suffix=".json",
    says=SAYS,
    remarks=REMARKS,
    bring_in=(
        (
            "Have the application read this file (or this address) and pass `model` and `providerOptions` of its use "
            "case to generateText or streamText; `others` is for use cases that are not there."
        ),
    ),
    unfit=unfit,
    render=render,
)
