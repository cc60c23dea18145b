import email
import email.policy
import re
import socket
import threading
import time
import uuid
from decimal import Decimal

import pytest

from alerts.channels import Delivered, FailedForGood, RetryLater
from alerts.channels import email as email_channel
from alerts.messages import Bar, Section
from alerts.services import deliveries
from tests.alerts.far_sides import closed_port
from tests.alerts.making import NOON, make_alert, make_channel, make_message, the_delivery

KIND = email_channel.Email()


def send(*recipients, key=None, **message):
    config = {"recipients": list(recipients) or ["lead@example.com"]}
    return KIND.send(make_message(**message), config, "", key or uuid.uuid4())


def read(letter):
    return email.message_from_bytes(letter.content, policy=email.policy.default)


def test_a_mail_has_a_text_and_an_html_part_with_the_same_facts(mail_server):
    key = uuid.uuid4()

    outcome = send("lead@example.com", "finance@example.com", key=key)

    assert outcome == Delivered(answer="250 taken as 42")
    (letter,) = mail_server.letters
    assert letter.rcpt_tos == ["lead@example.com", "finance@example.com"]
    mail = read(letter)
    assert mail["Subject"] == "[Warning] 70 % used"
    assert mail["From"] == "Tollkeeper <tollkeeper@example.com>"
    assert mail["Message-ID"] == f"<{key}@example.com>"
    text, html = (mail.get_body([kind]).get_content() for kind in ("plain", "html"))
    for fact in ("support-routing has used 71 %.", "Used", "Nothing is blocked.", "/budgets/17", "Open the budget"):
        assert fact in text
        assert fact in html
    assert "ossibly repeated" not in text + html


def test_what_may_have_come_before_is_called_possibly_repeated(mail_server):
    send(possibly_repeated=True)

    mail = read(mail_server.letters[0])
    assert mail["Subject"] == "[Warning] 70 % used (possibly repeated)"
    assert "Possibly repeated" in mail.get_body(["plain"]).get_content()
    assert "Possibly repeated" in mail.get_body(["html"]).get_content()


def test_a_bar_is_drawn_with_table_cells_that_together_are_whole(mail_server):
    bars = (
        Bar(label="support <b>", value="9 USD", share=Decimal("0.75")),
        Bar(label="none", value="0", share=Decimal(0)),
    )

    send(sections=(Section(title="By use case", rows=(("Total", "9 USD"),), bars=bars),))

    html = read(mail_server.letters[0]).get_body(["html"]).get_content()
    cells = re.findall(r'<td width="(\d+)%" height="12" bgcolor="(#\w+)"', html)
    assert cells == [("75", "#206bc4"), ("25", "#e9ecef"), ("100", "#e9ecef")]
    assert "support &lt;b&gt;" in html
    assert "By use case" in html
    assert "<img" not in html


def test_names_can_neither_add_headers_nor_markup(mail_server):
    hostile = "x\r\nBcc: everyone@example.com\r\n\r\n<script>alert(1)</script>"

    send(title=hostile, summary=hostile, rows=((hostile, hostile),), next_step=hostile, links=((hostile, "http://t/"),))

    (letter,) = mail_server.letters
    mail = read(letter)
    assert mail["Bcc"] is None
    assert letter.rcpt_tos == ["lead@example.com"]
    assert mail["Subject"].startswith("[Warning] x Bcc: everyone@example.com")
    assert "<script>" not in mail.get_body(["html"]).get_content()


def test_a_recipient_refused_beside_others_is_told(mail_server):
    mail_server.at_rcpt["gone@example.com"] = "550 no such user"

    outcome = send("lead@example.com", "gone@example.com")

    assert outcome == Delivered(answer="taken for 1 of 2, refused gone@example.com: 550 no such user")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("550 no such user", FailedForGood(reason="all recipients refused: 550 no such user")),
        ("451 greylisted", RetryLater(reason="all recipients refused: 451 greylisted")),
    ],
)
def test_refused_recipients_fail_for_good_or_are_tried_again_as_the_server_says(mail_server, reply, expected):
    mail_server.at_rcpt["lead@example.com"] = reply

    assert send() == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("554 looks like spam", FailedForGood(reason="554 looks like spam")),
        ("452 disk full", RetryLater(reason="452 disk full")),
    ],
)
def test_a_server_that_refuses_the_content_has_not_received_it(mail_server, reply, expected):
    mail_server.at_data = reply

    assert send() == expected


@pytest.mark.parametrize("behaviour", ["drop", "drop-after-taking", "hang"])
def test_a_connection_that_breaks_or_hangs_after_data_may_have_carried_the_mail(mail_server, monkeypatch, behaviour):
    if behaviour == "hang":
        monkeypatch.setattr(email_channel, "TOTAL_SECONDS", 1.0)
    mail_server.at_data = behaviour

    outcome = send()

    assert isinstance(outcome, RetryLater)
    assert outcome.maybe_received


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("trouble", "may_have_come", "mails"),
    [
        ({"at_rcpt": {"lead@example.com": "451 greylisted"}}, False, 1),
        ({"at_data": "452 disk full"}, False, 1),
        ({"at_data": "drop"}, True, 1),
        ({"at_data": "drop-after-taking"}, True, 2),
    ],
)
def test_after_trouble_the_mail_comes_with_the_same_id_and_says_so_if_it_may_have_come(
    mail_server, trouble, may_have_come, mails
):
    make_channel(config={"recipients": ["lead@example.com"]})
    alert = make_alert()
    for name, value in trouble.items():
        setattr(mail_server, name, value)

    deliveries.deliver_due(at=NOON, limit=9)
    mail_server.at_rcpt, mail_server.at_data = {}, None
    deliveries.deliver_due(at=the_delivery(alert).due_at, limit=9)

    delivery = the_delivery(alert)
    assert (delivery.state, delivery.attempts, delivery.possibly_repeated) == ("delivered", 2, may_have_come)
    read_mails = [read(letter) for letter in mail_server.letters]
    assert [mail["Message-ID"] for mail in read_mails] == [f"<{delivery.idempotency_key}@example.com>"] * mails
    assert ("possibly repeated" in read_mails[-1]["Subject"]) == may_have_come


def test_nobody_listening_means_that_nothing_was_received(mail_server, settings):
    settings.EMAIL_PORT = closed_port()

    outcome = send()

    assert isinstance(outcome, RetryLater)
    assert not outcome.maybe_received


@pytest.mark.parametrize("greeting", [b"", b"220 hello\r\n"])
def test_a_server_that_hangs_is_cut_off_in_time(mail_server, settings, monkeypatch, greeting):
    monkeypatch.setattr(email_channel, "TOTAL_SECONDS", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings.EMAIL_PORT = listener.getsockname()[1]
        accepted = []
        thread = threading.Thread(target=lambda: accepted.append(listener.accept()[0]) or accepted[0].sendall(greeting))
        thread.start()
        began = time.monotonic()

        outcome = send()

        took = time.monotonic() - began
        thread.join(5)
        accepted[0].close()
    assert isinstance(outcome, RetryLater)
    assert not outcome.maybe_received
    assert took < 2


def test_a_server_without_tls_is_tried_again_when_tls_is_wanted(mail_server, settings):
    settings.EMAIL_USE_TLS = True

    outcome = send()

    assert isinstance(outcome, RetryLater)
    assert mail_server.letters == []


@pytest.mark.parametrize(
    ("config", "secret", "fields"),
    [
        ({"recipients": ["lead@example.com"]}, "", []),
        ({}, "", ["recipients"]),
        ({"recipients": []}, "", ["recipients"]),
        ({"recipients": "lead@example.com"}, "", ["recipients"]),
        (
            {"recipients": ["lead@example.com", "nobody", 7, "a@example.com\nBcc: b@example.com"]},
            "",
            ["recipients"] * 3,
        ),
        ({"recipients": ["a@example.com"] * 51}, "", ["recipients"]),
        ({"recipients": ["lead@example.com"], "cc": "x"}, "s", ["config", "secret"]),
    ],
)
def test_settings_are_checked_and_every_problem_named(config, secret, fields):
    assert [field for field, _ in KIND.check(config, secret)] == fields
