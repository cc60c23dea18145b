"""Gateways that send while everything around them is killed: each says what it was told, and what that must come to.

A sender speaks one format. It posts body after body, each until it was acknowledged; a tenth of what is in a body was
in an earlier one. What it expects of the ledger is kept by call group: how many requests count, and how many tokens.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from abc import abstractmethod
from collections import Counter
from datetime import UTC, datetime
from typing import Any

MODELS = ("gpt-5.5", "gpt-5-mini", "nobody-knows")
USE_CASES = 5

Item = dict[str, Any]


class Sender(threading.Thread):
    """Posts a body for each turn that it is given, `bodies` in all."""

    path: str
    accepted: int  # the status of an answer that says "kept"

    def __init__(self, *, port: int, key: str, name: str, bodies: int, items: int, seed: int) -> None:
        super().__init__(name=name, daemon=True)  # a test that fails leaves it waiting for its turn
        self.turns = threading.Semaphore(0)
        self.acknowledged = 0  # bodies
        self.refused: list[str] = []
        self.requests: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        self.repeated = 0
        self.rng = random.Random(seed)
        self._port, self._key = port, key
        self._bodies, self._items = bodies, items

    def run(self) -> None:
        sent: list[Item] = []
        for number in range(self._bodies):
            self.turns.acquire()
            fresh = [item for place in range(self._items) for item in self.make(number * self._items + place)]
            again = self.rng.sample(sent, min(len(sent), self._items // 10))
            self.repeated += len(again)
            items = fresh + again
            self.rng.shuffle(items)
            self._post(self.body(items))
            self.acknowledged += 1
            sent += fresh

    @abstractmethod
    def make(self, number: int) -> list[Item]:
        """Make what is new at a place of a body, and expect it."""

    @abstractmethod
    def body(self, items: list[Item]) -> object:
        """Make a body of items."""

    @abstractmethod
    def rejected(self, answer: Item) -> object:
        """Return what an answer says was refused."""

    def expect(self, group: str, *, requests: int, tokens: int) -> None:
        self.requests[group] += requests
        self.tokens[group] += tokens

    def use_case(self) -> str:
        return f"use-case-{self.rng.randrange(USE_CASES)}"

    def _post(self, body: object) -> None:
        text = json.dumps(body)
        while True:
            try:
                status, answer = self._ask(text)
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.05)  # as a gateway would: nobody answered, so try again
                continue
            if status == self.accepted:
                if self.rejected(answer):
                    self.refused.append(str(answer))
                return
            if status < 500 and status != 429:
                self.refused.append(f"{status} {answer}")
                return
            time.sleep(0.05)

    def _ask(self, text: str) -> tuple[int, Item]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request(
                "POST", self.path, text, {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
            )
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        finally:
            connection.close()


class Native(Sender):
    """Speaks our own format; now and then an event replaces or voids one that was acknowledged before."""

    path, accepted = "/api/v1/usage/events", 202

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._counting: list[Item] = []  # acknowledged with an earlier body, and nothing took them back
        self._made: list[Item] = []
        self.replaced = self.voided = 0

    def make(self, number: int) -> list[Item]:
        if number % self._items == 0:
            self._counting += self._made
            self._made = []
        event = self._event(f"{self.name}-{number}")
        chance = self.rng.random()
        if chance < 0.08 and self._counting:
            gone = self._counting.pop(self.rng.randrange(len(self._counting)))
            self.expect(gone["call_group"], requests=-1, tokens=-(gone["input_tokens"] + gone["output_tokens"]))
            if chance < 0.03:
                self.voided += 1
                return [{"id": event["id"], "time": event["time"], "voids": gone["id"]}]
            self.replaced += 1
            event["replaces"] = gone["id"]
        self.expect(event["call_group"], requests=1, tokens=event["input_tokens"] + event["output_tokens"])
        self._made.append(event)
        return [event]

    def _event(self, id_: str) -> Item:
        return {
            "id": id_,
            "call_group": id_,
            "time": datetime.now(UTC).isoformat(),
            "use_case": self.use_case(),
            "provider": "openai",
            "model": self.rng.choice(MODELS),
            "input_tokens": self.rng.randrange(1, 5000),
            "output_tokens": self.rng.randrange(1, 500),
            "latency_ms": self.rng.randrange(20, 9000),
        }

    def body(self, items: list[Item]) -> object:
        return items

    def rejected(self, answer: Item) -> object:
        return answer["rejected"]


class LiteLLM(Sender):
    """Sends records of LiteLLM's callback; some calls fail first and are answered by a fallback."""

    path, accepted = "/api/v1/usage/litellm", 202

    def make(self, number: int) -> list[Item]:
        call = f"{self.name}-{number}"
        records = [self._record(call, "success", fallbacks=0)]
        if self.rng.random() < 0.1:
            records = [self._record(call, "failure", fallbacks=0), self._record(call, "success", fallbacks=1)]
        for record in records:
            self.expect(call, requests=1, tokens=record["prompt_tokens"] + record["completion_tokens"])
        return records

    def _record(self, call: str, status: str, *, fallbacks: int) -> Item:
        now = time.time()
        answered = status == "success"
        used = (self.rng.randrange(1, 5000), self.rng.randrange(1, 500)) if answered else (0, 0)
        return {
            "id": f"chatcmpl-{call}" if answered else call,
            "litellm_call_id": call,
            "status": status,
            "startTime": now - self.rng.random(),
            "endTime": now,
            "model": f"openai/{self.rng.choice(MODELS)}",
            "model_group": "chat",
            "model_id": f"deployment-{fallbacks}",
            "custom_llm_provider": "openai",
            "prompt_tokens": used[0],
            "completion_tokens": used[1],
            "response_cost": used[0] * 1e-6,
            "request_tags": [f"use_case:{self.use_case()}"],
            "hidden_params": {"additional_headers": {"x-litellm-attempted-fallbacks": fallbacks}},
        }

    def body(self, items: list[Item]) -> object:
        return items

    def rejected(self, answer: Item) -> object:
        return answer["rejected"]


class Otlp(Sender):
    """Sends spans; half of the calls have a wrapper around them that says more than was used, in a body of its own."""

    path, accepted = "/v1/traces", 200

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._later: list[Item] = []  # the other spans of calls, for the next body
        self.wrapped = 0

    def make(self, number: int) -> list[Item]:
        due: list[Item] = []
        if number % self._items == 0:
            due, self._later = self._later, []
        trace = f"{self.rng.getrandbits(128):032x}"
        used = self.rng.randrange(1, 5000), self.rng.randrange(1, 500)
        call = self._span(trace, used)
        self.expect(trace, requests=1, tokens=sum(used))
        # The last body has nobody after it.
        if number < (self._bodies - 1) * self._items and self.rng.random() < 0.5:
            wrapper = self._span(trace, (used[0] + 7, used[1] + 7))
            call["parentSpanId"] = wrapper["spanId"]
            now, later = self.rng.sample((call, wrapper), 2)
            self._later.append(later)
            self.wrapped += 1
            return [now, *due]
        return [call, *due]

    def _span(self, trace: str, used: tuple[int, int]) -> Item:
        now = time.time_ns()
        texts = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": self.rng.choice(MODELS),
            "tollkeeper.use_case": self.use_case(),
        }
        counts = {"gen_ai.usage.input_tokens": used[0], "gen_ai.usage.output_tokens": used[1]}
        return {
            "traceId": trace,
            "spanId": f"{self.rng.getrandbits(64):016x}",
            "parentSpanId": "",
            "name": "chat",
            "kind": 3,
            "startTimeUnixNano": str(now - 900_000_000),
            "endTimeUnixNano": str(now),
            "attributes": [
                *({"key": key, "value": {"stringValue": value}} for key, value in texts.items()),
                *({"key": key, "value": {"intValue": str(value)}} for key, value in counts.items()),
            ],
        }

    def body(self, items: list[Item]) -> object:
        return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {"name": "soak"}, "spans": items}]}]}

    def rejected(self, answer: Item) -> object:
        return answer.get("partialSuccess", {}).get("rejectedSpans")
