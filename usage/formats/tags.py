"""Tags as gateways send them: a list of texts, some of which say what we asked clients and hooks to say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from usage.formats.labels import MAX_KEY, MAX_KEYS, MAX_LABEL, MAX_VALUE, tidy
from usage.formats.numbers import MAX_INT4

_RULE = re.compile(r"(?P<rule>.*?)(?:@v(?P<version>[0-9]{1,9}))?", re.DOTALL)
_NOISE = ("user-agent:", "tollkeeper_")


class Tagged(NamedTuple):
    """What a list of tags says; empty text and 0 where it says nothing."""

    tags: dict[str, str]
    use_case: str
    rule: str
    rules_version: int


def read(given: Iterable[str] | None, user_key: bytes) -> Tagged:
    """Read `use_case:X`, `tollkeeper_rule:RULE@vN` and other tags, `name:value` or a name alone.

    Of several with one name the first holds: gateways put the request's before those of its key and team.
    """
    tags: dict[str, str] = {}
    use_case = rule = ""
    version = 0
    for tag in given or ():
        head = tag[:32].lstrip().lower()
        if head.startswith("use_case:"):
            use_case = use_case or tidy(tag.lstrip()[len("use_case:") :], MAX_LABEL, user_key)
        elif head.startswith("tollkeeper_rule:"):
            found = _RULE.fullmatch(tag.strip()[len("tollkeeper_rule:") : 400])
            if found and not rule:
                rule = tidy(found["rule"], MAX_LABEL, user_key)
                version = min(int(found["version"] or 0), MAX_INT4)
        elif not head.startswith(_NOISE):
            name, _, value = tag.partition(":")
            name = tidy(name, MAX_KEY, user_key)
            if name and name not in tags and len(tags) < MAX_KEYS:
                tags[name] = tidy(value, MAX_VALUE, user_key)
    return Tagged(tags, use_case, rule, version)
