"""One checked POST, which every channel over HTTP shares: where it may lead, how long it may take, what came back.

The connection goes to an address that was checked (`targets`), with the certificate checked against the name. Redirects
are not followed and proxies of the environment not used. The answer is read up to a bound, and what must stay secret
is taken out of its words before anybody keeps them.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

import httpx
from django.conf import settings

from alerts.channels.base import (
    CONNECT_SECONDS,
    TOTAL_SECONDS,
    Delivered,
    FailedForGood,
    Outcome,
    Problem,
    RetryLater,
)
from alerts.channels.deadlines import Deadline
from alerts.channels.targets import Internal, Unresolvable, addresses

ANSWER_BYTES = 2000
_TRIED_ADDRESSES = 3
_KEY_CHARACTERS = 16  # a part of a path so long may be a key


_NUMBER = re.compile(r"^\[Errno -?\d+\] ", re.ASCII)
_ALLOWING = "Whoever runs Tollkeeper allows those with TOLLKEEPER_ALLOW_INTERNAL_WEBHOOKS=true."


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the far side said; it has come, so whatever broke afterwards is no failure."""

    status: int
    words: str  # the beginning of the body in one line, without secrets
    body: bytes = field(repr=False)  # as far as it was read
    retry_after_seconds: float | None = None  # asked for, as a number or as a date of the far side's own clock


def check(address: str, *, name: str, field: str) -> list[Problem]:
    """Return what is wrong with an address to post to; `name` is what people call it, such as "webhook"."""
    url = _parsed(address)
    if url is None:
        return [(field, f"Enter the {name}'s address, such as https://hooks.example.com/...")]
    problems: list[Problem] = []
    if url.userinfo:
        problems.append((field, f"The {name}'s address must not hold a user name or password."))
    if url.scheme != "https" and not settings.ALLOW_INTERNAL_WEBHOOKS:
        problems.append((field, f"The {name}'s address must begin with https://."))
    try:
        addresses(url.raw_host.decode(), _port(url), allow_internal=settings.ALLOW_INTERNAL_WEBHOOKS)
    except Internal:
        problems.append((field, f"The {name} leads to an internal address. {_ALLOWING}"))
    except Unresolvable:
        pass  # a name server that is away now says nothing about the address
    return problems


def host(address: str) -> str:
    """Return the part of an address that people may see."""
    url = _parsed(address)
    return url.host if url else "no address"


def post(
    address: str,
    *,
    body: bytes,
    headers: Mapping[str, str],
    secrets: Collection[str] = (),
    answer_bytes: int = ANSWER_BYTES,
) -> Answer | Outcome:
    """Post a JSON body, once, and return the answer, or the outcome where none came. Takes about TOTAL_SECONDS at most.

    `secrets` are replaced in the answer's words, and so is the address with its path.
    """
    url = _parsed(address)
    if url is None:
        return FailedForGood(reason="the channel has no usable address")
    if url.scheme != "https" and not settings.ALLOW_INTERNAL_WEBHOOKS:
        return FailedForGood(reason="the channel's address is not https")
    try:
        found = addresses(url.raw_host.decode(), _port(url), allow_internal=settings.ALLOW_INTERNAL_WEBHOOKS)
    except Internal as error:
        return FailedForGood(reason=str(error))
    except Unresolvable as error:
        return RetryLater(reason=str(error))
    hidden = [part for part in (*secrets, str(url), url.raw_path.decode(), url.path) if len(part) > 1]
    # An answer may repeat the path in another form, such as with its slashes escaped, or the key in it alone.
    hidden += [part for part in url.path.split("/") if len(part) >= _KEY_CHARACTERS]
    outcome: Outcome = RetryLater(reason="no connection")
    with Deadline(TOTAL_SECONDS) as deadline, _client() as client:
        for one in found[:_TRIED_ADDRESSES]:
            try:
                response = _send(client, url, one, body, headers, deadline)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                outcome = RetryLater(reason=f"no connection: {_words(error)}")
            except httpx.TransportError as error:
                # The request was under way: nobody knows how far it came.
                if deadline.passed or isinstance(error, httpx.TimeoutException):
                    return RetryLater(reason="no answer in time", maybe_received=True)
                words = f"the connection broke before the answer ({type(error).__name__})"
                return RetryLater(reason=words, maybe_received=True)
            else:
                try:
                    return _answer(response, hidden, answer_bytes)
                finally:
                    response.close()
            if deadline.passed:
                break
    return outcome


def _words(error: Exception) -> str:
    """Return what an error says, without the number that the system has for it."""
    return _NUMBER.sub("", str(error)) or type(error).__name__


def by_status(answer: Answer) -> Outcome:
    """Return what an answer means by its status alone, for far sides that say no with 4xx once and for all."""
    said = f"{answer.status} {answer.words}".strip()
    if 200 <= answer.status < 300:
        return Delivered(answer=said)
    if answer.status in {408, 429}:
        return RetryLater(reason=said, retry_after_seconds=answer.retry_after_seconds)
    if answer.status >= 500:
        # 502 and 504 come from something in front that lost the answer.
        lost = answer.status in {502, 504}
        return RetryLater(reason=said, retry_after_seconds=answer.retry_after_seconds, maybe_received=lost)
    return FailedForGood(reason=said)


def _parsed(address: str) -> httpx.URL | None:
    try:
        url = httpx.URL(address.strip())
        usable = url.scheme in {"http", "https"} and url.host and (url.port is None or 0 < url.port < 65_536)
    except (httpx.InvalidURL, UnicodeError):  # the latter of a name that begins with xn-- and is no Punycode
        return None
    return url if usable else None


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


def _send(
    client: httpx.Client, url: httpx.URL, address: str, body: bytes, headers: Mapping[str, str], deadline: Deadline
) -> httpx.Response:
    """Post to one checked address of the host. The certificate is checked against the name, not the address."""

    def connected(event: str, info: dict[str, Any]) -> None:
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            stream = info["return_value"]
            deadline.watch(lambda: stream.get_extra_info("socket"))

    request = client.build_request(
        "POST",
        url.copy_with(host=address),
        content=body,
        headers={
            "Host": url.netloc.decode(),
            "User-Agent": "Tollkeeper",
            "Content-Type": "application/json; charset=utf-8",
            **headers,
        },
        extensions={"sni_hostname": url.raw_host.decode(), "trace": connected},
    )
    return client.send(request, stream=True)


def _answer(response: httpx.Response, hidden: Collection[str], answer_bytes: int) -> Answer:
    read = b""
    try:
        for chunk in response.iter_bytes():
            read += chunk
            if len(read) >= answer_bytes:
                break
    except httpx.HTTPError:
        pass  # the status has come
    words = read[:ANSWER_BYTES].decode(errors="replace")
    for part in hidden:
        words = words.replace(part, "***")
    return Answer(
        status=response.status_code,
        words=" ".join(words.split()),
        body=read[:answer_bytes],
        retry_after_seconds=_retry_after(response),
    )


def _retry_after(response: httpx.Response) -> float | None:
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(response.headers.get("Date", ""))
    except (TypeError, ValueError):
        return None
    return max(0.0, wait.total_seconds())
