"""What one call of `litellm.cost_per_token` takes, for each line on standard input: run by LiteLLM's own environment.

Answers each line, a number of calls, with a line of JSON: microseconds per call, and what the call costs. Imports
nothing of ours.
"""

from __future__ import annotations

import json
import os
import sys
import time

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # the table of the package: nothing is fetched
os.environ["LITELLM_LOG"] = "ERROR"

import litellm


def main(event: dict[str, object]) -> None:
    for line in sys.stdin:
        calls = int(line)
        start = time.perf_counter()
        for _ in range(calls):
            costs = litellm.cost_per_token(**event)
        took = (time.perf_counter() - start) / calls * 1e6
        sys.stdout.write(json.dumps({"us": took, "usd": sum(costs)}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
