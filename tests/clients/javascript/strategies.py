"""Rules and requests that are hard to agree on: text beyond ASCII, halves of pairs, decimals, zones, boundaries."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

OFFERINGS = {
    "a@p": {"model": "a", "provider": "p", "tier": "frontier", "gateway_names": {"litellm": "p/a", "é\U0001f600": "x"}},
    "a@q": {"model": "a", "provider": "q", "tier": "frontier"},
    "b@p": {"model": "b", "provider": "p", "tier": "middle"},
    "c@q": {"model": "c", "provider": "q", "tier": None},
}
NAMES = st.sampled_from([*OFFERINGS, "nobody@nowhere"])

# Letters that languages fold, order, trim, pair or count in different ways.
_PIECES = [
    "a", "A", "z", "Z", "_", "0", "-", ":", ",", " ", "\t", "\n", "\r", "\x0b", "\xa0", "\u2028", "\ufeff", "\u0130",
    "\xdf", "\u017f", "\u212a", "\xe9", "e\u0301", "\xd7", "\u0663", "\u7ffb", "\u1fff", "\u2000", "\ud7ff", "\ue000",
    "\ufffd", "\uffff", "\U00010000", "\U0001f600", "\U0010ffff",
]  # fmt: skip
_HALVES = ["\ud800", "\udbff", "\udc00", "\udfff"]
SOUND = st.lists(st.sampled_from(_PIECES), max_size=3).map("".join)
ANY_TEXT = st.lists(st.sampled_from([*_PIECES, *_HALVES]), max_size=3).map("".join)
DECIMALS = st.one_of(
    st.sampled_from(["0.4", "0.40", "-0", "00", "-0.0", "1", "1.0", "0.1", "0.10000000000000000", "9007199254740991"]),
    st.from_regex(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", fullmatch=True, alphabet="-.0123456789"),
)
NO_DECIMALS = st.sampled_from(["1e3", "\u0661", "1.", "+1", "", ".5", " 1", "1\n", "1" * 19, "0x1", "NaN", "--1"])
INTEGERS = st.sampled_from([0, 1, -1, 3, 2**53 - 1, -(2**53) + 1]) | st.integers(-(2**53) + 1, 2**53 - 1)
SCALARS = st.one_of(SOUND, DECIMALS, NO_DECIMALS, INTEGERS, st.booleans())

# Where clocks jump, among them by half an hour and at half past; these zones have kept to their rules for years.
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "Asia/Kolkata", "Asia/Kathmandu",
     "Pacific/Chatham",
     "Australia/Lord_Howe", "Etc/GMT+12", "Pacific/Kiritimati", "EST5EDT", "Nowhere/There", "+01:00", "Europe",
     "../UTC"]
)  # fmt: skip
_EDGES = [
    "2026-03-29T01:00:00", "2026-10-25T01:00:00", "2026-03-08T07:00:00", "2026-11-01T06:00:00", "2026-03-08T05:30:00",
    "2026-04-04T15:00:00", "2026-10-03T15:30:00", "2026-09-26T14:00:00", "2024-02-29T00:00:00", "2026-12-31T23:59:59",
    "2027-01-01T00:00:00",
]  # fmt: skip
_AROUND = [
    timedelta(), timedelta(microseconds=1), timedelta(microseconds=-1), timedelta(milliseconds=1), timedelta(hours=1),
    timedelta(hours=-1), timedelta(days=3, hours=7, microseconds=123_456),
]  # fmt: skip
NOWS = st.builds(
    lambda edge, around: datetime.fromisoformat(edge).replace(tzinfo=UTC) + around,
    st.sampled_from(_EDGES),
    st.sampled_from(_AROUND),
)
BOUNDS = st.none() | NOWS.map(lambda now: written(now))

FIELDS = [
    "task", "complexity", "use_case", "team", "user_tier", "modalities", "input_tokens", "context_needed",
    "latency_budget_ms", "data_class", "region", "batch", "tag:env", "tag:__proto__", "tag::\U0001f600", "hour",
    "weekday",
]  # fmt: skip


def copied(value: Any) -> Any:
    """Return a value as a reader of JSON has it: its own, and halves of pairs that meet are one character."""
    return json.loads(json.dumps(value))


def written(now: datetime) -> str:
    return now.isoformat().replace("+00:00", "Z")


@st.composite
def comparisons(draw):
    field = draw(st.sampled_from(FIELDS))
    op = draw(st.sampled_from(["eq", "ne", "in", "not_in", "gt", "gte", "lt", "lte", "contains", "exists"]))
    # Mostly of the field's kind; the others are compared as well.
    values = SCALARS
    zone = {}
    if field in ("hour", "weekday"):
        values, zone = st.integers(0, 23) | SCALARS, {"zone": draw(ZONES)}
    elif field in ("complexity", "input_tokens", "context_needed", "latency_budget_ms"):
        values = DECIMALS | INTEGERS | SCALARS
    value = st.lists(values, min_size=1, max_size=3) if op in ("in", "not_in") else values
    return {"field": field, "op": op, "value": draw(st.booleans() if op == "exists" else value), **zone}


CONDITIONS = st.recursive(
    comparisons(),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
        inner.map(lambda part: {"not": part}),
    ),
    max_leaves=5,
)
KEYS = st.sampled_from(["request_id", "session", "user", "use_case", "team", "tag:env", "tag:__proto__"])


@st.composite
def choices(draw, ways=("weight", "order", "score")):
    way = draw(st.sampled_from(ways))
    names = draw(st.lists(NAMES, min_size=1, max_size=4))
    if way != "weight":
        return {"choose": way, "targets": [{"offering": name} for name in names]}
    weights = draw(st.lists(st.integers(0, 10_000), min_size=len(names), max_size=len(names)))
    return {"targets": [{"offering": name, "weight": weight} for name, weight in zip(names, weights, strict=True)]}


@st.composite
def common(draw):
    return draw(choices()) | {
        "sticky_by": draw(st.none() | KEYS),
        "fallbacks": draw(st.lists(NAMES, max_size=3, unique=True)),
        "timeout_ms": draw(st.none() | st.just(30_000)),
        "params": draw(st.sampled_from([{}, {"p": {"é": [1, None, {"__proto__": "x"}]}}])),
    }


@st.composite
def rules(draw, number):
    return draw(common()) | {
        "id": f"r{number}",
        "use_cases": draw(st.none() | st.lists(SOUND.filter(bool), min_size=1, max_size=3)),
        "when": draw(st.none() | CONDITIONS),
        "over_budget": draw(st.none() | choices(("weight", "order"))),
        "use_default": draw(st.booleans()),
        "active_from": draw(BOUNDS),
        "active_until": draw(BOUNDS),
    }


_KEYWORDS = st.sampled_from(
    ["a", "A", "a A", "\xe9", "\xe9\u0301", "c++", "#x", "\u7ffb", "\u7ffb\u8b6f", "\ufffd", "\U0001f600", "a_1",
     "\u0130",
     "_", "```", "a\xa0a", "\u0e01", "\u212a", "\ufeff"]
)  # fmt: skip
TEXTS = st.lists(
    st.sampled_from([*_PIECES, *_HALVES, "```", "~~~", " ```", "\t~~~~", "\r\n", "\x85", "a a", "c++", "#x", "\u0e01"]),
    max_size=8,
).map("".join)
COUNTS = st.one_of(
    st.fixed_dictionaries({"at_least": st.integers(0, 3)}, optional={"at_most": st.integers(0, 12)}),
    st.fixed_dictionaries({"at_most": st.integers(0, 3)}),
)


@st.composite
def signals(draw):
    count = draw(st.sampled_from(["characters", "lines", "code_fences", "keywords"]))
    words = {"words": draw(st.lists(_KEYWORDS, min_size=1, max_size=13, unique=True))} if count == "keywords" else {}
    return {"count": count, **draw(COUNTS), **words}


_TASKS = st.fixed_dictionaries(
    {"task": st.sampled_from(["a", "\xe9", "\U0001f600"]), "any": st.lists(signals(), min_size=1, max_size=3)}
)
HEURISTICS = st.fixed_dictionaries(
    {},
    optional={
        "tasks": st.lists(_TASKS, max_size=3),
        "complexity": st.lists(
            st.builds(lambda one, points: one | {"points": points}, signals(), st.integers(-100, 100)), max_size=4
        ),
    },
)


@st.composite
def contents(draw):
    made = {
        "rules": [draw(rules(n)) for n in range(draw(st.integers(0, 4)))],
        "default": draw(common()),
        "offerings": {name: OFFERINGS[name] for name in draw(st.sets(st.sampled_from(sorted(OFFERINGS)), min_size=2))},
    }
    labels = draw(st.just("absent") | st.none() | HEURISTICS)
    return made if labels == "absent" else made | {"heuristics": labels}


_DIMENSIONS = {
    "use_case": ["a", "A", "\xe9"], "team": ["\u0130", ""], "gateway": ["g", "\U0001f600"], "model": ["a"],
    "offering": ["b@p"], "provider": ["q"], "tier": ["frontier", "middle"], "tag:env": ["a", "\ufffd"],
    "tag:__proto__": ["a"],
}  # fmt: skip


@st.composite
def states(draw):
    budgets = [
        {
            "id": f"b-{n}",
            "match": {
                name: draw(st.sampled_from([_DIMENSIONS[name], _DIMENSIONS[name], []]))
                for name in draw(st.lists(st.sampled_from(sorted(_DIMENSIONS)), max_size=2, unique=True))
            },
            "state": draw(st.sampled_from(["ok", "exceeded", "exceeded", "exceeded"])),
            "action": draw(st.sampled_from(["downgrade", "block"])),
            "until": draw(BOUNDS),
        }
        for n in range(draw(st.integers(0, 3)))
    ]
    subjects = st.sampled_from(
        [("provider", "p"), ("provider", "q"), ("model", "a"), ("offering", "b@p"), ("model", "c")]
    )
    switches = [
        {kind: name, "off": draw(st.booleans()), "until": draw(BOUNDS)}
        for kind, name in draw(st.lists(subjects, max_size=4))
    ]
    orders = draw(st.dictionaries(st.sampled_from(["r0", "r1", "default", "toString"]), st.lists(NAMES, max_size=4)))
    canary = None
    if draw(st.booleans()):
        canary = draw(contents()) | {
            "version": 2,
            "share": draw(st.integers(0, 10_000)),
            "salt": draw(SOUND.filter(bool)),
        }
        if draw(st.booleans()):
            canary["sticky_by"] = draw(KEYS)
    return {"revision": 1, "budgets": budgets, "switches": switches, "orders": orders, "canary": canary}


@st.composite
def documents(draw):
    """Give a valid document, with everything that one may have."""
    return draw(contents()) | {
        "spec": 1, "environment": "production", "version": 1, "published_at": "2026-11-20T12:00:00Z",
        "state": draw(states()),
    }  # fmt: skip


_ODD = st.one_of(
    st.none(), st.booleans(), INTEGERS, st.sampled_from([2**53, -(2**53), 0.5, 1.0, -0.0, 1e300]), ANY_TEXT, DECIMALS,
    NO_DECIMALS, st.lists(ANY_TEXT | st.integers(0, 1), max_size=3), st.just({}),
)  # fmt: skip
_TAGS = st.dictionaries(
    st.sampled_from(["env", "__proto__", ":\U0001f600", "constructor"]), ANY_TEXT | _ODD, max_size=3
)
_TEXT_FIELDS = [
    "task", "use_case", "team", "user_tier", "data_class", "region", "request_id", "session", "user", "gateway",
]  # fmt: skip
_NUMBERS = ["complexity", "input_tokens", "context_needed", "latency_budget_ms"]


@st.composite
def requests(draw) -> Any:
    """Give a request, as a reader of JSON has it: mostly of the right kinds."""
    fields: dict[str, Any] = dict.fromkeys(_TEXT_FIELDS, ANY_TEXT | _ODD) | dict.fromkeys(_NUMBERS, DECIMALS | _ODD)
    fields |= {
        "batch": st.booleans() | _ODD, "tags": _TAGS | _ODD, "modalities": st.lists(ANY_TEXT | _ODD, max_size=3) | _ODD,
        "gateway_kind": st.sampled_from(["litellm", "é\U0001f600", "é\ud83d", "__proto__"]), "colour": _ODD,
        "text": TEXTS,
    }  # fmt: skip
    request = draw(st.fixed_dictionaries({}, optional=fields))
    return copied(request)


@st.composite
def mutated(draw) -> Any:
    """Give a document with one thing in it that is otherwise; it may be as good as before."""
    document = copied(draw(documents()))
    for _ in range(draw(st.integers(1, 2))):
        holders = [document]
        for holder in holders:
            children = holder.values() if isinstance(holder, dict) else holder
            holders.extend(child for child in children if isinstance(child, dict | list) and child)
        holder = draw(st.sampled_from(holders))
        key = draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
        how = draw(st.sampled_from(["replace", "remove", "add", "copy"]))
        if how == "replace":
            holder[key] = copied(draw(_STRANGE))
        elif how == "remove":
            del holder[key]
        elif isinstance(holder, list):
            holder.insert(key, copied(holder[key] if how == "copy" else draw(_STRANGE)))
        else:
            holder[draw(_MEMBERS)] = copied(holder[key] if how == "copy" else draw(_STRANGE))
        if not document:
            break
    return document


_DEEP: Any = {"field": "task", "op": "eq", "value": "a"}
for _ in range(58):
    _DEEP = {"not": _DEEP}
_STRANGE = st.one_of(
    st.sampled_from(
        [None, True, False, 0, 1, -1, 100, 101, 10_000, 10_001, 100_000, 100_001, 3_600_000, 3_600_001, 1.5, 2.0,
         2**53 - 1,
         2**53, -(2**53), 1e300, "", " ", "a", "a ", " a", "a\nb", "default", "a:b", "tag:", "tag:a", "tag:\r",
         "tag:\n",
         "tag:\u2028", "x" * 64, "x" * 65, "x" * 128, "x" * 129, "x" * 256, "x" * 257, "\U0001f600" * 64,
         "\U0001f600" * 65, "\U0001f600" * 256, "\U0001f600" * 257, "2026-02-28T23:59:59.999999Z",
         "2026-02-29T00:00:00Z",
         "2024-02-29T00:00:00Z", "2026-11-20T24:00:00Z", "2026-11-20T12:00:60Z", "2026-11-20t12:00:00z",
         "2026-13-01T00:00:00Z", "1999-12-31T23:59:59Z", "2026-11-20T12:00:00+01:00", "2026-11-20T12:00:00.1234567Z",
         "2026-11-20", "2026-02-30", "0.5", "1e3", "weight", "order", "score", "eq", "in", "exists", "hour",
         "complexity",
         "keywords", "lines", "UTC", [], {}, [[]], [{}], ["a", "a"], ["a", 1], [1.5], {"a": {}}, {"a": 1}]
    ),
    comparisons(), CONDITIONS, choices(), HEURISTICS, st.just(_DEEP), st.just({"any": [_DEEP]}),
)  # fmt: skip
_MEMBERS = st.sampled_from(
    ["spec", "rules", "when", "all", "any", "not", "field", "op", "value", "zone", "choose", "targets", "weight",
     "tag:a",
     "tag:\r", "tag:\n", "tag:", "tag:\U0001f600", "at_most", "words", "until", "score", "owner", "title", "rationale",
     "max_usd_per_1k_tokens", "review_by", "region", "data_class", "constructor", "__proto__", "a b", "d@r",
     "heuristics"]
)  # fmt: skip
