"""What holds of every document that the schema accepts, and of every request."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from routing.rules import document, evaluator, labelling
from tests.drawing import drawn

OFFERINGS = {
    "a@p": {"model": "a", "provider": "p", "tier": "frontier"},
    "a@q": {"model": "a", "provider": "q", "tier": "frontier"},
    "b@p": {"model": "b", "provider": "p", "tier": "middle"},
    "c@q": {"model": "c", "provider": "q", "tier": None},
    "d@r": {"model": "d", "provider": "r"},
}
NAMES = st.sampled_from([*OFFERINGS, "nobody@nowhere"])
FIELDS = st.sampled_from(
    [
        "task", "complexity", "use_case", "team", "user_tier", "modalities", "input_tokens", "context_needed",
        "latency_budget_ms", "data_class", "region", "batch", "tag:env", "hour", "weekday",
    ]
)  # fmt: skip
WORDS = st.sampled_from(["x", "X", " x ", "é", "", "0.5", "1", "\ud800", "\U0001f600"])
SOUND_WORDS = WORDS.filter(lambda word: word != "\ud800")
INTEGERS = st.integers(min_value=-(2**53) + 1, max_value=2**53 - 1)
SCALARS = st.one_of(SOUND_WORDS, st.booleans(), INTEGERS, st.integers(0, 3).map(float))
INSTANTS = st.none() | st.sampled_from(
    ["2026-11-20T12:00:00Z", "2026-11-20T12:00:00.5Z", "2000-01-01T00:00:00Z", "2999-12-31T23:59:59.999999Z"]
)
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata", "Europe", "../etc/passwd", "Nowhere"])
NOWS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))


@st.composite
def comparisons(draw):
    field = draw(FIELDS)
    op = draw(st.sampled_from(["eq", "ne", "in", "not_in", "gt", "gte", "lt", "lte", "contains", "exists"]))
    if op in ("in", "not_in"):
        value = draw(st.lists(SCALARS, min_size=1, max_size=3))
    else:
        value = draw(st.booleans() if op == "exists" else SCALARS)
    zone = {"zone": draw(ZONES)} if field in ("hour", "weekday") else {}
    return {"field": field, "op": op, "value": value, **zone}


CONDITIONS = st.recursive(
    comparisons(),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
        inner.map(lambda part: {"not": part}),
    ),
    max_leaves=4,
)
KEYS = st.sampled_from(["request_id", "session", "user", "use_case", "team", "tag:env"])


@st.composite
def choices(draw, ways=("weight", "order", "score")):
    way = draw(st.sampled_from(ways))
    names = draw(st.lists(NAMES, min_size=1, max_size=3))
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
        "params": {"p": {"x": "y"}},
    }


@st.composite
def rules(draw, number):
    return draw(common()) | {
        "id": f"r{number}",
        "use_cases": draw(st.none() | st.lists(SOUND_WORDS.filter(bool), min_size=1, max_size=2)),
        "when": draw(st.none() | CONDITIONS),
        "over_budget": draw(st.none() | choices(("weight", "order"))),
        "use_default": draw(st.booleans()),
        "active_from": draw(INSTANTS),
        "active_until": draw(INSTANTS),
    }


BOUNDS = st.one_of(
    st.fixed_dictionaries({"at_least": st.integers(0, 3)}, optional={"at_most": st.integers(0, 100_000)}),
    st.fixed_dictionaries({"at_most": st.integers(0, 3) | st.just(2.0)}),
)
KEYWORDS = st.sampled_from(["x", "X", "é", "x é", "c++", "#x", "\u7ffb", "\ufffd", "\U0001f600", "a a"])


@st.composite
def signals(draw):
    count = draw(st.sampled_from(["characters", "lines", "code_fences", "keywords"]))
    words = {"words": draw(st.lists(KEYWORDS, min_size=1, max_size=4, unique=True))} if count == "keywords" else {}
    return {"count": count, **draw(BOUNDS), **words}


@st.composite
def heuristics(draw):
    made = {
        "tasks": draw(
            st.lists(
                st.fixed_dictionaries(
                    {"task": st.sampled_from(["x", "é"]), "any": st.lists(signals(), min_size=1, max_size=2)}
                ),
                max_size=3,
            )
        ),
        "complexity": [
            draw(signals()) | {"points": draw(st.integers(-100, 100))} for _ in range(draw(st.integers(0, 3)))
        ],
    }
    return {name: made[name] for name in draw(st.sets(st.sampled_from(sorted(made))))}


@st.composite
def contents(draw):
    count = draw(st.integers(0, 3))
    content = {"rules": [draw(rules(n)) for n in range(count)], "default": draw(common()), "offerings": OFFERINGS}
    labels = draw(st.just("absent") | st.none() | heuristics())
    return content if labels == "absent" else content | {"heuristics": labels}


DIMENSIONS = {
    "use_case": ["x", "X"], "team": ["é"], "gateway": ["g"], "model": ["a"], "offering": ["b@p"], "provider": ["q"],
    "tier": ["frontier"], "tag:env": ["x"],
}  # fmt: skip


@st.composite
def states(draw):
    budgets = [
        {
            "id": f"b-{n}",
            "match": {
                name: draw(st.sampled_from([DIMENSIONS[name], []]))
                for name in draw(st.lists(st.sampled_from(sorted(DIMENSIONS)), max_size=2, unique=True))
            },
            "state": draw(st.sampled_from(["ok", "exceeded", "exceeded"])),
            "action": draw(st.sampled_from(["downgrade", "block"])),
            "until": draw(INSTANTS),
        }
        for n in range(draw(st.integers(0, 2)))
    ]
    subjects = st.sampled_from([("provider", "p"), ("provider", "q"), ("model", "a"), ("offering", "b@p")])
    switches = [
        {kind: name, "off": draw(st.booleans()), "until": draw(INSTANTS)}
        for kind, name in draw(st.lists(subjects, max_size=3))
    ]
    orders = draw(st.dictionaries(st.sampled_from(["r0", "default"]), st.lists(NAMES, max_size=4)))
    canary = None
    if draw(st.booleans()):
        canary = draw(contents()) | {"version": 2, "share": draw(st.integers(0, 10_000)), "salt": "c-2"}
    return {"revision": 1, "budgets": budgets, "switches": switches, "orders": orders, "canary": canary}


@st.composite
def documents(draw):
    return draw(contents()) | {
        "spec": 1,
        "environment": "production",
        "version": 1,
        "published_at": "2026-11-20T12:00:00Z",
        "state": draw(states()),
    }


ANYTHING = st.one_of(
    st.none(), WORDS, INTEGERS, st.booleans(), st.floats(), st.lists(WORDS, max_size=2),
    st.dictionaries(st.sampled_from(["env", "x"]), WORDS | INTEGERS, max_size=2),
)  # fmt: skip
REQUEST = [
    "task", "complexity", "use_case", "team", "user_tier", "tags", "modalities", "input_tokens", "context_needed",
    "latency_budget_ms", "data_class", "region", "batch", "request_id", "session", "user", "gateway", "gateway_kind",
    "text", "colour",
]  # fmt: skip
TEXTS = st.text() | st.lists(st.sampled_from(["x", " ", "\n", "```", "é", "c++", "\ud800", "a a"])).map("".join)
CONTEXTS = st.builds(
    lambda context, text: context | text,
    st.dictionaries(st.sampled_from(REQUEST), ANYTHING | WORDS, max_size=8),
    st.fixed_dictionaries({}, optional={"text": TEXTS}),
)
QUICK = drawn(suppress_health_check=list(HealthCheck))


@QUICK
@given(documents(), CONTEXTS, NOWS)
def test_nothing_is_raised_on_a_document_that_the_schema_accepts(rules_document, context, now):
    assert document.schema_problems("document", rules_document) == []

    compiled = evaluator.compile(rules_document)
    decision = compiled.decide(context, now)

    assert decision.reason in evaluator.REASONS
    assert decision.blocked == (decision.reason in (evaluator.BUDGET_BLOCKS, evaluator.NOTHING_LEFT))
    assert compiled.explain(context, now)._replace(steps=()) == decision == compiled.decide(context, now)


@QUICK
@given(contents().filter(lambda content: content.get("heuristics")), TEXTS, CONTEXTS, NOWS)
def test_a_text_changes_no_more_than_the_labels_that_it_leads_to(content, text, context, now):
    labelled = evaluator.compile(served(content)).decide(context | {"text": text}, now)
    plain = served({name: value for name, value in content.items() if name != "heuristics"})
    said = {name: value for name, value in context.items() if name not in ("task", "complexity", "text")}
    said |= {"task": labelled.task, "complexity": labelled.complexity}

    assert evaluator.compile(plain).decide(said, now) == labelled


@QUICK
@given(TEXTS, KEYWORDS)
def test_a_keyword_occurs_where_the_page_says_so(text, word):
    signal = {"count": "keywords", "words": [word], "at_least": 1}
    content = {"rules": [], "default": {"targets": [{"offering": "b@p", "weight": 10_000}]}, "offerings": OFFERINGS}
    compiled = evaluator.compile(served(content | {"heuristics": {"tasks": [{"task": "yes", "any": [signal]}]}}))

    decision = compiled.decide({"text": text}, datetime(2026, 11, 20, tzinfo=UTC))

    assert (decision.task == "yes") == occurs(as_read(text), as_read(word))


def as_read(text):
    """Give a text as a reader of UTF-8 has it, with A to Z as a to z."""
    sound = "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in text)
    return "".join(letter.lower() if letter.isascii() else letter for letter in sound)


def occurs(text, word):
    """Say so in the plainest way there is."""

    def goes_on(one, other):
        return labelling.is_word_character(one) and labelling.is_word_character(other)

    return any(
        text[at : at + len(word)] == word
        and not (at > 0 and goes_on(text[at - 1], word[0]))
        and not (at + len(word) < len(text) and goes_on(word[-1], text[at + len(word)]))
        for at in range(len(text))
    )


def test_a_huge_text_costs_milliseconds():
    words = ["a" * length for length in range(1, 60)] + ["a a", "a a a", "c++"]
    signal = {"count": "keywords", "words": words, "at_least": 1}
    entries = [{"points": 1, "count": count, "at_least": 1} for count in ("characters", "lines", "code_fences")]
    content = {"rules": [], "default": {"targets": [{"offering": "b@p", "weight": 10_000}]}, "offerings": OFFERINGS}
    labels = {"tasks": [{"task": "yes", "any": [signal]}], "complexity": entries}
    compiled = evaluator.compile(served(content | {"heuristics": labels}))
    texts = [
        "b" * 5_000_000,
        "ba ab " * 1_000_000,
        "`" * 5_000_000,
        " " * 5_000_000,
        "\n" * 5_000_000,
        "äa" * 1_000_000,
    ]

    took = []
    for text in texts:
        start = time.perf_counter()
        compiled.decide({"text": text}, datetime(2026, 11, 20, tzinfo=UTC))
        took.append(time.perf_counter() - start)

    assert max(took) < 0.5  # some milliseconds; what backtracks takes minutes


@QUICK
@given(documents(), CONTEXTS, NOWS)
def test_no_decision_names_what_a_budget_removed_or_a_switch_turned_off(rules_document, context, now):
    decision = evaluator.compile(rules_document).decide(context, now)

    named = [name for name in (decision.offering, *decision.fallbacks) if name is not None]
    offerings = (rules_document["state"]["canary"] if decision.canary else rules_document)["offerings"]
    state = rules_document["state"]
    assert len(set(named)) == len(named)
    for name in named:
        facts = {"offering": name, **offerings[name]}
        assert not is_off(facts, state["switches"], now)
        for budget in state["budgets"]:
            whole = budget["action"] == "downgrade" and not {"model", "offering", "provider", "tier"} & {
                *budget["match"]
            }
            spared = whole and decision.taken_from == "over_budget"
            assert spared or not removes(budget, facts, context, now)


def is_off(facts, switches, now):
    """Say so in the plainest way there is: an implementation to compare with."""
    for kind in ("offering", "model", "provider"):
        for switch in reversed(switches):
            if switch.get(kind) == facts[kind] and in_force(switch, now):
                return switch["off"]
    return False


def removes(budget, facts, context, now):
    if budget["state"] != "exceeded" or not in_force(budget, now):
        return False
    tags = context.get("tags")
    for dimension, values in budget["match"].items():
        if dimension.startswith("tag:"):
            value = tags.get(dimension[4:]) if isinstance(tags, dict) else None
        else:
            value = context.get(dimension) if dimension in ("use_case", "team", "gateway") else facts.get(dimension)
        if dimension in ("use_case", "team") and isinstance(value, str):
            value, values = value.strip().casefold(), [label.casefold() for label in values]
        if not isinstance(value, str) or value not in values:
            return False
    return True


def in_force(entry, now):
    return entry["until"] is None or now < datetime.fromisoformat(entry["until"])


@QUICK
@given(st.integers(0, 10_000), st.integers(0, 10_000), st.text(min_size=1, max_size=20))
def test_a_share_that_grows_keeps_those_who_had_it(one, other, key):
    small, large = sorted((one, other))

    had, has = (split_of(share, key) == "a@p" for share in (small, large))

    assert has or not had


@QUICK
@given(st.integers(0, 10_000), st.integers(0, 10_000), st.text(min_size=1, max_size=20))
def test_a_canary_that_grows_keeps_those_who_had_it(one, other, key):
    small, large = sorted((one, other))

    had, has = (canary_of(share, key) for share in (small, large))

    assert has or not had


def test_a_share_gets_its_part_of_many_keys():
    taken = sum(split_of(1_000, f"session-{n}") == "a@p" for n in range(2_000))

    assert 160 < taken < 240


def served(content, **state):
    return content | {
        "spec": 1,
        "environment": "production",
        "version": 1,
        "published_at": "2026-11-20T12:00:00Z",
        "state": {"revision": 1, "budgets": [], "switches": [], "orders": {}, "canary": None, **state},
    }


def split_of(share, key):
    targets = [{"offering": "a@p", "weight": share}, {"offering": "b@p", "weight": 10_000 - share}]
    rule = {"id": "r", "targets": targets, "sticky_by": "session"}
    content = {"rules": [rule], "default": {"targets": [{"offering": "b@p", "weight": 10_000}]}, "offerings": OFFERINGS}
    return evaluator.compile(served(content)).decide({"session": key}, datetime(2026, 11, 20, tzinfo=UTC)).offering


def canary_of(share, key):
    content = {"rules": [], "default": {"targets": [{"offering": "b@p", "weight": 10_000}]}, "offerings": OFFERINGS}
    canary = content | {"version": 2, "share": share, "salt": "c-2"}
    return (
        evaluator.compile(served(content, canary=canary))
        .decide({"session": key}, datetime(2026, 11, 20, tzinfo=UTC))
        .canary
    )


def test_another_state_holds_the_same_rules_to_it():
    content = {"rules": [], "default": {"targets": [{"offering": "b@p", "weight": 10_000}]}, "offerings": OFFERINGS}
    compiled = evaluator.compile(served(content))
    now = datetime(2026, 11, 20, tzinfo=UTC)
    off = served(content, revision=2, switches=[{"model": "b", "off": True}])["state"]

    decision = compiled.with_state(off).decide({}, now)

    assert (decision.offering, decision.reason, decision.revision) == (None, "nothing_left", 2)
    assert compiled.decide({}, now).offering == "b@p"
