"""Cloudflare AI Gateway: one dynamic route per environment, as the elements of its API.

Requests name the route as their model (`dynamic/tollkeeper-ENVIRONMENT`) and say what rules read in `cf-aig-metadata`.
A rule is a way through conditions, one comparison each, so that nothing is asked of the gateway but to compare one
value; then a share, then models, each with the next one to try. Requests that are blocked end without a model.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from routing.rules.conditions import LABELS, NUMBER, folded, kind_of
from routing.rules.document import Problem
from routing.rules.evaluator import WHOLE
from routing.rules.exports import plan
from routing.rules.exports.cloudflare_limits import MOST_FIELDS, held, may_be_field, metadata, spend_limits
from routing.rules.exports.limits import Bounded
from routing.rules.exports.names import Named, nameless, native
from routing.rules.exports.parts import (
    NO,
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
from routing.rules.exports.plan import PARTS, Line, Outcome
from routing.rules.exports.written import written

KIND = "cloudflare"
PROVIDERS = {
    "anthropic": "anthropic", "openai": "openai", "azure": "azure-openai", "bedrock": "aws-bedrock",
    "google": "google-ai-studio", "vertex": "google-vertex-ai", "groq": "groq", "mistral": "mistral", "xai": "grok",
    "deepseek": "deepseek", "openrouter": "openrouter",
}  # fmt: skip
MOST_SHARES = 5
USUAL_TIMEOUT_MS = 60_000  # an element needs one
_END = "end"

SAYS: dict[str, Says] = {
    "use_cases": YES, "conditions": YES, "tags": YES, "text_order": NO, "lists": NO, "clock": NO, "window": NO,
    "labels": NO, "split": YES, "sticky": NO, "order": YES, "fallbacks": YES, "over_budget": YES, "block": YES,
    "switches": YES, "timeout": YES, "params": NO, "travels_back": NO, "limits": YES,
}  # fmt: skip
REMARKS = {
    "use_cases": "metadata.use_case; send it trimmed and in lower case",
    "conditions": "metadata of the same name, five fields at most; send numbers as numbers",
    "tags": "metadata of the tag's name",
    "text_order": "it compares equal or not",
    "lists": "metadata carries no lists",
    "clock": "a route knows no time",
    "window": "a route knows no time; publish when the rule should begin or end",
    "labels": "a route does not see the text; have clients say task and complexity",
    "split": "whole per cents, five sides at most",
    "sticky": "it draws lots for each request",
    "order": "models, each with the next one to try",
    "block": "the route ends without a model",
    "timeout": "of each model",
    "params": "a model element sets none",
    "limits": "in USD that block, per day or week in UTC, 20 at most; it says itself when a window begins",
    "travels_back": "a route cannot add to a request's metadata: usage names its use case, not its rule",
}


def unfit(frozen: Frozen) -> list[Problem]:
    found = [*FORM.refused(frozen), *nameless(frozen, FORM.title, KIND, _named(frozen)), *_of_values(frozen)]
    for place, rule in parts_of(frozen):
        for part_place, part in ((place, rule), (f"{place}/over_budget", rule.get("over_budget") or {})):
            weights = [target.get("weight", 0) * WHOLE for target in part.get("targets", ())]
            if part and part.get("choose", "weight") == "weight" and _shares([w for w in weights if w]) is None:
                found.append(Problem(f"{part_place}/targets", "split_size", _TOO_FINE))
    lines, problems = plan.lines(frozen)
    for line in lines:
        if _shares([outcome.weight for outcome in line.outcomes]) is None:
            found.append(Problem(f"{line.place}/targets", "split_size", _TOO_FINE))
    read = [name for _, name in _read(frozen)]
    if len(read) > MOST_FIELDS:
        text = f"rules read {', '.join(read)}: {len(read)} fields, and a request carries {MOST_FIELDS} there"
        found.append(Problem("", "metadata", text))
    return all_once(found, problems)


_TOO_FINE = "shares there are whole per cents, five at most, of which no two but the last are the same"


def _of_values(frozen: Frozen) -> Iterator[Problem]:
    for place, rule in parts_of(frozen):
        for pointer, comparison in comparisons(rule.get("when"), f"{place}/when"):
            field, value = comparison["field"], comparison["value"]
            if not may_be_field(field):
                tag = metadata(field)
                text = (
                    f"the tag {tag} cannot be a field of the metadata: letters, digits, _ and -, and no field of ours"
                )
                yield Problem(pointer, "field_name", text)
            values = value if isinstance(value, list) else [value]
            if kind_of(field) is NUMBER and comparison["op"] != "exists" and any(map(too_precise, values)):
                yield Problem(pointer, "precision", f"{value} has more than 15 digits, and floats are compared there")


def _shares(weights: list[int]) -> list[str] | None:
    """Return the output of each share, "else" for the last of them; None where they cannot be written."""
    if len(weights) < 2:
        return ["else"] * len(weights)
    if len(weights) > MOST_SHARES or any(weight * 100 % PARTS for weight in weights):
        return None
    per_cent = [f"{weight * 100 // PARTS}%" for weight in weights]
    # Outputs are called by their share, so of two equal ones one is the rest; else the largest is.
    twice = [index for index, text in enumerate(per_cent) if per_cent.count(text) > 1]
    rest = twice[-1] if twice else weights.index(max(weights))
    named = [*per_cent[:rest], *per_cent[rest + 1 :]]
    if len(set(named)) < len(named):
        return None
    return [*per_cent[:rest], "else", *per_cent[rest + 1 :]]


def render(frozen: Frozen) -> bytes:
    route = {"name": route_name(frozen.environment), "elements": _Route(frozen).elements()}
    return written(route | spend_limits(_held(frozen)[0]))


def route_name(environment: str) -> str:
    """Return what requests call as `dynamic/NAME`: the same for every version."""
    return f"tollkeeper-{re.sub(r'[^A-Za-z0-9]+', '-', environment).strip('-') or 'rules'}".lower()


class _Route:
    """The elements of a route, made from the end so that each knows where it leads."""

    def __init__(self, frozen: Frozen) -> None:
        self._frozen = frozen
        self._named = _named(frozen)
        self._made: list[dict[str, Any]] = []

    def elements(self) -> list[dict[str, Any]]:
        lines, _ = plan.lines(self._frozen)
        after = _END
        for line in reversed(lines):
            after = self._line(line, after)
        start = {"id": f"rules-{self._frozen.stamp}", "type": "start", "outputs": {"next": {"elementId": after}}}
        return _numbered([start, *reversed(self._made), {"id": _END, "type": "end", "outputs": {}}])

    def _line(self, line: Line, after: str) -> str:
        """Add a line; requests that it does not take go on to `after`. Return its first element."""
        self._prefix = (line.rule or "default") + (f".{line.variant}" if line.variant else "")
        self._count = 0
        first = self._shared(line)
        for _, condition in reversed(line.conditions):
            first = self._condition(condition, first, after)
        return first

    def _shared(self, line: Line) -> str:
        ways = [self._models(line, outcome) for outcome in line.outcomes]
        if len(ways) == 1:
            return ways[0]
        outputs = _shares([outcome.weight for outcome in line.outcomes]) or []
        leads = sorted(zip(outputs, ways, strict=True), key=lambda one: one[0] == "else")
        return self._add("percentage", None, {output: {"elementId": way} for output, way in leads})

    def _models(self, line: Line, outcome: Outcome) -> str:
        if outcome.offering is None:
            return _END
        after = _END
        for offering in reversed((outcome.offering, *outcome.fallbacks)):
            named = self._named[offering]
            assert named is not None
            properties = {
                "provider": named.provider,
                "model": named.model,
                "retries": 0,
                "timeout": line.timeout_ms(outcome) or USUAL_TIMEOUT_MS,
            }
            after = self._add("model", properties, {"success": {"elementId": _END}, "fallback": {"elementId": after}})
        return after

    def _condition(self, condition: Mapping[str, Any], yes: str, no: str) -> str:
        """Add a condition that leads to `yes` where it holds, else to `no`. Return its first element."""
        if "all" in condition:
            for part in reversed(condition["all"]):
                yes = self._condition(part, yes, no)
            return yes
        if "any" in condition:
            for part in reversed(condition["any"]):
                no = self._condition(part, yes, no)
            return no
        if "not" in condition:
            return self._condition(condition["not"], no, yes)
        name, op, value = f"metadata.{metadata(condition['field'])}", condition["op"], condition["value"]
        if op == "exists":
            if not value:
                yes, no = no, yes
            return self._asked({name: {"$exists": True}}, yes, no)
        field = condition["field"]
        if op in ("ne", "not_in"):  # a field that is missing is not another one than the value
            asked = self._asked({name: _compared(field, "eq" if op == "ne" else "in", value)}, no, yes)
            return self._asked({name: {"$exists": True}}, asked, no)
        return self._asked({name: _compared(field, op, value)}, yes, no)

    def _asked(self, conditions: Mapping[str, Any], yes: str, no: str) -> str:
        return self._add(
            "conditional", {"conditions": conditions}, {"true": {"elementId": yes}, "false": {"elementId": no}}
        )

    def _add(self, kind: str, properties: Mapping[str, Any] | None, outputs: Mapping[str, Any]) -> str:
        self._count += 1
        name = f"{self._prefix}-{kind}#{self._count}"
        told = {} if properties is None else {"properties": properties}
        self._made.append({"id": name, "type": kind, **told, "outputs": outputs})
        return name


def _numbered(elements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return elements made from the end with their numbers counted from the start, as people read them."""
    counts: Counter[str] = Counter()
    names = {}
    for element in elements:
        prefix = element["id"].rpartition("#")[0]
        if prefix:
            counts[prefix] += 1
            names[element["id"]] = f"{prefix}-{counts[prefix]}"
    return [
        element
        | {
            "id": names.get(element["id"], element["id"]),
            "outputs": {
                output: {"elementId": names.get(leads["elementId"], leads["elementId"])}
                for output, leads in element["outputs"].items()
            },
        }
        for element in elements
    ]


def _compared(field: str, op: str, value: Any) -> dict[str, Any]:
    if op == "in" and len(value) == 1:
        return {"$eq": _value(field, value[0])}
    if op == "in":
        return {"$in": [_value(field, item) for item in value]}
    return {f"${op}": _value(field, value)}


def _value(field: str, value: Any) -> Any:
    if kind_of(field) is NUMBER:
        exact = Decimal(value)
        return int(exact) if exact == exact.to_integral_value() else float(exact)
    return folded(value) if field in LABELS else value


def fields(frozen: Frozen) -> list[tuple[str, str]]:
    """Return what rules and limits read of a request, and the key of the metadata that says it."""
    asked = [(field, metadata(field)) for one in _held(frozen)[0] for field, _ in one.asked]
    return list(dict.fromkeys([*_read(frozen), *asked]))


def _read(frozen: Frozen) -> list[tuple[str, str]]:
    """Return what the rules read."""
    lines, _ = plan.lines(frozen)
    read = {
        one["field"]: None for line in lines for place, part in line.conditions for _, one in comparisons(part, place)
    }
    return [(field, metadata(field)) for field in read]


def _named(frozen: Frozen) -> dict[str, Named | None]:
    return {name: native(frozen, name, KIND, PROVIDERS) for name in candidates(frozen)}


def _held(frozen: Frozen) -> tuple[list[Bounded], list[Problem]]:
    return held(frozen, FORM.title, _named(frozen), {name for _, name in _read(frozen)})


FORM = Form(
    name="cloudflare",
    title="Cloudflare AI Gateway",
    kind=KIND,
    media_type="application/json",
    suffix=".json",
    says=SAYS,
    remarks=REMARKS,
    bring_in=(
        (
            "The first time: POST `name` and `elements` to /accounts/ACCOUNT/ai-gateway/gateways/GATEWAY/routes "
            "of Cloudflare's API. Afterwards: POST the elements to .../routes/ROUTE/versions, and the id of that "
            "version to .../routes/ROUTE/deployments."
        ),
        "Requests name the route as their model: dynamic/ and its name.",
        "They say in the header cf-aig-metadata, as JSON, what the rules read; leave out what is missing.",
        (
            "Where there are `spend_limits`, put their rules beside yours in the gateway's settings (PUT to "
            "/accounts/ACCOUNT/ai-gateway/gateways/GATEWAY), and take out those of ours that are gone: their ids begin "
            "with `tollkeeper-`."
        ),
    ),
    unfit=unfit,
    render=render,
    fields=fields,
    unheld=lambda frozen: _held(frozen)[1],
)
