"""Slack's incoming webhooks, and what understands the same (Mattermost, Rocket.Chat).

POST of a JSON body with Block Kit to the webhook's address, which is the only secret. 200 is delivered. 429 comes with
Retry-After in seconds. 400, 403, 404 and 410 mean a bad payload, a revoked webhook, an archived channel: trying again
does not help. There is no idempotency key: a message whose answer got lost cannot be told from one that never arrived.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import httpx
from django.conf import settings

from alerts.channels.base import (
    CONNECT_SECONDS,
    TOTAL_SECONDS,
    Delivered,
    FailedForGood,
    Field,
    Outcome,
    Problem,
    RetryLater,
)
from alerts.channels.deadlines import Deadline
from alerts.channels.targets import Internal, Unresolvable, addresses
from alerts.messages import REPEATED, Message

_MARKS = {"info": "\N{LARGE BLUE CIRCLE}", "warning": "\N{LARGE ORANGE CIRCLE}", "critical": "\N{LARGE RED CIRCLE}"}
_ANSWER_BYTES = 2000
_TRIED_ADDRESSES = 3
# Of Block Kit: longer texts and more fields are refused with 400 invalid_blocks.
_SECTION_CHARACTERS = 3000
_FIELD_CHARACTERS = 2000
_FIELDS_PER_SECTION = 10
_ROWS = 100


class Slack:
    name = "slack"
    label = "Slack"
    fields = (
        Field(
            name="secret",
            label="Webhook address",
            help="An incoming webhook, such as https://hooks.slack.com/services/...; kept encrypted, never shown.",
            secret=True,
        ),
    )

    def check(self, config: Mapping[str, Any], secret: str) -> list[Problem]:
        problems: list[Problem] = [("config", f"Slack has no setting {name!r}.") for name in config]
        url = _parsed(secret)
        if url is None:
            return [*problems, ("secret", "Enter the webhook's address, such as https://hooks.slack.com/services/...")]
        if url.userinfo:
            problems.append(("secret", "The webhook's address must not hold a user name or password."))
        if url.scheme != "https" and not settings.ALLOW_INTERNAL_WEBHOOKS:
            problems.append(("secret", "The webhook's address must begin with https://."))
        try:
            addresses(url.raw_host.decode(), _port(url), allow_internal=settings.ALLOW_INTERNAL_WEBHOOKS)
        except Internal:
            problems.append(("secret", "The webhook leads to an internal address, which is not allowed here."))
        except Unresolvable:
            pass  # a name server that is away now says nothing about the address
        return problems

    def describe(self, config: Mapping[str, Any], secret: str) -> str:
        url = _parsed(secret)
        return url.host if url else "no address"

    def send(self, message: Message, config: Mapping[str, Any], secret: str, idempotency_key: UUID) -> Outcome:
        url = _parsed(secret)
        if url is None:
            return FailedForGood(reason="the channel has no usable webhook address")
        if url.scheme != "https" and not settings.ALLOW_INTERNAL_WEBHOOKS:
            return FailedForGood(reason="the webhook's address is not https")
        try:
            found = addresses(url.raw_host.decode(), _port(url), allow_internal=settings.ALLOW_INTERNAL_WEBHOOKS)
        except Internal as error:
            return FailedForGood(reason=str(error))
        except Unresolvable as error:
            return RetryLater(reason=str(error))
        outcome: Outcome = RetryLater(reason="no connection")
        with Deadline(TOTAL_SECONDS) as deadline, _client() as client:
            for address in found[:_TRIED_ADDRESSES]:
                try:
                    return _post(client, url, address, payload(message), deadline)
                except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                    outcome = RetryLater(reason=f"no connection: {str(error) or type(error).__name__}")
                except httpx.TransportError as error:
                    # The request was under way: nobody knows how far it came.
                    words = (
                        "no answer in time"
                        if deadline.passed or isinstance(error, httpx.TimeoutException)
                        else (f"the connection broke before the answer ({type(error).__name__})")
                    )
                    return RetryLater(reason=words, maybe_received=True)
                if deadline.passed:
                    break
        return outcome


def payload(message: Message) -> dict[str, Any]:
    """Return the body of the webhook: Block Kit, and a text for notifications."""
    head = f"{_MARKS.get(message.severity, '')} *{escaped(message.title)}*".strip()
    blocks = [_section(head)]
    if message.possibly_repeated:
        blocks.append({"type": "context", "elements": [_mrkdwn(f"_{REPEATED}_")]})
    if message.summary:
        blocks.append(_section(escaped(message.summary)))
    rows = message.rows[:_ROWS]
    for start in range(0, len(rows), _FIELDS_PER_SECTION):
        fields = [
            _mrkdwn(_cut(f"*{escaped(label)}*\n{escaped(value)}", _FIELD_CHARACTERS))
            for label, value in rows[start : start + _FIELDS_PER_SECTION]
        ]
        blocks.append({"type": "section", "fields": fields})
    if message.next_step:
        blocks.append(_section(escaped(message.next_step)))
    if message.links:
        blocks.append(_section("   ".join(f"<{escaped(url)}|{escaped(text)}>" for text, url in message.links)))
    return {"text": f"{message.severity}: {escaped(message.title)}", "blocks": blocks}


def escaped(text: str) -> str:
    """Return the text without Slack's own signs, which could mention a whole channel or hide a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _mrkdwn(_cut(text, _SECTION_CHARACTERS))}


def _mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}  # verbatim: a name that looks like a link is none


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"


def _parsed(secret: str) -> httpx.URL | None:
    try:
        url = httpx.URL(secret.strip())
    except httpx.InvalidURL:
        return None
    return url if url.scheme in {"http", "https"} and url.host else None


def _port(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


@lru_cache(maxsize=1)
def _trust() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # reads the certificates of the world: once is enough


def _client() -> httpx.Client:
    return httpx.Client(
        verify=_trust(),
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(TOTAL_SECONDS, connect=CONNECT_SECONDS),
    )


def _post(client: httpx.Client, url: httpx.URL, address: str, body: dict[str, Any], deadline: Deadline) -> Outcome:
    """Post to one checked address of the host. The certificate is checked against the name, not the address."""

    def connected(event: str, info: dict[str, Any]) -> None:
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            stream = info["return_value"]
            deadline.watch(lambda: stream.get_extra_info("socket"))

    request = client.build_request(
        "POST",
        url.copy_with(host=address),
        json=body,
        headers={"Host": url.netloc.decode(), "User-Agent": "Tollkeeper"},
        extensions={"sni_hostname": url.raw_host.decode(), "trace": connected},
    )
    response = client.send(request, stream=True)
    try:
        words = _beginning(response, url)
        return _outcome(response, words)
    finally:
        response.close()


def _beginning(response: httpx.Response, url: httpx.URL) -> str:
    """Return the start of the answer without our secret. The status has come, so a break from here on is no failure."""
    read = b""
    try:
        for chunk in response.iter_bytes():
            read += chunk
            if len(read) >= _ANSWER_BYTES:
                break
    except httpx.HTTPError:
        pass
    words = read[:_ANSWER_BYTES].decode(errors="replace")
    for part in (str(url), url.raw_path.decode(), url.path):
        if len(part) > 1:
            words = words.replace(part, "***")
    return " ".join(words.split())


def _outcome(response: httpx.Response, words: str) -> Outcome:
    status = response.status_code
    said = f"{status} {words}".strip()
    if 200 <= status < 300:
        return Delivered(answer=said)
    if status in {408, 429}:
        return RetryLater(reason=said, retry_after_seconds=_retry_after(response))
    if status >= 500:
        # 502 and 504 come from something in front that lost the answer.
        return RetryLater(reason=said, retry_after_seconds=_retry_after(response), maybe_received=status in {502, 504})
    return FailedForGood(reason=said)


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that the far side asks for, given as a number or as a date of its own clock."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(response.headers.get("Date", ""))
    except (TypeError, ValueError):
        return None
    return max(0.0, wait.total_seconds())
