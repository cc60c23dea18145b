"""Bytes that claim to be rules, checked whole: signed, readable, as the schema has them, for this environment.

Nothing of a document that fails any of it is ever run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .rules import document as documents
from .rules import evaluator
from .signatures import Verifier, WrongSignature

_OUR_TAG = re.compile(r'(?:W/)?"?([0-9]{1,9}\.[0-9]{1,18})(?:-gzip)?"?')


class Refused(Exception):
    """These are no rules to run; the message says why."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules that can decide. Shared by threads, never changed."""

    tag: str  # the ETag that they came with, as it came
    body: bytes
    signature: str | None
    document: Mapping[str, Any]
    compiled: evaluator.Compiled

    @property
    def name(self) -> str:
        """Version and revision, `42.881`."""
        return f"{self.document['version']}.{self.document['state']['revision']}"


def named_by(tag: str) -> str | None:
    """Return the version and revision that a tag of Tollkeeper's names, None for any other tag."""
    found = _OUR_TAG.fullmatch(tag.strip())
    return None if found is None else found[1]


def check(body: bytes, *, tag: str, signature: str | None, environment: str, verifier: Verifier | None) -> Rules:
    """Return rules ready to decide; some milliseconds for 500 rules.

    Raises:
        Refused: they must not be run; the reason in a sentence.
    """
    if not body.strip():
        raise Refused("the answer is empty")
    if verifier is not None:
        try:
            verifier.check(body, signature)
        except WrongSignature as error:
            raise Refused(str(error)) from error
    try:
        document = documents.parse(body)
    except documents.NotADocument as error:
        raise Refused(f"not a rules document: {error}") from error
    spec = document.get("spec")
    if type(spec) is int and spec > documents.SPEC:
        raise Refused(f"written in specification {spec}, and this client understands {documents.SPEC}")
    problems = documents.schema_problems("document", document)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise Refused(f"breaks the schema at {problems[0]}{more}")
    if document["environment"] != environment:
        raise Refused(f"these are the rules of {document['environment']}, not of {environment}")
    try:
        compiled = evaluator.compile(document)
    except Exception as error:
        # The specification leaves no room for this. Should it happen all the same, whoever runs last week's rules is
        # better off than whoever runs none.
        raise Refused(f"cannot be compiled: {type(error).__name__}: {error}") from error
    rules = Rules(tag=tag, body=body, signature=signature, document=document, compiled=compiled)
    return rules if tag else Rules(f'"{rules.name}"', body, signature, document, compiled)
