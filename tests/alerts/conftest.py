from collections.abc import Iterator

import pytest

from alerts.channels import posting
from tests.alerts.far_sides import MailServer, Webhook, tls_for


@pytest.fixture
def webhook(settings) -> Iterator[Webhook]:
    settings.ALLOW_INTERNAL_WEBHOOKS = True
    server = Webhook()
    yield server
    server.stop()


@pytest.fixture
def tls_webhook(settings, tmp_path, monkeypatch) -> Iterator[Webhook]:
    """Has a certificate for `localhost`, which is trusted, and none for its address."""
    settings.ALLOW_INTERNAL_WEBHOOKS = True
    context, certificate = tls_for("localhost", tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    posting._trust.cache_clear()
    server = Webhook(context)
    yield server
    server.stop()
    posting._trust.cache_clear()


@pytest.fixture
def mail_server(settings) -> Iterator[MailServer]:
    server = MailServer()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST = "127.0.0.1"
    settings.EMAIL_PORT = server.port
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    settings.DEFAULT_FROM_EMAIL = "Tollkeeper <tollkeeper@example.com>"
    yield server
    server.stop()
