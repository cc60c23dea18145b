"""Bifrost: `governance.routing_rules` with a condition in CEL for each, of the scope `global`, in order of priority.

Bifrost knows of a request what its headers say, so whatever rules read is a header: `x-use-case`, `x-task`,
`x-complexity`, `x-tag-NAME`. Each comparison is written so that it is true or false whatever comes, never an error: an
error in one part would take a rule away that another part lets match.

# Note [Ids of lines]
Usage comes back with the id of a Bifrost rule, read as `RULE@vN`; `@vN` is the default. Where a rule is several lines
(`plan`, Note [Lines of a rule]) their ids differ by zeros before the number, which read as the same version.

# Note [Limits there]
A budget there belongs to one model limit (`model_configs`): of everything, of a provider, or of a model of a provider.
Aligned to the calendar its periods are those of UTC, with weeks from Monday and years from January. Quarters came late
and are refused by earlier releases. Teams and keys have ids that only the gateway knows, and headers have no budgets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from routing.rules.conditions import BOOLEAN, LABELS, LIST, NUMBER, TAG, folded, kind_of
from routing.rules.document import Problem
from routing.rules.exports import limits, plan
from routing.rules.exports.limits import Bounded
from routing.rules.exports.names import Named, nameless, native
from routing.rules.exports.parts import (
    NO,
    OUT,
    YES,
    Form,
    Frozen,
    Says,
    all_once,
    candidates,
    comparisons,
    parts_of,
    too_precise,
)
from routing.rules.exports.plan import PARTS, Line
from routing.rules.exports.written import written

KIND = "bifrost"
PROVIDERS = {
    "anthropic": "anthropic", "openai": "openai", "azure": "azure", "bedrock": "bedrock", "google": "gemini",
    "vertex": "vertex", "groq": "groq", "mistral": "mistral", "xai": "xai", "deepseek": "deepseek",
    "openrouter": "openrouter", "fireworks": "fireworks",
}  # fmt: skip
WINDOWS = {"day": "1d", "week": "1w", "month": "1M", "year": "1Y"}
OURS = "tollkeeper-"  # before the ids of budgets and model limits that are ours
_TAG_NAME = re.compile(r"[a-z0-9-]{1,64}")
_NUMBER = r"^-?[0-9]{1,18}(\.[0-9]{1,18})?$"
_MOST_DIGITS = 9  # of a version, where usage is read

SAYS: dict[str, Says] = {
    "use_cases": YES, "conditions": YES, "tags": YES, "text_order": YES, "lists": YES, "clock": NO, "window": NO,
    "labels": NO, "split": YES, "sticky": NO, "order": YES, "fallbacks": YES, "over_budget": YES, "block": NO,
    "switches": YES, "timeout": OUT, "params": NO, "travels_back": YES, "limits": YES,
}  # fmt: skip
REMARKS = {
    "use_cases": "the header x-use-case, folded as we do",
    "conditions": "a header for each field",
    "tags": "the header x-tag-NAME",
    "text_order": "save of use cases and teams, which it cannot fold for that",
    "lists": "the header x-modalities, separated by commas",
    "clock": "its expressions know no time",
    "window": "its expressions know no time; publish when the rule should begin or end",
    "labels": "its expressions do not see the text; have clients say task and complexity",
    "split": "weights of targets",
    "sticky": "it draws lots for each request",
    "order": "the first as target, the others before the fallbacks",
    "fallbacks": "one list for all sides of a split: a side that is in it is tried twice",
    "block": "a rule cannot refuse a request; a virtual key's budget there can",
    "timeout": "timeouts are set per provider there (network_config)",
    "params": "a rule sets provider and model only",
    "travels_back": "the rule's id, in its OpenTelemetry spans",
    "limits": "in USD that block, per day, week, month or year in UTC, of everything, a provider or a model",
}


def unfit(frozen: Frozen) -> list[Problem]:
    named = _named(frozen)
    found = [*FORM.refused(frozen), *nameless(frozen, FORM.title, KIND, named), *_of_values(frozen)]
    lines, problems = plan.lines(frozen)
    for line in lines:
        if any(outcome.offering is None for outcome in line.outcomes):
            text = f"requests that come to {line.rule or 'the default'} are blocked ({_because(line)})"
            found.append(Problem(line.place, "block", f"{text}; {FORM.title}: {REMARKS['block']}"))
        elif _fallbacks(line) is None:
            text = "the sides of the split have other fallbacks each, and a rule there has one list for all"
            found.append(Problem(line.place, "fallbacks_differ", text))
        if len(_number(frozen, line)) > _MOST_DIGITS:
            found.append(Problem(line.place, "too_many_budgets", "too many exceeded budgets cut the rule into pieces"))
    return all_once(found, problems)


def _of_values(frozen: Frozen) -> Iterator[Problem]:
    for place, rule in parts_of(frozen):
        for pointer, comparison in comparisons(rule.get("when"), f"{place}/when"):
            field, value = comparison["field"], comparison["value"]
            values = value if isinstance(value, list) else [value]
            if field.startswith(TAG) and not _TAG_NAME.fullmatch(field[len(TAG) :]):
                text = f"the tag {field[len(TAG) :]} is no name of a header: lower-case letters, digits and hyphens are"
                yield Problem(pointer, "field_name", text)
            if field in LABELS and comparison["op"] in ("gt", "gte", "lt", "lte"):
                text = f"{field} is compared by the order of its letters, which CEL cannot do folded"
                yield Problem(pointer, "text_order", text)
            if kind_of(field) is NUMBER and comparison["op"] != "exists" and any(map(too_precise, values)):
                yield Problem(pointer, "precision", f"{value} has more than 15 digits, and floats are compared there")
            if kind_of(field) is LIST and comparison["op"] == "contains" and _unlistable(value):
                yield Problem(pointer, "field_name", f"{value!r} cannot stand in a list that commas separate")


def _unlistable(value: object) -> bool:
    return not isinstance(value, str) or "," in value or value != value.strip(" \t") or not value


def render(frozen: Frozen) -> bytes:
    lines, _ = plan.lines(frozen)
    named = _named(frozen)
    rules = [_rule(frozen, line, priority, named) for priority, line in enumerate(lines)]
    return written({"governance": {"routing_rules": rules, **_limits(frozen)}})


def _rule(frozen: Frozen, line: Line, priority: int, named: Mapping[str, Named | None]) -> dict[str, Any]:
    about = [f"Tollkeeper {frozen.environment}, rules {frozen.stamp}"]
    if line.spec.get("title"):
        about.insert(0, line.spec["title"])
    if line.budgets:
        about.append(f"{', '.join(line.budgets)} exceeded")
    return {
        "id": f"{line.rule or ''}@v{_number(frozen, line)}",
        "name": (line.rule or "default") + (f" {line.variant}" if line.variant else ""),
        "description": "; ".join(about),
        "enabled": True,
        "chain_rule": False,
        "cel_expression": " && ".join(expression(condition) for _, condition in line.conditions) or "true",
        "targets": [
            {"provider": name.provider, "model": name.model, "weight": share(outcome.weight)}
            for outcome in line.outcomes
            if outcome.offering is not None and (name := named[outcome.offering]) is not None
        ],
        "fallbacks": [name.slashed for other in _fallbacks(line) or () if (name := named[other]) is not None],
        "scope": "global",
        "scope_id": None,
        "priority": priority,
    }


def _limits(frozen: Frozen) -> dict[str, Any]:
    """Return budgets and the model limits that they belong to; nothing where none is held."""
    budgets: list[dict[str, Any]] = []
    configs: dict[tuple[str | None, str], dict[str, Any]] = {}
    for one in _held(frozen)[0]:
        name = f"{OURS}b-{one.limit.budget}"
        budgets.append({"id": name, "max_limit": Decimal(one.limit.amount), "reset_duration": one.window})
        provider, model = next(iter(one.pairs), (next(iter(one.providers), None), "*"))
        config = configs.setdefault(
            (provider, model),
            {
                "id": f"{OURS}{provider or 'all'}" + ("" if model == "*" else f"-{model}"),
                "model_name": model,
                **({} if provider is None else {"provider": provider}),
                "scope": "global",
                "calendar_aligned": True,
                "budget_ids": [],
            },
        )
        config["budget_ids"].append(name)
    return {"budgets": budgets, "model_configs": list(configs.values())} if budgets else {}


def _held(frozen: Frozen) -> tuple[list[Bounded], list[Problem]]:
    """Return the limits that are held, and why the others are not; see Note [Limits there]."""
    found, problems = limits.bounded(frozen, FORM.title, _named(frozen), WINDOWS)
    held = []
    for one in found:
        if one.asked:
            text = (
                f"it is of a {one.asked[0][0]}; {FORM.title}'s budgets are of keys and teams, whose ids only it knows"
            )
            problems.append(limits.unheld(one.limit, "limit_scope", text))
        elif len(one.providers) > 1 or len(one.pairs) > 1:
            several = ", ".join("/".join(pair) for pair in one.pairs) or ", ".join(one.providers)
            text = f"it is one limit for {several}, and {FORM.title} counts each by itself"
            problems.append(limits.unheld(one.limit, "limit_shared", text))
        else:
            held.append(one)
    return held, problems


def share(weight: int) -> float | int:
    """Return a weight as a part of 1: of eight decimals at most, so that the shares as written add up to 1."""
    return 1 if weight == PARTS else float(Decimal(weight) / PARTS)


def _number(frozen: Frozen, line: Line) -> str:
    """Return the version as it stands in a line's id; see Note [Ids of lines]."""
    return "0" * line.variant + str(frozen.version or 0)


def _because(line: Line) -> str:
    return f"{', '.join(line.budgets)} exceeded" if line.budgets else "everything is switched off"


def _fallbacks(line: Line) -> list[str] | None:
    """Return the one list of which each outcome's fallbacks are all but itself; None where there is none."""
    if len(line.outcomes) == 1:
        return list(line.outcomes[0].fallbacks)
    wanted = {name for outcome in line.outcomes for name in outcome.fallbacks}
    for source in (line.spec, line.default):
        listed = [name for name in dict.fromkeys(source.get("fallbacks") or ()) if name in wanted]
        if all([n for n in listed if n != outcome.offering] == list(outcome.fallbacks) for outcome in line.outcomes):
            return listed
    return None


def _named(frozen: Frozen) -> dict[str, Named | None]:
    return {name: native(frozen, name, KIND, PROVIDERS) for name in candidates(frozen)}


# --- Conditions


def header(field: str) -> str:
    """Return the header that says a field of the request."""
    return f"x-tag-{field[len(TAG) :]}" if field.startswith(TAG) else f"x-{field.replace('_', '-')}"


def expression(condition: Mapping[str, Any]) -> str:
    """Return a condition in CEL: true or false for any headers, never an error."""
    if "all" in condition:
        return f"({' && '.join(expression(part) for part in condition['all'])})"
    if "any" in condition:
        return f"({' || '.join(expression(part) for part in condition['any'])})"
    if "not" in condition:
        return f"!{expression(condition['not'])}"
    return f"({_comparison(condition)})"


_SIGNS = {"eq": "==", "ne": "!=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def _comparison(condition: Mapping[str, Any]) -> str:
    field, op, value = condition["field"], condition["op"], condition["value"]
    name = _text(header(field))
    said = f"headers[{name}]"
    kind = kind_of(field)
    there = f"{name} in headers"
    if kind is BOOLEAN:
        if op == "exists":
            known = f'{there} && {said} in ["true", "false"]'
            return known if value else f"!({known})"
        return f'{there} && {said} == "{"true" if value is (op == "eq") else "false"}"'
    if kind is NUMBER:
        there = f"{there} && {said}.matches({_text(_NUMBER)})"
    if op == "exists":
        return there if value else f"!({there})"
    if kind is LIST:
        return f"{there} && {said}.matches({_text(f'(^|,)[ {chr(9)}]*{_quoted(value)}[ {chr(9)}]*(,|$)')})"
    if field in LABELS:
        return f"{there} && {_label(said, op, value)}"
    if kind is NUMBER:
        said, write = f"double({said})", _double
    else:
        write = _text
    if op in ("in", "not_in"):
        among = f"{said} in [{', '.join(write(item) for item in value)}]"
        return f"{there} && {among if op == 'in' else f'!({among})'}"
    return f"{there} && {said} {_SIGNS[op]} {write(value)}"


def _label(said: str, op: str, value: Any) -> str:
    """Compare a label folded: CEL has no function for it, so a pattern takes either case of A to Z."""
    labels = [folded(item) for item in (value if op in ("in", "not_in") else [value])]
    either = "|".join(_either_case(label) for label in labels)
    matches = f"{said}.matches({_text(f'^[ {chr(9)}]*({either})[ {chr(9)}]*$')})"
    return matches if op in ("eq", "in") else f"!{matches}"


def _either_case(label: str) -> str:
    # Not (?i), which also takes the Kelvin sign for a k and a long s for an s.
    return "".join(f"[{c}{c.upper()}]" if "a" <= c <= "z" else _quoted(c) for c in label)


def _quoted(text: str) -> str:
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _double(value: Any) -> str:
    text = f"{Decimal(value).normalize():f}"
    return text if "." in text else f"{text}.0"


def fields(frozen: Frozen) -> list[tuple[str, str]]:
    """Return what rules read of a request, and the header that says it."""
    lines, _ = plan.lines(frozen)
    read = {
        one["field"]: None for line in lines for place, part in line.conditions for _, one in comparisons(part, place)
    }
    return [(field, header(field)) for field in read]


FORM = Form(
    name="bifrost",
    title="Bifrost",
    kind=KIND,
    media_type="application/json",
    suffix=".json",
    says=SAYS,
    remarks=REMARKS,
    bring_in=(
        "Put the rules into `governance.routing_rules` of config.json and restart Bifrost.",
        (
            "Or while it runs: POST each rule to /api/routing/rules (before version 2: /api/governance/routing-rules), "
            "and delete those of earlier versions, whose ids end in another @v."
        ),
        "Clients say in headers what the rules read; a header that is not there is a field that is missing.",
        (
            "Where there are `budgets` and `model_configs`, put them beside yours; if you have a model limit for the "
            "same model and provider, add its `budget_ids` to yours. Delete those of ours that are gone: their ids "
            "begin with `tollkeeper-`."
        ),
    ),
    unfit=unfit,
    render=render,
    fields=fields,
    unheld=lambda frozen: _held(frozen)[1],
)
