"""What an unknown name is suggested to mean."""

from __future__ import annotations

import pytest

from catalog.rules import suggesting
from catalog.rules.suggesting import Sureness

KNOWN = {
    name: number
    for number, name in enumerate(
        (
            "gpt-5.5@openai", "gpt-5.5-mini@openai", "gpt-5.4@openai", "gpt-5.5@azure", "gpt-4o@openai", "o3@openai",
            "claude-opus-4.7@anthropic", "claude-opus-4.7@bedrock", "claude-opus-4.7@vertex",
            "claude-sonnet-4.5@anthropic", "claude-haiku-4.5@bedrock-regional",
            "gemini-3.1-pro@google", "gemini-3.1-pro@vertex", "qwen3.6-plus@fireworks", "mistral-large-3@mistral",
            "llama-4-scout@groq", "deepseek-chat@deepseek",
        )
    )
}  # fmt: skip


@pytest.mark.parametrize(
    ("dressed", "plain"),
    [
        ("openai/gpt-5.5-2026-04-23", "gpt-5-5"),
        ("us.anthropic.claude-opus-4-7-20260416-v1:0", "claude-opus-4-7"),
        ("bedrock/eu-central-1/anthropic.claude-opus-4-7-v1:0", "claude-opus-4-7"),
        ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-4-7-v1:0", "claude-opus-4-7"),
        ("apac.anthropic.claude-opus-4-7", "claude-opus-4-7"),
        ("global.anthropic.claude-opus-4-7-v1:0:200k", "claude-opus-4-7"),
        ("claude-opus-4-7@20260416", "claude-opus-4-7"),
        ("claude-opus-4-7@default", "claude-opus-4-7"),
        ("Claude-Opus-4.7-latest", "claude-opus-4-7"),
        ("models/gemini-3.1-pro-preview-09-2025", "gemini-3-1-pro-preview-09-2025"),  # that is not how days are written
        ("gemini-3.1-pro-preview", "gemini-3-1-pro"),
        ("accounts/fireworks/models/qwen3p6-plus", "qwen3-6-plus"),
        ("meta-llama/llama-4-scout:free", "llama-4-scout"),
        ("latest", "latest"),
        ("gpt-4o", "gpt-4o"),
        ("gpt-4-0125", "gpt-4"),
        ("o3", "o3"),
        ("///", ""),
    ],
)
def test_a_name_is_plain_without_what_gateways_add(dressed, plain):
    assert suggesting.plain(dressed) == plain


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("gpt-5.5-2026-06-01@openai", "gpt-5.5@openai"),
        ("gpt-5-5@azure_openai", "gpt-5.5@azure"),
        ("gpt-5.5-20260601@acme", "gpt-5.5@openai"),
        ("us.anthropic.claude-opus-4-7-20260416-v1:0@bedrock", "claude-opus-4.7@bedrock"),
        ("eu.anthropic.claude-haiku-4-5-v1:0@bedrock", "claude-haiku-4.5@bedrock-regional"),
        ("claude-opus-4-7-20260416@vertex-ai", "claude-opus-4.7@vertex"),
        ("vertex_ai/claude-opus-4-7-20260416@unknown", "claude-opus-4.7@vertex"),
        ("claude-4.7-opus@openrouter", "claude-opus-4.7@anthropic"),
        ("gemini/gemini-3.1-pro-exp@unknown", "gemini-3.1-pro@google"),
        ("qwen3p6-plus@fireworks-ai", "qwen3.6-plus@fireworks"),
        ("mistral-large-3-latest", "mistral-large-3@mistral"),
        ("O3-2026-04-16@openai", "o3@openai"),
    ],
)
def test_what_is_the_same_but_for_its_dress_is_certain(name, meant):
    found = suggesting.offering(name, KNOWN)

    assert found is not None
    assert (found.name, found.id, found.sureness) == (meant, KNOWN[meant], Sureness.CERTAIN)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("claude-opuss-4.7@bedrock", "claude-opus-4.7@bedrock"), ("deepseek-chats@acme", "deepseek-chat@deepseek")],
)
def test_what_is_close_in_spelling_is_likely(name, meant):
    found = suggesting.offering(name, KNOWN)

    assert found is not None
    assert (found.name, found.sureness) == (meant, Sureness.LIKELY)


@pytest.mark.parametrize(
    "name",
    [
        "gpt-5.6@openai",  # another number is another model, at another price
        "claude-opus-4.8@anthropic",
        "gpt-4@openai",
        "o4@openai",
        "my-deployment@azure",
        "unknown@unknown",
        "unknown",
        "///@x",
        "",
        "gpt-5.5-nano@openai",
    ],
)
def test_what_may_be_anything_is_not_guessed(name):
    assert suggesting.offering(name, KNOWN) is None


def test_a_name_with_a_region_is_at_the_regional_endpoints_and_a_global_one_is_not():
    known = {"claude-haiku-4.5@bedrock": 1, "claude-haiku-4.5@bedrock-regional": 2}

    def id_of(name):
        found = suggesting.offering(name, known)
        return found and found.id

    assert id_of("eu.anthropic.claude-haiku-4-5-v1:0@bedrock") == 2
    assert id_of("global.anthropic.claude-haiku-4-5-v1:0@bedrock") == 1
    assert id_of("anthropic.claude-haiku-4-5-v1:0@bedrock") == 1


def test_an_offering_is_not_suggested_to_be_itself():
    found = suggesting.offering("gpt-5.5@azure", KNOWN)

    assert found is not None
    assert found.name == "gpt-5.5@openai"
    assert suggesting.offering("GPT-5.5@openai", {"gpt-5.5@OpenAI": 1}) is None


@pytest.mark.parametrize(
    ("label", "meant", "sureness"),
    [
        ("support_routing", "Support-Routing", Sureness.CERTAIN),
        ("SupportRouting", "Support-Routing", Sureness.CERTAIN),
        ("suport routing", "Support-Routing", Sureness.LIKELY),
        ("code-reviews", "code review", Sureness.LIKELY),
        ("übersetzung_2", "Übersetzung 2", Sureness.CERTAIN),
        ("übersetzung 3", None, None),
        ("hr", None, None),
        ("Support-routing", None, None),  # the very same label, folded
        ("billing", None, None),
        ("--", None, None),
    ],
)
def test_a_label_is_suggested_by_its_letters(label, meant, sureness):
    found = suggesting.label(label, {"Support-Routing": 1, "code review": 2, "Übersetzung 2": 3, "hq": 4})

    assert (found and found.name, found and found.sureness) == (meant, sureness)


def test_no_name_however_odd_breaks_a_suggestion():
    for name in ("@", "@@", "a@b@c", "\x00", "é" * 300, "-v1:0", "@20260416", "2026-04-23", "us.", "anthropic."):
        suggesting.offering(name, KNOWN)
        suggesting.label(name, KNOWN)
        suggesting.plain(name)
