"""E-mail as text and HTML, through the mail server of the settings (`TOLLKEEPER_EMAIL_URL`).

One message to all recipients of the channel. A reply with a code says what became of it: 4xx may work later, 5xx will
not. A connection that breaks once DATA has begun leaves it open whether the server took the message. The Message-ID is
made of the delivery's idempotency key, so that mail systems can tell a repetition.
"""

from __future__ import annotations

import smtplib
import socket
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parseaddr
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.smtp import EmailBackend
from django.core.validators import validate_email
from django.template.loader import render_to_string

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
from alerts.messages import REPEATED, Message, as_text, one_line

_RECIPIENTS = 50
_SMTP = "django.core.mail.backends.smtp.EmailBackend"
_COLOURS = {"info": "#206bc4", "warning": "#b35900", "critical": "#c92a2a"}


class Email:
    name = "email"
    label = "E-mail"
    fields = (Field(name="recipients", label="Recipients", help="E-mail addresses, 50 at most.", many=True),)

    def check(self, config: Mapping[str, Any], secret: str) -> list[Problem]:
        problems: list[Problem] = [
            ("config", f"E-mail has no setting {name!r}.") for name in config if name != "recipients"
        ]
        if secret:
            problems.append(("secret", "E-mail has no secret of its own: the mail server is a setting of the house."))
        recipients = config.get("recipients")
        if not isinstance(recipients, list) or not recipients:
            return [*problems, ("recipients", "Enter at least one e-mail address.")]
        if len(recipients) > _RECIPIENTS:
            problems.append(("recipients", f"Enter {_RECIPIENTS} addresses at most, or a mailing list."))
        for recipient in recipients:
            try:
                validate_email(recipient if isinstance(recipient, str) else "")
            except ValidationError:
                problems.append(("recipients", f"{one_line(recipient)[:80]!r} is not an e-mail address."))
        return problems

    def describe(self, config: Mapping[str, Any], secret: str) -> str:
        return ", ".join(str(recipient) for recipient in config.get("recipients", []))

    def send(self, message: Message, config: Mapping[str, Any], secret: str, idempotency_key: UUID) -> Outcome:
        mail = letter(message, list(config.get("recipients", [])), idempotency_key)
        if settings.EMAIL_BACKEND != _SMTP:
            get_connection().send_messages([mail])  # a development's console, a test's memory
            return Delivered(answer="handed to " + settings.EMAIL_BACKEND.rsplit(".", 2)[-2])
        with Deadline(TOTAL_SECONDS) as deadline:
            connection = _Backend(timeout=TOTAL_SECONDS, deadline=deadline)
            try:
                connection.open()
                connection.send_messages([mail])
            except (smtplib.SMTPException, OSError) as error:
                outcome = _failure(error, connection.exchange, deadline)
                connection.cut()
                return outcome
            # The server has taken the message: a goodbye that fails changes nothing about it.
            with suppress(smtplib.SMTPException, OSError):
                connection.close()
            return Delivered(answer=_answer(connection.exchange, len(mail.recipients())))


def letter(message: Message, recipients: list[str], idempotency_key: UUID) -> EmailMultiAlternatives:
    """Return the message as a mail with a text and an HTML part."""
    sender = parseaddr(settings.DEFAULT_FROM_EMAIL)[1]
    domain = sender.rpartition("@")[2] or "localhost"
    repeated = " (possibly repeated)" if message.possibly_repeated else ""
    mail = EmailMultiAlternatives(
        subject=one_line(f"[{message.severity.capitalize()}] {message.title}{repeated}"),
        body=as_text(message),
        to=recipients,
        headers={"Message-ID": f"<{idempotency_key}@{domain}>", "Auto-Submitted": "auto-generated"},
    )
    context = {"message": message, "colour": _COLOURS.get(message.severity, "#626976"), "repeated": REPEATED}
    mail.attach_alternative(render_to_string("alerts/message.html", context), "text/html")
    return mail


class _Exchange:
    """What one conversation with the mail server came to."""

    def __init__(self) -> None:
        self.data_begun = False
        self.answer = ""
        self.refused: dict[str, tuple[int, bytes]] = {}


class _Watched:
    """Makes smtplib note how far it came, connect quickly and keep to a deadline."""

    sock: socket.socket | None

    def __init__(self, *args: Any, exchange: _Exchange, deadline: Deadline, **kwargs: Any) -> None:
        self._exchange = exchange
        deadline.watch(lambda: self.sock)
        super().__init__(*args, **kwargs)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        sock: socket.socket = super()._get_socket(host, port, CONNECT_SECONDS)  # type: ignore[misc]
        sock.settimeout(timeout)
        return sock

    def data(self, msg: Any) -> tuple[int, bytes]:
        self._exchange.data_begun = True
        code, reply = super().data(msg)  # type: ignore[misc]
        self._exchange.answer = f"{code} {reply.decode(errors='replace')}"
        return code, reply

    def sendmail(self, *args: Any, **kwargs: Any) -> dict[str, tuple[int, bytes]]:
        # Recipients that were refused beside others that were not: Django drops them silently.
        self._exchange.refused = super().sendmail(*args, **kwargs)  # type: ignore[misc]
        return self._exchange.refused


class _Smtp(_Watched, smtplib.SMTP):
    pass


class _SmtpOverTls(_Watched, smtplib.SMTP_SSL):
    pass


class _Backend(EmailBackend):
    """Django's own backend, with all it takes from the settings, over a connection that is watched."""

    connection: smtplib.SMTP | None
    _partial_connection: smtplib.SMTP | None

    def __init__(self, *, timeout: float, deadline: Deadline) -> None:
        super().__init__(timeout=timeout)
        self.exchange = _Exchange()
        self._deadline = deadline

    @property
    def connection_class(self) -> Any:
        return partial(_SmtpOverTls if self.use_ssl else _Smtp, exchange=self.exchange, deadline=self._deadline)

    def cut(self) -> None:
        """Close without a goodbye, which a server that hangs would not answer either."""
        for connection in (self.connection, self._partial_connection):
            if connection is not None:
                connection.close()
        self.connection = self._partial_connection = None


def _failure(error: Exception, exchange: _Exchange, deadline: Deadline) -> Outcome:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        replies = [_words(code, reply) for code, reply in error.recipients.values()]
        reason = f"all recipients refused: {replies[0]}" if replies else "all recipients refused"
        if all(500 <= code < 600 for code, _ in error.recipients.values()):
            return FailedForGood(reason=reason)
        return RetryLater(reason=reason)
    if isinstance(error, smtplib.SMTPDataError | smtplib.SMTPSenderRefused):
        reason = _words(error.smtp_code, error.smtp_error)
        return FailedForGood(reason=reason) if 500 <= error.smtp_code < 600 else RetryLater(reason=reason)
    if isinstance(error, smtplib.SMTPResponseException):
        # Greeting, EHLO, sign-in: the house's settings or the server's state, both of which people repair.
        return RetryLater(reason=_words(error.smtp_code, error.smtp_error))
    if deadline.passed:
        return RetryLater(reason="no answer in time", maybe_received=exchange.data_begun)
    if exchange.data_begun:
        return RetryLater(reason="the connection broke before the answer", maybe_received=True)
    return RetryLater(reason=f"no connection to the mail server: {one_line(error) or type(error).__name__}")


def _words(code: int, reply: bytes | str) -> str:
    return one_line(f"{code} {reply.decode(errors='replace') if isinstance(reply, bytes) else reply}")


def _answer(exchange: _Exchange, recipients: int) -> str:
    if not exchange.refused:
        return one_line(exchange.answer)
    refused = "; ".join(f"{who}: {_words(*reply)}" for who, reply in exchange.refused.items())
    return one_line(f"taken for {recipients - len(exchange.refused)} of {recipients}, refused {refused}")
