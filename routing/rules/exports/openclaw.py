"""OpenClaw: the parameters of the RPC `config.patch`, which set the models of agents; an agent's id is its use case.

`baseHash` is a placeholder: OpenClaw refuses a patch that was made from another configuration than the one it has, so
whoever sends it reads `hash` of `config.get` a moment before. `replacePaths` names every list of fallbacks: without it
a list that gets shorter is refused.
"""

from __future__ import annotations

import json
import re
from typing import Any

from routing.rules.document import Problem
from routing.rules.exports.fragments import Fragment, fragments, use_cases
from routing.rules.exports.names import Named, nameless, native
from routing.rules.exports.parts import NO, OUT, YES, Form, Frozen, Says, all_once, candidates
from routing.rules.exports.written import written

KIND = "openclaw"
PROVIDERS = {
    "anthropic": "anthropic", "openai": "openai", "google": "google", "groq": "groq", "mistral": "mistral",
    "xai": "xai", "zai": "zai", "moonshot": "moonshot", "deepseek": "deepseek", "openrouter": "openrouter",
}  # fmt: skip
BASE_HASH = "HASH-FROM-CONFIG-GET"
_AGENT = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

SAYS: dict[str, Says] = {
    "use_cases": YES, "conditions": NO, "tags": NO, "text_order": NO, "lists": NO, "clock": NO, "window": NO,
    "labels": NO, "split": NO, "sticky": NO, "order": YES, "fallbacks": YES, "over_budget": YES, "block": NO,
    "switches": YES, "timeout": OUT, "params": NO, "travels_back": NO, "limits": OUT,
}  # fmt: skip
REMARKS = {
    "use_cases": "the models of the agent with that id",
    "conditions": "an agent has the same models for every request",
    "split": "an agent has one primary model",
    "window": "nothing there begins or ends by itself; publish when it should",
    "order": "as primary, then fallbacks",
    "fallbacks": "the agent's fallbacks",
    "block": "an agent always has a model",
    "timeout": "its own timeouts hold",
    "params": "a model's settings are its own configuration there",
    "travels_back": "usage names agent and model; the note of the patch says which rules are set",
    "limits": "budgets are counted by us alone; what they exceed is taken out",
}


def unfit(frozen: Frozen) -> list[Problem]:
    problems = FORM.refused(frozen)
    nowhere = list(nameless(frozen, FORM.title, KIND, _named(frozen)))
    odd = [
        Problem("", "label", f"{label} cannot be the id of an agent: lower-case letters, digits, _ and - are")
        for label in use_cases(frozen)
        if not _AGENT.fullmatch(label)
    ]
    if problems:
        return all_once(problems, nowhere, odd)
    return all_once(nowhere, odd, fragments(frozen)[1])


def render(frozen: Frozen) -> bytes:
    found, _ = fragments(frozen)
    named = _named(frozen)
    config: dict[str, Any] = {"agents": {"defaults": {"model": _model(found[-1], named)}}}
    paths = ["agents.defaults.model.fallbacks"]
    entries = {one.use_case: {"model": _model(one, named)} for one in found if one.use_case is not None}
    if entries:
        config["agents"]["entries"] = entries
        paths += [f"agents.entries.{name}.model.fallbacks" for name in entries]
    return written(
        {
            "raw": json.dumps(config, ensure_ascii=False, separators=(",", ":")),
            "baseHash": BASE_HASH,
            "replacePaths": paths,
            "note": f"Tollkeeper {frozen.environment}, rules {frozen.stamp}",
        }
    )


def _model(one: Fragment, named: dict[str, Named | None]) -> dict[str, Any]:
    models = [name.slashed for offering in one.offerings if (name := named[offering])]
    return {"primary": models[0], "fallbacks": models[1:]}


def _named(frozen: Frozen) -> dict[str, Named | None]:
    return {name: native(frozen, name, KIND, PROVIDERS) for name in candidates(frozen)}


FORM = Form(
    name="openclaw",
    title="OpenClaw",
    kind=KIND,
    media_type="application/json",
    suffix=".json",
    says=SAYS,
    remarks=REMARKS,
    bring_in=(
        (
            f"Read the hash with `openclaw gateway call config.get --json`, put it where {BASE_HASH} stands, and send "
            "the whole as the parameters of `openclaw gateway call config.patch`. It holds with the next run."
        ),
        (
            "A refusal that says the configuration changed means that somebody else was quicker: read the hash and "
            "send it again. An agent whose use case is in no rule any more keeps its model until you remove its entry."
        ),
    ),
    unfit=unfit,
    render=render,
)
