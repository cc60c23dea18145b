"""A LangChain callback that reports each call of a model: `pip install 'tollkeeper-client[langchain]'`.

Usage goes as LangChain gives it (`usage_metadata`), and Tollkeeper reads it: cached input is counted inside the input;
of cache writes the larger of `cache_creation` and the sum of what is told by lifetime counts, since langchain-anthropic
says 0 in the former. A stream without usage (for OpenAI: `stream_usage=True` is missing) becomes `usage_missing`, which
the console shows; it is not counted as nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import LLMResult

from .client import Tollkeeper
from .events import event_of
from .rules.evaluator import Decision

_FROM_METADATA = ("use_case", "team", "session", "user")
_MOST_UNDER_WAY = 10_000  # runs that never end, because their process forgot them, are forgotten here, too


class _Run(NamedTuple):
    began: float
    model: str | None
    provider: str | None
    metadata: Mapping[str, Any]


class UsageCallback(BaseCallbackHandler):
    """Reports every call of a chat model or LLM that runs under it, failed ones too.

    Made per decision, `UsageCallback(tollkeeper, decision, context)`, it tells which rule sent the call. One without a
    decision may serve a whole application; `use_case`, `team`, `session` and `user` are then read from the run's
    `metadata`. `fields` are members of every event. An event's id is its run's: a run that is told twice counts once.
    """

    def __init__(
        self,
        tollkeeper: Tollkeeper,
        decision: Decision | None = None,
        context: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        self._tollkeeper = tollkeeper
        self._decision = decision
        self._context = {} if context is None else dict(context)
        self._fields = fields
        self._under_way: dict[UUID, _Run] = {}

    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self._begin(run_id, kwargs)

    def on_llm_start(self, serialized: Any, prompts: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self._begin(run_id, kwargs)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        self._report(run_id, response, "ok")

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        response = kwargs.get("response")  # what had come of a stream
        self._report(run_id, response if isinstance(response, LLMResult) else None, "error")

    def _begin(self, run_id: UUID, kwargs: Mapping[str, Any]) -> None:
        metadata = kwargs.get("metadata") or {}
        invocation = kwargs.get("invocation_params") or {}
        model = metadata.get("ls_model_name") or invocation.get("model") or invocation.get("model_name")
        while len(self._under_way) >= _MOST_UNDER_WAY:
            self._under_way.pop(next(iter(self._under_way)), None)
        self._under_way[run_id] = _Run(time.monotonic(), model, metadata.get("ls_provider"), metadata)

    def _report(self, run_id: UUID, response: LLMResult | None, status: str) -> None:
        run = self._under_way.pop(run_id, None)
        message = _message(response)
        said = getattr(message, "response_metadata", None) or {}
        context = {
            name: run.metadata[name]
            for name in _FROM_METADATA
            if run is not None and isinstance(run.metadata.get(name), str)
        } | self._context
        asked = None if run is None else run.model
        fields: dict[str, Any] = {
            "id": str(run_id),
            "model": said.get("model_name") or said.get("model") or asked,
            "provider": said.get("model_provider") or (None if run is None else run.provider),
            "requested_model": asked,
            "service_tier": said.get("service_tier"),
            "status": status,
            "usage": _usage(message, response),
            "latency_ms": None if run is None else round((time.monotonic() - run.began) * 1000),
        }
        if self._decision is not None and self._decision.provider is not None:
            fields["provider"] = self._decision.provider  # the catalogue's word for it
        event = event_of(self._decision, context, **fields | self._fields)
        event.setdefault("model", "unknown")
        self._tollkeeper.report(event)


def _message(response: LLMResult | None) -> Any:
    """Return the first message: where several were asked for at once, each carries the usage of all."""
    for alternatives in [] if response is None else response.generations:
        for generation in alternatives:
            message = getattr(generation, "message", None)
            if message is not None:
                return message
    return None


def _usage(message: Any, response: LLMResult | None) -> Any:
    usage = getattr(message, "usage_metadata", None)
    if not usage and response is not None and response.llm_output:
        usage = response.llm_output.get("token_usage") or response.llm_output.get("usage")
    return usage or None
