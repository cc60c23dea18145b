"""How tables from outside name providers, and how we do; names that are not listed are kept."""

from __future__ import annotations

from catalog.rules import tidy_provider

# The open price data of genai-prices.
_GENAI = {"aws": "bedrock", "x-ai": "xai", "moonshotai": "moonshot"}

# `litellm_provider` of LiteLLM's table, and the prefixes of its names.
_LITELLM = {
    "azure_ai": "azure",
    "azure_text": "azure",
    "bedrock_converse": "bedrock",
    "bedrock_mantle": "bedrock",
    "cohere_chat": "cohere",
    "fireworks_ai": "fireworks",
    "fireworks_ai-embedding-models": "fireworks",
    "gemini": "google",
    "moonshotai": "moonshot",
    "text-completion-openai": "openai",
    "together_ai": "together",
}


def of_genai(name: str) -> str:
    """Return our name for a provider of genai-prices."""
    return tidy_provider(_GENAI.get(name, name))


def genai_model(provider: str, name: str) -> str:
    """Return a model's name at a provider of genai-prices: it marks Bedrock's regional endpoints, and AWS does not."""
    return name.removeprefix("regional.") if provider == "aws" else name


def of_litellm(name: str) -> str:
    """Return our name for what LiteLLM calls a provider. It has one for each lab whose models Vertex AI serves."""
    if name == "vertex_ai" or name.startswith("vertex_ai-"):
        return "vertex"
    return tidy_provider(_LITELLM.get(name, name))
