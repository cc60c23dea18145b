"""Names that gateways send for models of the standard catalogue, and what they lead to."""

from __future__ import annotations

import pytest
from django.db import transaction

from catalog.rules import Book
from catalog.selectors import snapshot
from catalog.services import standard
from tests.factories import NOON


@pytest.fixture(scope="module")
def book(django_db_setup, django_db_blocker):
    """The standard catalogue as an empty house has it, read once: loading takes its time."""
    with django_db_blocker.unblock(), transaction.atomic():
        transaction.get_connection().atomic_blocks[-1]._from_testcase = True  # `durable` is content, as in any test
        standard.load(by="tests", at=NOON)
        found = snapshot.load()
        transaction.set_rollback(True)
    return found


def resolved(book: Book, provider: str, model: str) -> str:
    found = book.offering(provider, model, NOON)
    return book.offerings[found].name if isinstance(found, int) else f"new {found}"


# As LiteLLM's table of November 2026 has them: its provider, and its name without that.
REAL = [
    ("openai", "gpt-5.5", "gpt-5.5@openai"),
    ("openai", "gpt-5.5-2026-04-23", "gpt-5.5@openai"),
    ("openai", "gpt-5.4-mini-2026-03-17", "gpt-5.4-mini@openai"),
    ("openai", "gpt-4o-2024-08-06", "gpt-4o@openai"),
    ("openai", "o3-2025-04-16", "o3@openai"),
    ("openai", "text-embedding-3-small", "text-embedding-3-small@openai"),
    ("anthropic", "claude-opus-4-7", "claude-opus-4.7@anthropic"),
    ("anthropic", "claude-opus-4-7-20260416", "claude-opus-4.7@anthropic"),
    ("anthropic", "claude-opus-4-6-20260205", "claude-opus-4.6@anthropic"),
    ("anthropic", "claude-sonnet-4-5-20250929", "claude-sonnet-4.5@anthropic"),
    ("anthropic", "claude-haiku-4-5-20251001", "claude-haiku-4.5@anthropic"),
    ("bedrock", "global.anthropic.claude-opus-4-5-20251101-v1:0", "claude-opus-4.5@bedrock"),
    ("bedrock", "us.anthropic.claude-opus-4-7", "claude-opus-4.7@bedrock-regional"),
    ("bedrock", "eu.anthropic.claude-opus-4-7", "claude-opus-4.7@bedrock-regional"),
    ("bedrock", "global.anthropic.claude-opus-4-7", "claude-opus-4.7@bedrock"),
    ("bedrock_converse", "us.anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4.5@bedrock-regional"),
    ("bedrock", "anthropic.claude-haiku-4-5@20251001", "claude-haiku-4.5@bedrock-regional"),
    ("vertex_ai", "claude-opus-4-7@default", "claude-opus-4.7@vertex"),
    ("vertex_ai", "claude-opus-4-5@20251101", "claude-opus-4.5@vertex"),
    ("vertex_ai", "gemini-3.1-pro-preview", "gemini-3.1-pro@vertex"),
    ("gemini", "gemini-3.1-pro-preview", "gemini-3.1-pro@google"),
    ("gemini", "gemini-2.5-flash", "gemini-2.5-flash@google"),
    ("azure", "gpt-5.5-2026-04-24", "gpt-5.5@azure"),
    ("azure", "global/gpt-4o-2024-11-20", "gpt-4o@azure"),
    ("azure", "global-standard/gpt-4o-mini", "gpt-4o-mini@azure"),
    ("azure_ai", "gpt-5.4-mini-2026-03-17", "gpt-5.4-mini@azure"),
]


@pytest.mark.parametrize(("provider", "model", "offering"), REAL)
def test_a_real_name_leads_to_its_offering_whether_the_provider_stands_apart_before_it_or_both(
    book, provider, model, offering
):
    assert resolved(book, provider, model) == offering
    assert resolved(book, "", f"{provider}/{model}") == offering
    assert resolved(book, provider, f"{provider}/{model}") == offering
    assert resolved(book, provider.upper(), model.upper()) == offering


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("azure", "us/gpt-5.5"),  # data zones cost a tenth more
        ("azure", "eu/gpt-4o-2024-11-20"),
        ("bedrock", "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("openai", "gpt-4o-2024-05-13"),  # twice the price of those that came after it
        ("openai", "gpt-4o-audio-preview"),
        ("azure", "my-deployment"),
        ("vertex_ai", "gemini-99-ultra"),
    ],
)
def test_a_name_with_another_price_or_of_nobody_leads_to_none_of_them(book, provider, model):
    assert resolved(book, provider, model).startswith("new ")
    assert resolved(book, "", f"{provider}/{model}").startswith("new ")
