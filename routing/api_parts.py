"""What the rules' addresses share: how bodies are read, and what is answered in more than one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from rest_framework import serializers
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, JSONParser

from core.api import InstantField
from core.api_views import Api
from core.errors import NotFound
from routing.rules import document, texts
from routing.rules.validation import MAX_BYTES
from routing.selectors import environments, proposals, versions
from routing.selectors.environments import EnvironmentRow


class StrictJSONParser(JSONParser):
    """Reads JSON and refuses what readers disagree about: a member twice, a number with a fraction."""

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            return document.parse(stream.read())
        except document.NotADocument as error:
            raise ParseError(f"This body cannot be read: {error}") from error


class StrictYAMLParser(BaseParser):
    """Reads YAML as far as it says what JSON can say; what is refused is named with its line."""

    media_type = "application/yaml"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            body = stream.read().decode()
        except UnicodeDecodeError as error:
            raise ParseError("This body cannot be read: it is no text in UTF-8.") from error
        read, wrong = texts.read(body, texts.YAML)
        if read is None:
            said = "; ".join(f"line {one.line}: {one.text}" if one.line else one.text for one in wrong[:20])
            raise ParseError(f"This body cannot be read: {said}")
        return read


class RulesEdit(Api):
    """A view whose body may hold a whole set of rules, as JSON or YAML."""

    parser_classes = (StrictJSONParser, StrictYAMLParser)
    largest_body_bytes = 2 * MAX_BYTES


class VersionOutput(serializers.Serializer):
    environment = serializers.CharField()
    number = serializers.IntegerField()
    base = serializers.IntegerField(allow_null=True)
    title = serializers.CharField()
    reason = serializers.CharField(help_text="Of a rollback.")
    published_at = InstantField()
    published_by = serializers.CharField()
    approved_by = serializers.CharField(help_text="Empty for a rollback.")
    rolls_back_to = serializers.IntegerField(allow_null=True)
    sha256 = serializers.CharField()
    live = serializers.BooleanField(help_text="In force now.")
    own_work = serializers.BooleanField(help_text="Whoever approved it had a hand in its content.")


def known_draft(environment: str, proposal_id: int) -> int:
    """Return the id where the draft belongs to the environment of the path.

    Raises:
        NotFound
    """
    if not proposals.belongs(proposal_id=proposal_id, environment=environment):
        raise NotFound(f"There is no draft {proposal_id} in {environment}.")
    return proposal_id


def known_environment(name: str) -> EnvironmentRow:
    """Return the environment of the path.

    Raises:
        NotFound
    """
    found = environments.one(name=name)
    if found is None:
        raise NotFound(f"There is no environment {name}.")
    return found


def version_detail(environment: str, number: int) -> versions.VersionDetail:
    found = versions.one(environment=environment, number=number)
    if found is None:
        raise NotFound(f"There is no version {number} of {environment}.")
    return found


def version_row(environment: str, number: int) -> Mapping[str, Any]:
    return VersionOutput(version_detail(environment, number).row).data
