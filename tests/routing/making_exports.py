"""Rules, states and requests to render in the forms of other gateways and to try there."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from routing.rules.exports import Frozen, Limit

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
OFFERINGS: dict[str, dict[str, Any]] = {
    "claude-opus-4.7@anthropic": {
        "model": "claude-opus-4.7", "provider": "anthropic", "tier": "frontier",
        "gateway_names": {"litellm": "anthropic/claude-opus-4-7"},
    },
    "gpt-5.5@openai": {
        "model": "gpt-5.5", "provider": "openai", "tier": "frontier", "gateway_names": {"litellm": "openai/gpt-5.5"},
    },
    "gpt-5-mini@openai": {
        "model": "gpt-5-mini", "provider": "openai", "tier": "economy",
        "gateway_names": {"litellm": "openai/gpt-5-mini"},
    },
    "gemini-3-flash@google": {
        "model": "gemini-3-flash", "provider": "google", "tier": "economy",
        "gateway_names": {"litellm": "gemini/gemini-3-flash-preview", "bifrost": "vertex/gemini-3-flash"},
    },
    "deepseek-v4-flash@deepseek": {
        "model": "deepseek-v4-flash", "provider": "deepseek", "tier": "economy",
        "gateway_names": {"litellm": "deepseek/deepseek-v4-flash"},
    },
}  # fmt: skip
OPUS, GPT, MINI, FLASH, DEEPSEEK = OFFERINGS
QUIET: dict[str, Any] = {"revision": 1, "budgets": [], "switches": [], "orders": {}, "canary": None}


def rule(**facts: Any) -> dict[str, Any]:
    return {"id": "r0", "targets": [{"offering": GPT, "weight": 10_000}], **facts}


def content(*rules: dict[str, Any], **facts: Any) -> dict[str, Any]:
    default = {"targets": [{"offering": MINI, "weight": 10_000}], "fallbacks": [FLASH]}
    return {"rules": list(rules), "default": default, "offerings": OFFERINGS, **facts}


def frozen(of: dict[str, Any], *, at: datetime = NOON, gateway: str | None = None, **state: Any) -> Frozen:
    return Frozen("production", of, 42, QUIET | state, at, gateway)


def limit(budget: int, *, scope: dict[str, tuple[str, ...]] | None = None, **facts: Any) -> Limit:
    """Make the limit of a budget that blocks at 100 USD per day in UTC."""
    given: dict[str, Any] = {
        "name": f"budget {budget}", "unit": "usd", "amount": "100", "period": "day", "zone": "UTC",
        "fiscal_start_month": 1, "action": "block",
    }  # fmt: skip
    return Limit(budget=budget, scope=tuple(sorted((scope or {}).items())), **{**given, **facts})


def document(of: Frozen) -> dict[str, Any]:
    """Return what a gateway that polls would get."""
    head = {"spec": 1, "environment": of.environment, "version": of.version, "published_at": "2026-11-20T00:00:00Z"}
    return head | dict(of.content) | {"state": dict(of.state)}


# --- Anything that a form may be given

NAMES = st.sampled_from(list(OFFERINGS))
LABELS = st.sampled_from(["support", " Support ", "k-use_case", "CODE", "a.b|c", "\u212a"])
WORDS = st.sampled_from(["x", "X", "code", "é", 'a"b', "a\\b", "$", "x,y", "", "\u017f"])
NUMBERS = st.sampled_from(["0", "0.5", "0.50", "0.75", "-1", "007.5", "1000", 0, 1, 1000, -1])
_OPS = {
    "use_case": (("eq", "ne"), LABELS), "team": (("eq", "ne"), LABELS),
    "task": (("eq", "ne", "gt", "gte", "lt", "lte"), WORDS), "tag:env": (("eq", "ne"), WORDS),
    "complexity": (("eq", "ne", "gt", "gte", "lt", "lte"), NUMBERS),
    "batch": (("eq", "ne"), st.booleans()), "modalities": (("contains",), st.sampled_from(["image", "a.b", "(x)"])),
}  # fmt: skip


@st.composite
def comparisons(draw, *, without: frozenset[str] = frozenset()):
    field = draw(st.sampled_from([name for name in _OPS if name not in without]))
    ops, values = _OPS[field]
    if "order" in without and field != "complexity":
        ops = tuple(op for op in ops if op in ("eq", "ne"))
    listed = ("in", "not_in") if field not in ("batch", "modalities") else ()
    op = draw(st.sampled_from([*ops, *listed, "exists"]))
    if op == "exists":
        return {"field": field, "op": op, "value": draw(st.booleans())}
    value = draw(st.lists(values, min_size=1, max_size=3) if op in listed else values)
    return {"field": field, "op": op, "value": value}


def conditions(without: frozenset[str] = frozenset()):
    return st.recursive(
        comparisons(without=without),
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
            inner.map(lambda part: {"not": part}),
        ),
        max_leaves=4,
    )


@st.composite
def targets(draw, *, weights=((10_000,), (9000, 1000), (3000, 7000), (2500, 5000, 2500), (10_000, 0))):
    if draw(st.booleans()):
        names = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
        return {"choose": "order", "targets": [{"offering": name} for name in names]}
    shares = draw(st.sampled_from(weights))
    names = draw(st.permutations(list(OFFERINGS)))
    return {"targets": [{"offering": n, "weight": w} for n, w in zip(names, shares, strict=False)]}


@st.composite
def contents(draw, *, without: frozenset[str] = frozenset()):
    rules = [
        draw(targets())
        | {
            "id": f"r{number}",
            "use_cases": draw(st.none() | st.lists(LABELS, min_size=1, max_size=2)),
            "when": draw(st.none() | conditions(without)),
            "fallbacks": draw(st.lists(NAMES, max_size=3, unique=True)),
            "over_budget": draw(st.none() | targets()),
            "use_default": draw(st.booleans()),
        }
        for number in range(draw(st.integers(1, 3)))
    ]
    default = draw(targets()) | {"fallbacks": draw(st.lists(NAMES, max_size=2, unique=True))}
    return {"rules": rules, "default": default, "offerings": OFFERINGS}


@st.composite
def states(draw):
    matches = st.dictionaries(
        st.sampled_from(["use_case", "team", "tag:env", "tier", "provider", "offering"]), st.just(None), max_size=2
    )
    values = {
        "use_case": ["support", "code"], "team": ["code"], "tag:env": ["x"], "tier": ["frontier"],
        "provider": ["openai"], "offering": [FLASH],
    }  # fmt: skip
    budgets = [
        {
            "id": f"b-{number}", "state": "exceeded", "until": "2026-12-01T00:00:00Z",
            "action": draw(st.sampled_from(["downgrade", "downgrade", "block"])),
            "match": {name: values[name] for name in draw(matches)},
        }
        for number in range(draw(st.integers(0, 2)))
    ]  # fmt: skip
    switched = st.lists(
        st.sampled_from([("provider", "openai"), ("model", "gpt-5-mini"), ("offering", OPUS)]), max_size=2, unique=True
    )
    switches = [
        {kind: name, "off": draw(st.booleans()), "until": "2026-11-20T13:00:00Z"} for kind, name in draw(switched)
    ]
    return {"budgets": budgets, "switches": switches}


CONTEXTS = st.fixed_dictionaries(
    {},
    optional={
        "use_case": LABELS, "team": LABELS, "task": WORDS, "complexity": NUMBERS, "batch": st.booleans(),
        "modalities": st.lists(st.sampled_from(["image", "text", "a.b", "axb", "(x)"]), min_size=1, max_size=2),
        "tags": st.fixed_dictionaries({}, optional={"env": WORDS}),
    },
)  # fmt: skip
