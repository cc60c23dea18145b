"""LiteLLM's configuration file: a model group per use case, for proxies that run without our hook.

Clients ask for the group of their use case, or for `auto`. A group's deployments share its requests by weight, each
fallback is a group of its own, and the id of every deployment says rule, version, state and use case: it comes back
with usage. A proxy reads the file when it starts, so what is exceeded or switched off is that of its last start.

# Note [What the file leaves to the proxy]
Keys and addresses of providers are references to variables of the proxy's environment, named as LiteLLM names them; so
are our own address and key. Bedrock's are named apart: the usual names hold what the file itself is fetched with.
Tag filtering is not used: turned on for all groups it fails each call whose tags no deployment has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import gcd
from typing import Any

from routing.rules.document import Problem
from routing.rules.exports.fragments import Fragment, fragments
from routing.rules.exports.names import Named, nameless
from routing.rules.exports.parts import NO, OUT, YES, Form, Frozen, Says, all_once, candidates, parts_of
from routing.rules.exports.plan import Outcome
from routing.rules.exports.written import written

KIND = "litellm"
AUTO = "auto"  # the group of all use cases that no rule names
_GROUP = re.compile(r"[a-z0-9](?:[a-z0-9 ._-]{0,126}[a-z0-9])?")  # no prefix of a provider, no pattern, none of ours

# What LiteLLM calls a provider -> the variables that LiteLLM's own documentation names for it.
_VARIABLES: Mapping[str, Mapping[str, str]] = {
    "openai": {"api_key": "OPENAI_API_KEY"},
    "anthropic": {"api_key": "ANTHROPIC_API_KEY"},
    "gemini": {"api_key": "GEMINI_API_KEY"},
    "deepseek": {"api_key": "DEEPSEEK_API_KEY"},
    "mistral": {"api_key": "MISTRAL_API_KEY"},
    "xai": {"api_key": "XAI_API_KEY"},
    "moonshot": {"api_key": "MOONSHOT_API_KEY"},
    "zai": {"api_key": "ZAI_API_KEY"},
    "groq": {"api_key": "GROQ_API_KEY"},
    "fireworks_ai": {"api_key": "FIREWORKS_AI_API_KEY"},
    "together_ai": {"api_key": "TOGETHERAI_API_KEY"},
    "openrouter": {"api_key": "OPENROUTER_API_KEY"},
    "azure": {"api_key": "AZURE_API_KEY", "api_base": "AZURE_API_BASE", "api_version": "AZURE_API_VERSION"},
    "vertex_ai": {"vertex_project": "VERTEXAI_PROJECT", "vertex_location": "VERTEXAI_LOCATION"},
    "bedrock": {
        "aws_access_key_id": "BEDROCK_AWS_ACCESS_KEY_ID",
        "aws_secret_access_key": "BEDROCK_AWS_SECRET_ACCESS_KEY",
        "aws_region_name": "BEDROCK_AWS_REGION",
    },
}
_NOT_A_VARIABLE = re.compile(r"[^A-Z0-9]+")
# Settings that say where a call goes, with whose key, or which deployment takes it, and no model's parameter.
_NO_SETTING = re.compile(
    r"model|messages|.*api_key|api_base|base_url|api_version|aws_.*|vertex_.*|organization|custom_llm_provider|weight|"
    r"order|tags|timeout|stream_timeout|max_retries|rpm|tpm|mock_.*|max_budget|budget_duration|.*router.*|extra_headers"
)
# Rules have no numbers with a fraction: these are text there.
_FRACTIONS = frozenset(("temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty"))

SAYS: dict[str, Says] = {
    "use_cases": YES, "conditions": NO, "tags": NO, "text_order": NO, "lists": NO, "clock": NO, "window": NO,
    "labels": NO, "split": YES, "sticky": NO, "order": YES, "fallbacks": YES, "over_budget": YES, "block": YES,
    "switches": YES, "timeout": YES, "params": YES, "travels_back": YES, "limits": OUT,
}  # fmt: skip
REMARKS = {
    "use_cases": "a model group for each, which clients ask for by its name; `auto` is for all others",
    "conditions": "a group is chosen by its name alone; the hook of clients/litellm decides by the request",
    "clock": "the file is read when the proxy starts",
    "window": "the file is read when the proxy starts; publish when it should begin, and restart",
    "split": "as weights of deployments",
    "sticky": "it draws lots for each request",
    "order": "as the group's fallbacks",
    "over_budget": "as of the proxy's last start",
    "block": "the group is left out, so that its calls are refused, as of the proxy's last start",
    "switches": "as of the proxy's last start",
    "timeout": "of each deployment",
    "params": "as parameters of the deployment",
    "travels_back": "in the deployment's id",
    "limits": "budgets are counted by us alone; what they exceed is taken out",
}


def unfit(frozen: Frozen) -> list[Problem]:
    problems = [*FORM.refused(frozen), *_settings(frozen)]
    nowhere = list(nameless(frozen, FORM.title, KIND, {name: _named(frozen, name) for name in candidates(frozen)}))
    if problems:
        return all_once(problems, nowhere)
    found, told = fragments(frozen)
    # Shares and blocking are said here, other than in the forms that have one way per use case.
    return all_once(nowhere, (one for one in told if one.code not in ("split", "block")), _shapes(found))


def render(frozen: Frozen) -> bytes:
    """Return the whole file. JSON, which is YAML too."""
    return written(settings(frozen) | models(frozen))


def settings(frozen: Frozen) -> dict[str, Any]:
    """Return all of the file but its models."""
    fallbacks = [{one.group: rest} for one in _groups(frozen) if (rest := one.rest)]
    most = max((len(rest) for each in fallbacks for rest in each.values()), default=0)
    return {
        "litellm_settings": {"callbacks": ["tollkeeper"], "turn_off_message_logging": True},
        "callback_settings": {
            "tollkeeper": {
                "callback_type": "generic_api",
                "endpoint": "os.environ/TOLLKEEPER_USAGE_URL",
                "headers": {"Authorization": "os.environ/TOLLKEEPER_AUTHORIZATION"},
                "event_types": ["llm_api_success", "llm_api_failure"],
                "max_retries": 3,
            }
        },
        "router_settings": {
            "routing_strategy": "simple-shuffle",
            # A failed call goes to the rule's fallbacks, and not to another side of a split.
            "num_retries": 0,
            "max_fallbacks": max(most, 1),
            "fallbacks": fallbacks,
        },
    }


def models(frozen: Frozen) -> dict[str, Any]:
    """Return the file's models."""
    return {"model_list": [deployment for one in _groups(frozen) for deployment in one.deployments]}


class _Group:
    """The model group of a use case with the groups that it falls back to."""

    def __init__(self, frozen: Frozen, fragment: Fragment) -> None:
        self.group = fragment.use_case or AUTO
        self._frozen = frozen
        self._fragment = fragment
        # One that is blocked in part has no group either: the rest of it would take what is to be refused.
        self._outcomes = fragment.line.outcomes if all(one.offering for one in fragment.line.outcomes) else ()

    @property
    def rest(self) -> list[str]:
        count = len(self._outcomes[0].fallbacks) if self._outcomes else 0
        return [f"{self.group}:fallback-{index}" for index in range(1, count + 1)]

    @property
    def deployments(self) -> Iterator[dict[str, Any]]:
        if not self._outcomes:
            return
        unit = gcd(*(one.weight for one in self._outcomes))
        split = len(self._outcomes) > 1
        for index, one in enumerate(self._outcomes):
            assert one.offering is not None
            weight = {"weight": one.weight // unit} if split else {}
            yield self._deployment(self.group, one.offering, one, f"{self.group}.{index}", weight)
        for group, offering in zip(self.rest, self._outcomes[0].fallbacks, strict=True):
            yield self._deployment(group, offering, self._outcomes[0], group, {})

    def _deployment(
        self, group: str, offering: str, outcome: Outcome, known_as: str, more: Mapping[str, Any]
    ) -> dict[str, Any]:
        line = self._fragment.line
        facts = self._frozen.content["offerings"][offering]
        name = facts["gateway_names"][KIND]
        params: dict[str, Any] = {"model": name, **_references(name.partition("/")[0], facts["provider"]), **more}
        timeout = line.timeout_ms(outcome)
        if timeout is not None:
            params["timeout"] = timeout / 1000 if timeout % 1000 else timeout // 1000
        for setting, value in (line.params(outcome).get(facts["provider"]) or {}).items():
            params[setting] = float(value) if setting in _FRACTIONS and isinstance(value, str) else value
        said = [f"tollkeeper_rule:{self._frozen.mark(None if outcome.of_default else line.rule)}"]
        said.append(f"tollkeeper_state:{self._frozen.revision}")
        if self._fragment.use_case is not None:
            said.append(f"use_case:{self._fragment.use_case}")
        return {
            "model_name": group,
            "litellm_params": params,
            "model_info": {"id": ";".join([*said, known_as])},
        }


def _groups(frozen: Frozen) -> list[_Group]:
    found, _ = fragments(frozen)
    return [_Group(frozen, fragment) for fragment in found]


def _references(prefix: str, provider: str) -> dict[str, str]:
    known = _VARIABLES.get(prefix)
    if known is None or provider not in _SERVED_BY.get(prefix, (prefix,)):
        own = _NOT_A_VARIABLE.sub("_", provider.upper()).strip("_")
        known = {"api_key": f"{own}_API_KEY", "api_base": f"{own}_API_BASE"}
    return {setting: f"os.environ/{variable}" for setting, variable in known.items()}


# Our names of providers, by LiteLLM's, where they differ. Others that use such a name are served elsewhere: a house's
# own models behind an API like OpenAI's, for one.
_SERVED_BY: Mapping[str, tuple[str, ...]] = {
    "gemini": ("google",), "vertex_ai": ("vertex",), "fireworks_ai": ("fireworks",), "together_ai": ("together",),
    "bedrock": ("bedrock", "bedrock-regional"),
}  # fmt: skip


def _named(frozen: Frozen, offering: str) -> Named | None:
    facts = frozen.content["offerings"].get(offering) or {}
    name = (facts.get("gateway_names") or {}).get(KIND)
    return Named(None, name) if name else None


def _settings(frozen: Frozen) -> Iterator[Problem]:
    for place, rule in parts_of(frozen):
        for provider, given in (rule.get("params") or {}).items():
            for setting in given:
                if _NO_SETTING.fullmatch(setting):
                    text = f"{setting} for {provider} says where a call goes and is no parameter of a model there"
                    yield Problem(f"{place}/params", "params", text)


def _shapes(found: list[Fragment]) -> Iterator[Problem]:
    for fragment in found:
        label, line = fragment.use_case, fragment.line
        if label is not None and (label == AUTO or not _GROUP.fullmatch(label)):
            text = f"the use case {label!r} cannot be the name of a model group"
            yield Problem(f"{line.place}/use_cases", "label", text)
        if len({outcome.fallbacks for outcome in line.outcomes if outcome.offering}) > 1:
            text = "the sides of the split have other fallbacks, and a model group has one list of them"
            yield Problem(line.place, "fallbacks_differ", text)


FORM = Form(
    name="litellm",
    title="LiteLLM",
    kind=KIND,
    media_type="application/yaml",
    suffix=".yaml",
    says=SAYS,
    remarks=REMARKS,
    bring_in=(
        "Better: run the hook (clients/litellm), and the rules decide call by call, with every condition.",
        (
            "Without it a proxy fetches this file when it starts, from an S3-style address here: manage.py s3_secret "
            "KEY prints the variables to start it with. Restart it for newer rules."
        ),
        "Clients ask for the model named like their use case, or for auto.",
    ),
    unfit=unfit,
    render=render,
)
