"""What is typed into the editor of a rule, as text: from a rule, from what was sent, and back as far as rows go."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.http import QueryDict

from dashboards.forms_rules_conditions import DEEPEST_GROUP, GROUPS, depth_of, end_of, rows_of
from routing.rules import document
from routing.rules.conditions import BOOLEAN, NUMBER, TAG, ZONED, kind_of
from routing.rules.document import NotADocument
from routing.rules.words import percent

# Of conditions 50 comparisons and as many groups as people can still read; the check counts comparisons.
MOST_ROWS = {"condition": 80, "target": 20, "fallback": 20, "over": 20, "param": 60}
_FULL = {
    "condition": "A rule has at most 50 conditions, and with groups 80 rows.",
    "target": "At most 20 targets.",
    "fallback": "At most 20 fallbacks.",
    "over": "At most 20 targets over budget.",
    "param": "At most 60 settings.",
}
WHOLE = 10_000
FIELD_WORDS = {
    "task": "Task",
    "complexity": "Complexity (0 to 1)",
    "input_tokens": "Input tokens",
    "context_needed": "Context needed, tokens",
    "latency_budget_ms": "Latency budget, ms",
    "user_tier": "User tier",
    "team": "Team",
    "use_case": "Use case",
    "data_class": "Data class",
    "region": "Region the data stays in",
    "modalities": "Modalities",
    "batch": "Batch",
    "hour": "Hour of the day (0 to 23)",
    "weekday": "Weekday (1 is Monday)",
    "tag": "Tag",
}
KIND_OF_FIELD = {name: kind_of(name) for name in FIELD_WORDS}
OPERATOR_WORDS = {
    "eq": "is",
    "ne": "is not",
    "in": "is one of",
    "not_in": "is none of",
    "gt": "is over",
    "gte": "is at least",
    "lt": "is under",
    "lte": "is at most",
    "contains": "contains",
    "exists": "is known",
    "missing": "is not known",
}
WITHOUT_VALUE = ("exists", "missing")
MATCH = [
    ("always", "every request"),
    ("all", "requests for which all of these hold"),
    ("any", "requests for which any of these holds"),
    ("json", "a condition written as JSON"),
]
STICKY = [
    ("request_id", "nothing: each request anew"),
    ("session", "the session"),
    ("user", "the user"),
    ("use_case", "the use case"),
    ("team", "the team"),
    ("tag", "a tag"),
]
CHOOSE = [("weight", "by weight"), ("order", "in order"), ("score", "by score, the best first")]
CHOOSE_OVER = CHOOSE[:2]
SCORES = {"score_price": "price", "score_latency": "latency", "score_errors": "errors"}
WEIGHT = re.compile(r"[0-9]{1,3}(\.[0-9]{1,2})?", re.ASCII)
WHOLE_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
_ROW = re.compile(r"(condition|target|fallback|over|param)-([0-9]{1,3})-([a-z]+)", re.ASCII)
_BOOLEANS = {"yes": True, "true": True, "no": False, "false": False}


@dataclass
class Typed:
    """The fields of the editor as text: single ones by name, and rows by kind."""

    single: dict[str, list[str]] = field(default_factory=dict)
    rows: dict[str, list[dict[str, str]]] = field(default_factory=lambda: {kind: [] for kind in MOST_ROWS})
    refused: dict[str, str] = field(default_factory=dict)  # what could not be added, by kind

    @classmethod
    def sent(cls, data: QueryDict) -> Typed:
        typed = cls()
        found: dict[tuple[str, int], dict[str, str]] = {}
        for name, values in data.lists():
            texts = [value.replace("\r\n", "\n") for value in values]
            at = _ROW.fullmatch(name)
            if at is None:
                typed.single[name] = texts
            else:
                found.setdefault((at[1], int(at[2])), {})[at[3]] = texts[-1]
        for (kind, _), row in sorted(found.items()):
            if len(typed.rows[kind]) < MOST_ROWS[kind]:
                typed.rows[kind].append(row)
            else:
                typed.refused[kind] = _FULL[kind]
        return typed

    @classmethod
    def of(cls, rule: Mapping[str, Any], zone: str) -> Typed:
        """Return what the editor shows for a rule, or the default, as it is stored."""
        typed = cls()
        when = rule.get("when")
        simple = rows_of(when, row_of)
        match, typed.rows["condition"], _ = simple or ("json", [], {})
        over = rule.get("over_budget") or {}
        typed.rows["target"] = _target_rows(rule)
        typed.rows["over"] = _target_rows(over)
        typed.rows["fallback"] = [{"offering": name} for name in rule.get("fallbacks") or ()]
        sticky = rule.get("sticky_by") or "request_id"
        values: dict[str, Any] = {
            "id": rule.get("id"),
            "title": rule.get("title"),
            "match": match,
            "condition": json.dumps(when, ensure_ascii=False, indent=1) if simple is None else "",
            "choose": rule.get("choose") or "weight",
            "over_choose": over.get("choose") or "weight",
            "sticky_by": "tag" if sticky.startswith(TAG) else sticky,
            "sticky_tag": sticky[len(TAG) :] if sticky.startswith(TAG) else "",
            "timeout_ms": rule.get("timeout_ms"),
            "max_usd": rule.get("max_usd_per_1k_tokens"),
            "active_from": _local_text(rule.get("active_from"), zone),
            "active_until": _local_text(rule.get("active_until"), zone),
            "rationale": rule.get("rationale"),
            "owner": rule.get("owner"),
            "review_by": rule.get("review_by"),
            "more_use_cases": "",
        }
        score = rule.get("score") or {}
        values |= {name: percent(score[member])[:-2] for name, member in SCORES.items() if member in score}
        typed.rows["param"] = [
            {"provider": provider, "name": name, "value": setting_text(value)}
            for provider, settings in (rule.get("params") or {}).items()
            for name, value in (settings.items() or [("", "")])
        ]
        typed.single = {name: [_text(value)] for name, value in values.items()}
        typed.single["use_cases"] = list(rule.get("use_cases") or ())
        typed.single["use_default"] = ["on"] if rule.get("use_default", True) else []
        return typed

    def one(self, name: str) -> str:
        return (self.single.get(name) or [""])[-1].strip()

    def add(self, named: str) -> None:
        """Add a row at the end, or with the number of a group, such as `condition-3`, as the last of that group.

        `group` and `group-3` add a group of conditions.
        """
        kind, _, number = named.partition("-")
        row = {"group": "any"} if kind == "group" else {}
        kind = "condition" if kind == "group" else kind
        if kind not in self.rows:
            return
        rows = self.rows[kind]
        if len(rows) >= MOST_ROWS[kind]:
            self.refused[kind] = _FULL[kind]
            return
        if kind == "condition" and self.one("match") in ("", "always"):
            self.single["match"] = ["all"]  # whoever adds a condition means that it holds
        if not number:
            rows.append(row)
        elif WHOLE_NUMBER.fullmatch(number) and int(number) < len(rows) and rows[int(number)].get("group"):
            depth = depth_of(rows[int(number)]) + 1
            if row and depth > DEEPEST_GROUP:
                self.refused[kind] = "Groups are nested three deep at most."
                return
            rows.insert(end_of(rows, int(number)), {**row, "depth": str(depth)})

    def drop(self, named: str) -> None:
        """Take a row out; with a group all that is in it."""
        kind, index = self._row(named)
        if index is not None:
            del self.rows[kind][index : end_of(self.rows[kind], index)]

    def refit(self, zone: str) -> None:
        """Fill in what goes without saying for what a condition looks at now: whose hours are meant."""
        for row in self.rows["condition"]:
            if row.get("field") in ZONED and not row.get("zone"):
                row["zone"] = zone

    def whole(self, kind: str) -> None:
        """Make weights sum to 100 per cent: empty ones share what is left, else all grow or shrink alike."""
        rows = [row for row in self.rows.get(kind, ()) if "weight" in row or row.get("offering")]
        texts = [row.get("weight", "").strip() for row in rows]
        given = [basis_points(text) for text in texts]
        if not rows or any(text and points is None for text, points in zip(texts, given, strict=True)):
            return  # what cannot be read is said so when it is saved
        points = [one or 0 for one in given]
        left = WHOLE - sum(points)
        blank = [index for index, one in enumerate(given) if one is None]
        if blank and left > 0:
            for index, share in zip(blank, _shared(left, [1] * len(blank)), strict=True):
                points[index] = share
        else:
            points = _shared(WHOLE, points if any(points) else [1] * len(points))
        for row, one in zip(rows, points, strict=True):
            row["weight"] = percent(one)[:-2]

    def up(self, named: str) -> None:
        kind, index = self._row(named)
        if index:
            rows = self.rows[kind]
            rows[index - 1], rows[index] = rows[index], rows[index - 1]

    def _row(self, named: str) -> tuple[str, int | None]:
        kind, _, number = named.partition("-")
        if WHOLE_NUMBER.fullmatch(number) and kind in self.rows and int(number) < len(self.rows[kind]):
            return kind, int(number)
        return kind, None


def _text(value: Any) -> str:
    return "" if value is None else str(value).replace("\r\n", "\n")


def _target_rows(part: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {"offering": target["offering"], "weight": percent(target["weight"])[:-2] if "weight" in target else ""}
        for target in part.get("targets") or ()
    ]


def _shared(whole: int, parts: Sequence[int]) -> list[int]:
    """Divide a whole in proportion, to the last basis point; what is left over goes to those that lost most."""
    total = sum(parts)
    made = [whole * part // total for part in parts]
    by_loss = sorted(range(len(parts)), key=lambda index: (-(whole * parts[index] % total), index))
    for index in by_loss[: whole - sum(made)]:
        made[index] += 1
    return made


def setting_text(value: Any) -> str:
    """Return a setting as it is typed: a text as it is, anything else, and a text that looks like it, as JSON."""
    try:
        if isinstance(value, str) and setting_of(value) == value:
            return value
    except Unreadable:
        pass
    return json.dumps(value, ensure_ascii=False)


def setting_of(text: str) -> Any:
    """Read a setting: a whole number, true, false, null, something in brackets or in quotes as JSON, else a text.

    Raises:
        Unreadable: brackets or quotes that do not hold JSON.
    """
    if text.strip() != text:
        return text
    if text in ("true", "false", "null") or re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", text, re.ASCII):
        return json.loads(text)
    if text[:1] not in ('"', "{", "["):
        return text
    try:
        return document.parse(f'{{"it": {text}}}')["it"]
    except (NotADocument, KeyError) as error:
        raise Unreadable(f"This cannot be read as JSON: {error}.") from error


def row_of(part: Mapping[str, Any]) -> dict[str, str] | None:
    if "field" not in part:
        return None
    name, op, value = part["field"], part["op"], part["value"]
    if op == "exists":
        op, text = ("exists" if value is True else "missing"), ""
    elif isinstance(value, list):
        text = ", ".join(_value_text(item) for item in value)
    else:
        text = _value_text(value)
    tagged = name.startswith(TAG)
    row = {
        "field": "tag" if tagged else name,
        "tag": name[len(TAG) :] if tagged else "",
        "op": op,
        "value": text,
        "zone": part.get("zone", ""),
    }
    # Spaces at an end, a comma in a list, another kind of value: what would come back as something else is no row.
    if row_problems(row) or _as_texts(comparison_of(row)) != _as_texts(part):
        return None
    return row


def _value_text(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _as_texts(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a comparison with its integers as text: 5 and "5" are the same number."""
    value = part["value"]
    if kind_of(part["field"]) == NUMBER:
        value = [_value_text(one) for one in value] if isinstance(value, list) else _value_text(value)
    return {**part, "value": value}


def comparison_of(row: Mapping[str, str]) -> dict[str, Any]:
    """Return the comparison that a row's fields say; what was typed as a number stays the text that was typed."""
    name = row.get("field", "")
    named = TAG + row.get("tag", "").strip() if name == "tag" else name
    op = row.get("op", "")
    text = row.get("value", "").strip()
    value: Any
    if op in WITHOUT_VALUE:
        op, value = "exists", op == "exists"
    elif op in ("in", "not_in"):
        value = [item.strip() for item in text.split(",") if item.strip()]
    elif kind_of(named) == BOOLEAN:
        value = _BOOLEANS.get(text.lower(), text)
    else:
        value = text
    made = {"field": named, "op": op, "value": value}
    if named in ZONED:
        made["zone"] = row.get("zone", "").strip()
    return made


def row_problems(row: Mapping[str, str]) -> list[tuple[str, str]]:
    problems = []
    if row.get("group"):
        return [] if row["group"] in GROUPS else [("group", "Choose how these are joined.")]
    name = row.get("field", "")
    if name not in FIELD_WORDS:
        problems.append(("field", "Choose what is looked at."))
    elif name == "tag" and not row.get("tag", "").strip():
        problems.append(("tag", "Name the tag."))
    elif name in ZONED and not row.get("zone", "").strip():
        problems.append(("zone", "Name the time zone, such as Europe/Berlin."))
    if row.get("op", "") not in OPERATOR_WORDS:
        problems.append(("op", "Choose how it is compared."))
    elif (
        row["op"] not in WITHOUT_VALUE and not comparison_of(row)["value"] and comparison_of(row)["value"] is not False
    ):
        problems.append(("value", "Say what it is compared with."))
    return problems


def _local_text(instant: str | None, zone: str) -> str:
    if not instant:
        return ""
    local = datetime.fromisoformat(instant).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    return local.isoformat(timespec="auto" if local.microsecond else "seconds" if local.second else "minutes")


class Unreadable(ValueError):
    """What was typed cannot be read; the message says what was expected."""


def local_instant(text: str, zone: str) -> datetime:
    """Read a day and time of a zone, as a browser's field for them sends it, or as people write it.

    Raises:
        Unreadable: no such form, no time that the zone's clocks ever show, or not of these centuries.
    """
    try:
        local = datetime.fromisoformat(text)
        info = ZoneInfo(zone)
        if local.tzinfo is None:
            if local.year < 2000 or local.year > 2999:
                raise Unreadable("This is a day from 2000 on.")
            instant = local.replace(tzinfo=info).astimezone(UTC)
            if instant.astimezone(info).replace(tzinfo=None) != local:
                raise Unreadable(f"The clocks in {zone} never show this time.")
            return instant
    except Unreadable:
        raise
    except (ValueError, OverflowError):
        pass
    raise Unreadable(f"Write a day and a time in {zone}, such as 2026-12-01 08:00.")


def instant_text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def json_object(text: str) -> dict[str, Any]:
    """Read an object as a document may hold it.

    Raises:
        Unreadable: no JSON, no object, or what no document can hold.
    """
    try:
        value = document.parse(text)
        document.dumps(value)
    except NotADocument as error:
        raise Unreadable(f"This cannot be read: {error}.") from error
    return value


def basis_points(text: str) -> int | None:
    text = text.replace("%", "").strip()
    if not WEIGHT.fullmatch(text):
        return None
    whole, _, rest = text.partition(".")
    points = int(whole) * 100 + int((rest + "00")[:2])
    return points if points <= 10_000 else None


def blank(kind: str, row: Mapping[str, str]) -> bool:
    if kind == "param":
        return not any(value.strip() for value in row.values())
    if kind == "condition":
        return not any(row.get(name, "").strip() for name in ("group", "field", "value", "tag"))
    return not row.get("offering") and not row.get("weight", "").strip()


def plain_row(row: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value.strip() for name, value in row.items() if value.strip()}
    if kept.get("depth") == "0":
        del kept["depth"]
    if kept.get("group"):
        return {name: kept[name] for name in ("group", "depth") if name in kept}
    return kept
