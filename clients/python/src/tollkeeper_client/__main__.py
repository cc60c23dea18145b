"""`python -m tollkeeper_client check|decide|status`: what a client with these settings would find, for people."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from . import NoRules, NotConfigured, Tollkeeper


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 where all is well, 1 where something is wrong, 2 where the settings are."""
    parser = argparse.ArgumentParser(
        prog="python -m tollkeeper_client",
        description="Settings are those of the environment: TOLLKEEPER_URL, TOLLKEEPER_KEY, TOLLKEEPER_ENVIRONMENT, "
        "TOLLKEEPER_CLIENT_DIR.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="poll once: do address, key and environment work?")
    decide = commands.add_parser("decide", help="decide for a request by the rules in force, and say why")
    decide.add_argument("context", help='the request, such as \'{"use_case": "code-review", "task": "code"}\'')
    commands.add_parser("status", help="what is kept on disk: rules, and events that wait; asks nobody")
    given = parser.parse_args(arguments)
    try:
        client = Tollkeeper()
    except NotConfigured as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    try:
        if given.command == "check":
            return _check(client)
        if given.command == "decide":
            return _decide(client, given.context)
        return _show(dataclasses.asdict(client.status()))
    finally:
        client.close()


def _check(client: Tollkeeper) -> int:
    client.refresh()
    status = client.status()
    if status.error is not None:
        print(f"{status.environment}: {status.error}", file=sys.stderr)  # noqa: T201
        if status.active is not None:
            print(f"Rules {status.active} are kept from before and go on deciding.", file=sys.stderr)  # noqa: T201
        return 1
    print(f"{status.environment}: rules {status.active} are in force, and this client can run them.")  # noqa: T201
    return 0


def _decide(client: Tollkeeper, text: str) -> int:
    try:
        context = json.loads(text)
    except ValueError as error:
        print(f"Not JSON: {error}", file=sys.stderr)  # noqa: T201
        return 2
    if not isinstance(context, dict):
        print("The request has to be a JSON object.", file=sys.stderr)  # noqa: T201
        return 2
    client.refresh()
    try:
        decision = client.explain(context)
    except NoRules as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    steps = [f"{step.subject}: {step.outcome}" for step in decision.steps]
    return _show(decision._asdict() | {"params": dict(decision.params), "steps": steps})


def _show(members: dict[str, Any]) -> int:
    print(json.dumps(members, indent=2, ensure_ascii=False, default=_text))  # noqa: T201
    return 0


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


if __name__ == "__main__":
    sys.exit(main())
