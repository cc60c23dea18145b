"""The editor of a rule: fields in, a rule out, and everything that is wrong at its field.

It only reads what was typed. What it cannot read, such as a weight of "1,5", it says at once and never guesses. A part
of a rule whose fields were sent as they had been shown stays as it is stored, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.datastructures import MultiValueDict

from dashboards.forms import Told
from dashboards.forms_rules import ConditionRow, OfferingRow, ParamRow, RuleFields, TargetRow
from dashboards.forms_rules_conditions import DEEPEST_GROUP, condition_of, depth_of, place_of, rows_of
from dashboards.forms_rules_inputs import fitted
from dashboards.forms_rules_typed import (
    MOST_ROWS,
    SCORES,
    STICKY,
    WHOLE_NUMBER,
    Typed,
    Unreadable,
    basis_points,
    blank,
    comparison_of,
    instant_text,
    json_object,
    local_instant,
    plain_row,
    row_of,
    row_problems,
    setting_of,
)
from dashboards.selectors.rules import Choices
from dashboards.templatetags.console import sentence
from routing.rules.conditions import TAG
from routing.rules.document import Problem
from routing.rules.words import condition_text, percent

# The single fields of the default.
OF_DEFAULT = ("choose", "sticky_by", "sticky_tag", "timeout_ms", *SCORES)
# What can be wrong with a part as a whole.
PARTS = ("rule", "when", "targets", "over_budget", "fallbacks", "params")
_PART_OF = {"condition": "when", "target": "targets", "over": "over_budget", "fallback": "fallbacks", "param": "params"}
ROW_FORMS: dict[str, type[Told]] = {
    "condition": ConditionRow,
    "target": TargetRow,
    "fallback": OfferingRow,
    "over": TargetRow,
    "param": ParamRow,
}

# What the schema says in its own tongue, for people; by the member of the rule that breaks it.
_SCHEMA_WORDS = {
    "id": "This is 1 to 64 letters, digits, dots, dashes or underscores, and not \N{LEFT DOUBLE QUOTATION MARK}default"
    "\N{RIGHT DOUBLE QUOTATION MARK}.",
    "title": "This is a line of 200 characters at most.",
    "use_cases": "A use case has 1 to 128 characters, and a rule at most 500 of them.",
    "targets": "Add at least one target; at most 20 are allowed.",
    "over_budget": "Add at least one target; at most 20 are allowed.",
    "fallbacks": "At most 20 fallbacks, each once.",
    "sticky_by": "Name the tag, in 64 characters at most.",
    "timeout_ms": "This is a whole number of milliseconds from 1 to 3,600,000.",
    "max_usd_per_1k_tokens": "Write a decimal such as 0.02.",
    "params": "Settings have a provider, a name and a value.",
    "active_from": "This is a day from 2000 on, with hour and minute.",
    "active_until": "This is a day from 2000 on, with hour and minute.",
    "rationale": "At most 4,000 characters.",
    "owner": "At most 254 characters.",
    "review_by": "Write a day such as 2027-02-20.",
}
_AT_FIELD = {
    "id": "id",
    "title": "title",
    "use_cases": "more_use_cases",
    "when": "match",
    "sticky_by": "sticky_by",
    "timeout_ms": "timeout_ms",
    "max_usd_per_1k_tokens": "max_usd",
    "use_default": "use_default",
    "active_from": "active_from",
    "active_until": "active_until",
    "rationale": "rationale",
    "owner": "owner",
    "review_by": "review_by",
}


@dataclass
class Built:
    """A rule as the fields say, and what in them cannot be read."""

    rule: dict[str, Any]
    unreadable: bool


class RuleEditor:
    """The editor of a rule, or with `whole=False` of the default, which has neither conditions nor people.

    `typed` is what is in the fields; `stored` the rule as it was when they were shown, empty for a new one.
    """

    def __init__(
        self, *, stored: Mapping[str, Any], typed: Typed, choices: Choices, zone: str, whole: bool = True
    ) -> None:
        self.stored, self.typed, self.zone, self.whole = stored, typed, zone, whole
        self.choices = choices
        self.problems: dict[str, list[str]] = {part: [] for part in PARTS}
        for kind, text in typed.refused.items():
            self.problems[_PART_OF[kind]].append(text)
        self._kept: dict[str, list[int]] = {}  # the row of each condition, target, ... of what was built
        self._weights_read = self._condition_read = self._scores_read = True
        single = MultiValueDict({name: list(values) for name, values in typed.single.items()})
        self.fields = RuleFields(single)
        if whole:
            self.fields.fields["use_cases"].choices = self._use_case_choices()  # type: ignore[attr-defined]
            for name in ("active_from", "active_until"):
                self.fields.fields[name].widget.attrs["type"] = "datetime-local"
                self.fields.fields[name].help_text = f"In {zone}; empty: no bound"
        else:
            for name in set(self.fields.fields) - set(OF_DEFAULT):
                del self.fields.fields[name]
        self.rows: dict[str, list[Told]] = {kind: self._row_forms(kind) for kind in MOST_ROWS}
        found = rows_of(stored.get("when"), row_of)
        self._conditions_at: dict[str, int] = {} if found is None else found[2]

    def _use_case_choices(self) -> list[tuple[str, str]]:
        known = [*self.choices.use_cases, *self.typed.single.get("use_cases", ())]
        return [(name, name) for name in dict.fromkeys(known)]

    def _row_forms(self, kind: str) -> list[Told]:
        made = []
        for number, row in enumerate(self.typed.rows[kind]):
            form = ROW_FORMS[kind](
                MultiValueDict({f"{kind}-{number}-{name}": [value] for name, value in row.items()}),
                prefix=f"{kind}-{number}",
            )
            if "offering" in form.fields:
                form.fields["offering"].widget.offer(self.choices.offerings, row.get("offering", ""))
            if kind == "param":
                known = {one.name.rpartition("@")[2] for one in self.choices.offerings} | {row.get("provider", "")}
                form.fields["provider"].widget.choices = [
                    ("", "Choose"), *((name, name) for name in sorted(known) if name)
                ]  # fmt: skip
            if kind == "condition":
                fitted(form, row, may_hold_groups=depth_of(row) < DEEPEST_GROUP)
            made.append(form)
        return made

    # For the template

    @property
    def conditions(self) -> list[Told]:
        return self.rows["condition"]

    @property
    def targets(self) -> list[Told]:
        return self.rows["target"]

    @property
    def fallbacks(self) -> list[Told]:
        return self.rows["fallback"]

    @property
    def over(self) -> list[Told]:
        return self.rows["over"]

    @property
    def settings(self) -> list[Told]:
        return self.rows["param"]

    @property
    def by_score(self) -> bool:
        return self.typed.one("choose") == "score"

    @property
    def sum(self) -> str:
        return self._sum("target")

    @property
    def over_sum(self) -> str:
        return self._sum("over")

    def _sum(self, kind: str) -> str:
        weights = [basis_points(row.get("weight", "")) or 0 for row in self.typed.rows[kind]]
        return percent(sum(weights))

    @property
    def chosen(self) -> list[str]:
        return self.typed.single.get("use_cases", [])

    @property
    def stored_words(self) -> str:
        when = self.stored.get("when")
        return condition_text(when) if when else ""

    @property
    def further_open(self) -> bool:
        """Say whether one of the fields that few rules need has something in it, or something wrong."""
        names = ("timeout_ms", "max_usd", "active_from", "active_until")
        settings = self.typed.rows["param"] or self.problems["params"]
        return bool(settings) or any(self.typed.one(name) or name in self.fields.errors for name in names)

    @property
    def in_json(self) -> bool:
        return self.typed.one("match") == "json"

    @property
    def has_errors(self) -> bool:
        forms_of_rows = [form for kind in self.rows.values() for form in kind]
        return bool(any(self.problems.values()) or self.fields.errors or any(form.errors for form in forms_of_rows))

    # Reading

    def read(self) -> Built:
        """Return the rule that the fields say; what cannot be read is shown at its field and left as it is stored."""
        shown = Typed.of(self.stored, self.zone)
        readable = self.fields.is_valid()
        readable &= all(form.is_valid() for kind in self.rows.values() for form in kind)
        rule = dict(self.stored)
        readers: list[tuple[tuple[str, ...], tuple[str, ...], Any]] = [
            (("choose", *SCORES), ("target",), self._read_targets),
            (("sticky_by", "sticky_tag"), (), self._read_sticky),
            ((), ("fallback",), self._read_fallbacks),
            (("timeout_ms",), (), self._read_timeout),
            ((), ("param",), self._read_params),
        ]
        if self.whole:
            readers += [
                (("id",), (), self._plain("id")),
                (("title",), (), self._plain("title")),
                (("use_cases", "more_use_cases"), (), self._read_use_cases),
                (("match", "condition"), ("condition",), self._read_condition),
                (("over_choose",), ("over",), self._read_over),
                (("max_usd",), (), self._plain("max_usd_per_1k_tokens", "max_usd")),
                (("active_from",), (), self._read_instant("active_from")),
                (("active_until",), (), self._read_instant("active_until")),
                (("use_default",), (), self._read_use_default),
                (("rationale",), (), self._plain("rationale")),
                (("owner",), (), self._plain("owner")),
                (("review_by",), (), self._plain("review_by")),
            ]
        for names, kinds, read in readers:
            for kind in kinds:
                self._kept[kind] = [index for index, row in enumerate(self.typed.rows[kind]) if not blank(kind, row)]
            if self.stored and self._same(shown, names, kinds):
                if "match" in names:
                    kept = self._kept["condition"]
                    self._conditions_at = {at: kept[i] for at, i in self._conditions_at.items() if i < len(kept)}
                continue
            try:
                read(rule)
            except Unreadable as error:
                readable = False
                self._condition_read &= "match" not in names
                if str(error):
                    self.fields.add_error(names[0], str(error))
        return Built(rule=rule, unreadable=not readable)

    def _same(self, shown: Typed, names: tuple[str, ...], kinds: tuple[str, ...]) -> bool:
        for name in names:
            mine = [text.strip() for text in self.typed.single.get(name, ()) if text.strip()]
            theirs = [text.strip() for text in shown.single.get(name, ()) if text.strip()]
            if (set(mine) != set(theirs)) if name == "use_cases" else (mine != theirs):
                return False
        for kind in kinds:
            mine_rows = [plain_row(row) for row in self.typed.rows[kind] if not blank(kind, row)]
            if mine_rows != [plain_row(row) for row in shown.rows[kind]]:
                return False
        return True

    def _plain(self, member: str, name: str = "") -> Any:
        def read(rule: dict[str, Any]) -> None:
            _set(rule, member, self.typed.one(name or member), needed=member == "id")

        return read

    def _read_use_cases(self, rule: dict[str, Any]) -> None:
        chosen = [name for name in self.typed.single.get("use_cases", ()) if name]
        typed = [part.strip() for part in re.split(r"[,\n]", self.typed.one("more_use_cases"))]
        before = [name for name in self.stored.get("use_cases") or () if name in chosen]
        found = list(dict.fromkeys([*before, *chosen, *(part for part in typed if part)]))
        _set(rule, "use_cases", found)

    def _read_condition(self, rule: dict[str, Any]) -> None:
        match = self.typed.one("match")
        if match == "always":
            rule.pop("when", None)
            if self._kept["condition"]:
                self.fields.add_error(
                    "match", "There are conditions below: remove them, or let all or any of them hold."
                )
                raise Unreadable
            return
        if match == "json":
            try:
                rule["when"] = json_object(self.typed.one("condition"))
            except Unreadable as error:
                self.fields.add_error("condition", str(error))
                raise Unreadable from error
            return
        wrong = match not in ("all", "any")
        for index in self._kept["condition"]:
            problems = row_problems(self.typed.rows["condition"][index])
            self.conditions[index].show(problems)
            wrong |= bool(problems)
        if not self._kept["condition"] and not wrong:
            self.problems["when"].append("Add a condition, or let the rule be for every request.")
            wrong = True
        rows = [(index, self.typed.rows["condition"][index]) for index in self._kept["condition"]]
        when, self._conditions_at, empty = condition_of(match, rows, comparison_of)
        for index in empty:
            self.conditions[index].show([("group", "Add a condition to this group, or remove it.")])
        if wrong or empty:
            raise Unreadable
        rule["when"] = when

    def _read_targets(self, rule: dict[str, Any]) -> None:
        choose = self._how("choose")
        _set(rule, "choose", "" if choose == "weight" and "choose" not in rule else choose)
        self._read_score(rule, choose)
        rule["targets"], readable = self._targets("target", choose)
        if not readable or not self._scores_read:
            raise Unreadable

    def _read_score(self, rule: dict[str, Any], choose: str) -> None:
        rule.pop("score", None)
        if choose != "score":
            return
        made: dict[str, int] = {}
        for name, member in SCORES.items():
            text = self.typed.one(name)
            points = basis_points(text) if text else None
            if text and points is None:
                self.fields.add_error(name, "A per cent from 0 to 100, such as 50.")
                self._scores_read = False
            elif points is not None:
                made[member] = points
        if made:
            rule["score"] = made

    def _read_over(self, rule: dict[str, Any]) -> None:
        if not self._kept["over"]:
            rule.pop("over_budget", None)
            return
        choose = self._how("over_choose")
        targets, readable = self._targets("over", choose)
        made: dict[str, Any] = {"targets": targets}
        rule["over_budget"] = made if choose == "weight" else {"choose": choose, **made}
        if not readable:
            raise Unreadable

    def _how(self, name: str) -> str:
        """Return how targets are chosen; by weight for the other checks, where that cannot be read and is said so."""
        chosen = self.typed.one(name)
        return chosen if chosen in dict(self.fields.fields[name].choices) else "weight"  # type: ignore[attr-defined]

    def _targets(self, kind: str, choose: str) -> tuple[list[dict[str, Any]], bool]:
        """Return the targets that could be read, for the other checks to look at, and whether that is all of them."""
        made: list[dict[str, Any]] = []
        kept, readable = [], True
        for index in self._kept[kind]:
            row, form = self.typed.rows[kind][index], self.rows[kind][index]
            target: dict[str, Any] = {"offering": row.get("offering", "")}
            if choose == "weight":
                weight = basis_points(row.get("weight", ""))
                if weight is None:
                    form.show([("weight", "A per cent from 0 to 100, with two decimals at most, such as 12.5.")])
                    readable = self._weights_read = False
                target["weight"] = weight or 0
            if not target["offering"]:
                form.show([("offering", "Choose an offering.")])
                readable = self._weights_read = False
                continue
            made.append(target)
            kept.append(index)
        self._kept[kind] = kept
        return made, readable

    def _read_sticky(self, rule: dict[str, Any]) -> None:
        sticky = self.typed.one("sticky_by")
        if sticky not in dict(STICKY):
            raise Unreadable
        if sticky == "tag":
            tag = (self.typed.single.get("sticky_tag") or [""])[-1].strip()
            if not tag:
                self.fields.add_error("sticky_tag", "Name the tag.")
                raise Unreadable
            sticky = TAG + tag
        _set(rule, "sticky_by", "" if sticky == "request_id" else sticky)

    def _read_fallbacks(self, rule: dict[str, Any]) -> None:
        _set(rule, "fallbacks", [self.typed.rows["fallback"][index]["offering"] for index in self._kept["fallback"]])

    def _read_timeout(self, rule: dict[str, Any]) -> None:
        text = self.typed.one("timeout_ms")
        if text and not WHOLE_NUMBER.fullmatch(text):
            raise Unreadable(_SCHEMA_WORDS["timeout_ms"])
        _set(rule, "timeout_ms", int(text) if text else None)

    def _read_params(self, rule: dict[str, Any]) -> None:
        made: dict[str, dict[str, Any]] = {}
        readable = True
        for index in self._kept["param"]:
            row, form = self.typed.rows["param"][index], self.settings[index]
            provider, name = row.get("provider", "").strip(), row.get("name", "").strip()
            settings = made.setdefault(provider, {})
            wrong = [] if provider else [("provider", "Choose a provider.")]
            if not name and row.get("value", "").strip():
                wrong.append(("name", "Name the setting."))
            if name in settings:
                wrong.append(("name", "This provider has this setting already."))
            try:
                value = setting_of(row.get("value", ""))
            except Unreadable as error:
                wrong.append(("value", str(error)))
            form.show(wrong)
            readable &= not wrong
            if name and not wrong:
                settings[name] = value
        if not readable:
            raise Unreadable
        _set(rule, "params", made or None)

    def _read_instant(self, member: str) -> Any:
        def read(rule: dict[str, Any]) -> None:
            text = self.typed.one(member)
            _set(rule, member, instant_text(local_instant(text, self.zone)) if text else None)

        return read

    def _read_use_default(self, rule: dict[str, Any]) -> None:
        if self.typed.single.get("use_default"):
            rule.pop("use_default", None)
        else:
            rule["use_default"] = False

    # Telling

    def show(self, problems: Iterable[Problem], *, place: str) -> None:
        """Show problems of the rule at `place` (a JSON pointer such as /rules/3), each at its field."""
        told = set()
        for problem in problems:
            if problem.pointer != place and not problem.pointer.startswith(f"{place}/"):
                continue
            path = problem.pointer[len(place) + 1 :].split("/")
            # What follows from something that could not be read is no news, and may not even be so.
            if problem.code == "weights" and not self._weights_read:
                continue
            if problem.code in ("unreachable", "residency") and not self._condition_read:
                continue
            where = self._where(path, problem)
            if where not in told:
                told.add(where)
                self._tell(*where)

    def _where(self, path: list[str], problem: Problem) -> tuple[str, int, str, str]:
        """Return the part, the row in it (-1: none), the field and the sentence."""
        member, rest = path[0], path[1:]
        text = _sentence(problem)
        in_schema = problem.code == "schema"
        words = _SCHEMA_WORDS.get(member, text) if in_schema else text
        if member == "when":
            return self._where_in_condition(rest, in_schema, text)
        if member == "over_budget":
            member, kind, rest = "over_budget", "over", rest[1:]
        else:
            kind = {"targets": "target", "fallbacks": "fallback"}.get(member, "")
        if kind:
            index = self._row_at(kind, rest[:1])
            if index < 0:
                return member, -1, "", words
            name = rest[1] if len(rest) > 1 and rest[1] in self.rows[kind][index].fields else "offering"
            return kind, index, name, "Choose an offering of the catalogue." if in_schema else text
        if member in _AT_FIELD:
            return "fields", -1, _AT_FIELD[member], words
        return "rule", -1, "", text

    def _where_in_condition(self, rest: list[str], in_schema: bool, text: str) -> tuple[str, int, str, str]:
        if self.in_json:
            return "fields", -1, "condition", text
        index, name = place_of("".join(f"/{part}" for part in rest), self._conditions_at)
        if index < 0 or index >= len(self.conditions):
            return "when", -1, "", text
        if self.typed.rows["condition"][index].get("group"):
            return "condition", index, "group", "A group holds 1 to 50 conditions." if in_schema else text
        at = name if name in ConditionRow.base_fields else "value"
        if in_schema:
            if at == "field":
                return "condition", index, "tag", "A tag's name has 1 to 64 characters."
            text = "This is too long, or nothing." if at == "value" else text
        return "condition", index, at, text

    def _row_at(self, kind: str, place: list[str]) -> int:
        kept = self._kept.get(kind)
        if kept is None:
            kept = list(range(len(self.rows[kind])))
        if place and WHOLE_NUMBER.fullmatch(place[0]) and int(place[0]) < len(kept):
            return kept[int(place[0])]
        return -1

    def _tell(self, part: str, index: int, name: str, text: str) -> None:
        if part in self.problems:
            self.problems[part].append(text)
            return
        form = self.fields if part == "fields" else self.rows[part][index]
        form.add_error(name if name in form.fields else None, text)


def _sentence(problem: Problem) -> str:
    text = sentence(problem.text)
    if problem.code == "weights":
        found = re.match(r"the weights sum to (\d+)", problem.text)
        if found:
            text = f"The weights sum to {percent(int(found[1]))}, not to 100 %"
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _set(rule: dict[str, Any], member: str, value: Any, *, needed: bool = False) -> None:
    if needed or value not in (None, "", []):
        rule[member] = value
    else:
        rule.pop(member, None)
