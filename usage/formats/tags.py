"""Tags as gateways send them: a list of texts, some of which say what we asked clients and hooks to say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from usage.formats.labels import MAX_KEY, MAX_KEYS, MAX_LABEL, MAX_VALUE, tidy
from usage.formats.numbers import MAX_INT4

_RULE = re.compile(r"(?P<rule>.*?)(?:@v(?P<version>[0-9]{1,9}))?", re.DOTALL)
_HOOK = re.compile(r"tollkeeper_(?P<what>state|reason|requested|task|complexity):(?P<value>.*)", re.DOTALL)
_REVISION = re.compile(r"[0-9]{1,15}")
_NOISE = "user-agent:"


class Tagged(NamedTuple):
    """What a list of tags says; empty text and 0 where it says nothing."""

    tags: dict[str, str]
    use_case: str
    rule: str
    rules_version: int
    state_revision: int
    reason: str
    requested_model: str  # what the client asked for, where a hook put another name in its place
    context: dict[str, str]  # the task and the complexity that were decided by


def read(given: Iterable[str] | None, user_key: bytes) -> Tagged:
    """Read `use_case:X`, `tollkeeper_rule:RULE@vN` and other tags, `name:value` or a name alone.

    Of several with one name the first holds: gateways put the request's before those of its key and team. What our
    hooks say besides: `tollkeeper_state:N`, `_reason:X`, `_requested:MODEL`, `_task:X` and `_complexity:0.4`. A rule
    without a name (`tollkeeper_rule:@v7`) is the default of that version.
    """
    tags: dict[str, str] = {}
    use_case = rule = ""
    version = 0
    said: dict[str, str] = {}
    for tag in given or ():
        head = tag[:32].lstrip().lower()
        if head.startswith("use_case:"):
            use_case = use_case or tidy(tag.lstrip()[len("use_case:") :], MAX_LABEL, user_key)
        elif head.startswith("tollkeeper_rule:"):
            found = _RULE.fullmatch(tag.strip()[len("tollkeeper_rule:") : 400])
            if found and not rule:
                rule = tidy(found["rule"], MAX_LABEL, user_key)
                version = min(int(found["version"] or 0), MAX_INT4)
        elif head.startswith("tollkeeper_"):
            if hook := _HOOK.match(tag, 0, 400):
                said.setdefault(hook["what"], tidy(hook["value"], MAX_LABEL, user_key))
        elif not head.startswith(_NOISE):
            name, _, value = tag.partition(":")
            name = tidy(name, MAX_KEY, user_key)
            if name and name not in tags and len(tags) < MAX_KEYS:
                tags[name] = tidy(value, MAX_VALUE, user_key)
    revision = said.get("state", "")
    return Tagged(
        tags,
        use_case,
        rule,
        version,
        int(revision) if _REVISION.fullmatch(revision) else 0,
        said.get("reason", ""),
        said.get("requested", ""),
        {name: said[name] for name in ("task", "complexity") if said.get(name)} if said else {},
    )
