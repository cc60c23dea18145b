"""The polling checklist (promise 9), held to by the Python client: a real server answers well, badly and not at all.

Besides what the design promises these are the mistakes of others: an ETag stored though activation failed (OPA), 304
taken for a failure, one 401 that turned everything off, a fleet that asks without end.
"""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tollkeeper_client import NoRules, NotConfigured, Tollkeeper, __version__, http, kept
from tollkeeper_client.http import Line as HttpLine
from tollkeeper_client.http import Unreachable
from tollkeeper_client.polling import Poller

from tests.clients.python.far_side import CONTEXT, FLASH, OPUS, FarSide, Line, document, given, problem, same
from tests.running import eventually

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Clock:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Client:
    """A poller with its line and file, asked by hand: no threads, no waiting."""

    def __init__(self, url, directory, *, interval=10.0, wait=50.0):
        self.clock, self.file = Clock(), directory / "rules.json"
        self.line = HttpLine(url, "a-key")
        self.poller = Poller(
            line=self.line, environment="production", instance=lambda: "web-1", file=self.file, verifier=None,
            interval=interval, wait=wait, clock=self.clock,
        )  # fmt: skip

    def poll(self) -> float:
        return self.poller.poll()

    @property
    def runs(self) -> str | None:
        """Where code goes, None where nothing decides."""
        rules = self.poller.rules
        return None if rules is None else rules.compiled.decide(CONTEXT, NOW).offering


@pytest.fixture
def client(far_side: FarSide, tmp_path):
    found = Client(far_side.url, tmp_path)
    yield found
    found.line.close()


@pytest.fixture
def with_rules(client, far_side):
    """A client that has version 1 and has been told once that it is in force."""
    far_side.answers(given(document()), same('"1.1-gzip"'))
    client.poll()
    client.poll()
    return client


def test_the_first_poll_says_who_asks_and_takes_what_it_is_given(client, far_side):
    far_side.answers(given(document()))

    client.poll()

    asked = far_side.last
    assert (asked.method, asked.path) == ("GET", "/api/v1/rules/production")
    assert asked.query == {"instance": "web-1", "client": f"tollkeeper-python/{__version__}", "spec": "1"}
    assert asked.headers["Authorization"] == "Bearer a-key"
    assert "Prefer" not in asked.headers
    assert asked.tags is None
    assert client.runs == OPUS


def test_who_has_nothing_hears_at_once_that_there_is_nothing_and_waits_from_the_next_poll_on(client, far_side):
    far_side.answers(problem(404, "no-version"), problem(404, "no-version"))

    pause = client.poll()
    said = client.poller.error
    client.poll()

    assert (said, pause <= 0.2) == ("no rules are in force in production yet", True)
    assert [asked.headers.get("Prefer") for asked in far_side.asked] == [None, "wait=50"]


def test_a_poll_names_the_etag_as_it_came_and_304_is_no_failure(with_rules, far_side):
    assert far_side.last.tags == '"1.1-gzip"'
    assert far_side.last.query["active"] == "1.1"
    assert with_rules.poller.error is None
    assert with_rules.runs == OPUS


BAD = {
    "401": problem(401, "authentication-failed"),
    "403": problem(403, "not-allowed"),
    "404": problem(404, "not-found"),
    "no version": problem(404, "no-version"),
    "500": Line(500, b"<h1>Server Error</h1>"),
    "502": Line(502, b""),
    "503": problem(503, "unavailable", **{"Retry-After": "7"}),
    "redirect": Line(302, headers={"Location": "/login"}),
    "empty": given(b"", packed=False),
    "blank": given(b"  \n", packed=False),
    "a page": given(b"<html>Sign in to the hotel's network</html>", packed=False),
    "a page without a tag": Line(200, b"<html>Sign in</html>"),
    "half a document": given(json.dumps(document(2)).encode()[:200], packed=False),
    "cut off on the way": given(document(2), packed=False)._replace(claimed=100_000),
    "cut off and compressed": given(document(2), cut=20),
    "cut off behind the document": given(document(2), cut=4),
    "not compressed": given(b"plain", packed=False, Content_Encoding="gzip"),
    "malformed": given(b'{"spec": 1,,}', packed=False),
    "a member twice": given(b'{"spec": 1, "spec": 1}', packed=False),
    "a fraction": given(document(2, timeout=1.5)),
    "an unknown member": given(document(2, surprise=True)),
    "an unknown operator": given(
        document(2, rules=[{**document()["rules"][0], "when": {"field": "task", "op": "like", "value": "x"}}])
    ),
    "a later specification": given(document(2, spec=2)),
    "another environment": given(document(2, environment="staging")),
    "a list": given(b"[]", packed=False),
    "nested without end": given(b'{"a":' * 5000 + b"1" + b"}" * 5000, packed=False),
    "not unicode": given(b'{"spec": "\xff"}', packed=False),
    "nothing": Line(0),
}


@pytest.mark.parametrize("answer", BAD.values(), ids=BAD)
def test_whatever_is_no_better_rules_leaves_those_at_hand(with_rules, far_side, answer):
    before = with_rules.file.read_bytes()
    far_side.answers(answer, given(document(3, target=FLASH)))

    pause = with_rules.poll()

    assert with_rules.runs == OPUS
    assert with_rules.file.read_bytes() == before
    assert with_rules.poller.error
    assert pause >= 0.4
    # What did not come whole was not refused: it is asked for again, and not reported.
    refused = not with_rules.poller.error.startswith(("out of reach", "answered", "no "))
    assert (with_rules.poller.rejected is not None) == refused
    with_rules.poll()
    assert far_side.last.query["active"] == "1.1"
    assert '"1.1-gzip"' in far_side.last.tags
    assert with_rules.runs == FLASH
    assert with_rules.poller.error is None


def test_the_server_gone_leaves_the_rules_at_hand_and_each_pause_is_longer_up_to_a_minute(with_rules, tmp_path):
    with FarSide().running() as soon_gone:
        with_rules.line._url = soon_gone.url

    pauses = [with_rules.poll() for _ in range(12)]

    assert with_rules.runs == OPUS
    assert with_rules.poller.error.startswith("out of reach")
    assert all(0.5 * 2**n <= pause <= 2**n for n, pause in enumerate(pauses[:6]))
    assert all(30 <= pause <= 60 for pause in pauses[6:])
    assert len({round(pause, 6) for pause in pauses}) == 12


def test_a_tag_is_ours_only_once_its_document_was_taken(with_rules, far_side):
    far_side.answers(given(document(2, surprise=True)), same('"1.1"'))

    with_rules.poll()
    with_rules.poll()

    asked = far_side.last
    assert asked.query["active"] == "1.1"
    assert asked.query["rejected"] == "2.1"
    assert "surprise" in asked.query["reason"]
    assert asked.tags == '"1.1-gzip", "2.1-gzip"'
    assert json.loads(with_rules.file.read_bytes().partition(b"\n")[0])["tag"] == '"1.1-gzip"'


def test_a_refusal_is_told_until_better_rules_come(client, far_side):
    far_side.answers(given(document(2, spec=2)), same('"2.1-gzip"'), given(document(3)), same('"3.1-gzip"'))

    for _ in range(4):
        client.poll()

    told = [asked.query.get("rejected") for asked in far_side.asked]
    assert told == [None, "2.1", "2.1", None]
    assert "active" not in far_side.asked[1].query
    assert far_side.asked[1].query["reason"] == "written in specification 2, and this client understands 1"
    assert client.poller.rejected is None


def test_a_refusal_ends_when_what_we_have_is_in_force_again(with_rules, far_side):
    far_side.answers(given(document(2, spec=2)), same('"1.1"'))

    with_rules.poll()
    with_rules.poll()

    assert with_rules.poller.rejected is None


def test_a_refused_document_is_asked_for_again_after_a_minute_then_two_in_case_it_was_spoilt_on_the_way(
    with_rules, far_side
):
    spoilt = given(b'{"spec": 1,', tag='"2.1-gzip"')
    far_side.answers(spoilt, same('"2.1"'), spoilt, same('"2.1"'), given(document(2, target=FLASH)))

    with_rules.poll()
    for passed in (59, 2, 100, 21):
        with_rules.clock.seconds += passed
        with_rules.poll()

    named = ['"2.1-gzip"' in asked.tags for asked in far_side.asked[3:]]
    assert named == [True, False, True, False]
    assert with_rules.runs == FLASH


def test_a_server_that_sends_the_refused_document_all_the_same_is_asked_less_and_less(with_rules, far_side):
    far_side.otherwise = lambda asked: given(document(2, spec=2), Preference_Applied="wait=50")

    pauses = [with_rules.poll() for _ in range(8)]

    assert pauses[-1] >= 16
    assert with_rules.runs == OPUS


def test_polls_that_waited_follow_at_once_and_others_at_the_interval_all_with_jitter(with_rules, far_side):
    def waits(seconds):
        def answer(asked):
            with_rules.clock.seconds += seconds
            return same('"1.1"', Preference_Applied="wait=50")

        return answer

    far_side.otherwise = waits(50)
    waited = [with_rules.poll() for _ in range(5)]
    far_side.otherwise = waits(0)  # says that it lets polls wait, and does not
    hasty = [with_rules.poll() for _ in range(5)]
    far_side.otherwise = lambda asked: same('"1.1"')
    plain = [with_rules.poll() for _ in range(5)]

    assert all(pause <= 0.2 for pause in waited)
    assert all(8 <= pause <= 12 for pause in hasty + plain)
    assert len(set(plain)) == 5


def test_behind_a_proxy_that_ends_silent_requests_polls_wait_for_half_as_long(with_rules, far_side):
    def ends(asked):
        with_rules.clock.seconds += 30
        return Line(504, b"<h1>Gateway Timeout</h1>")

    far_side.otherwise = ends
    with_rules.poll()
    far_side.otherwise = lambda asked: problem(503)
    with_rules.poll()
    with_rules.poll()

    assert [asked.headers["Prefer"] for asked in far_side.asked[2:]] == ["wait=50", "wait=15", "wait=15"]


def test_new_rules_are_followed_by_the_next_poll_at_once_and_the_same_ones_over_and_over_are_not(client, far_side):
    far_side.otherwise = lambda asked: given(document(), Preference_Applied="wait=50")

    first, *others = [client.poll() for _ in range(3)]

    assert first <= 0.2
    assert all(pause >= 8 for pause in others)


@pytest.mark.parametrize(
    ("answer", "least", "most"),
    [
        (problem(503, **{"Retry-After": "30"}), 30, 36),
        (problem(429, **{"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}), 3600, 4320),
        (problem(503, **{"Retry-After": "soon"}), 0.5, 1),
        (problem(503, **{"Retry-After": f"Fri, 01 Jan {'9' * 14} 00:00:00 GMT"}), 0.5, 1),
        (problem(503, **{"Retry-After": f"Fri, 01 Jan 2100 00:00:00 +{'9' * 14}"}), 0.5, 1),
        (same('"1.1"', Retry_After="20"), 16, 24),
        (same('"1.1"', Cache_Control="private, max-age=30"), 24, 36),
        (same('"1.1"', Cache_Control="private, no-cache"), 8, 12),
    ],
)
def test_the_server_says_how_long_to_stay_away(with_rules, far_side, answer, least, most):
    far_side.answers(answer)

    pause = with_rules.poll()

    assert least <= pause <= most


def test_a_key_that_is_not_taken_is_tried_less_often_than_a_server_that_stumbles(with_rules, far_side):
    far_side.otherwise = lambda asked: problem(401)

    pauses = [with_rules.poll() for _ in range(12)]

    assert 150 <= pauses[-1] <= 300
    assert "the key is unknown, expired or revoked" in with_rules.poller.error


def test_an_answer_that_does_not_come_is_given_up(far_side):
    never = threading.Event()
    far_side.answers(Line(200, wait_for=never))
    line = HttpLine(far_side.url, "a-key")

    with pytest.raises(Unreachable, match="ReadTimeout"):
        line.ask("GET", "/api/v1/rules/production", seconds=0.1)

    never.set()
    line.close()


def test_a_start_without_the_server_runs_the_rules_that_were_kept(with_rules, tmp_path):
    with FarSide().running() as soon_gone:
        again = Client(soon_gone.url, tmp_path)
    again.poller.load()

    again.poll()

    assert again.runs == OPUS
    assert (again.poller.from_disk, again.poller.checked_at) == (True, None)


def test_a_start_names_the_kept_rules_and_304_confirms_them(with_rules, far_side, tmp_path):
    again = Client(far_side.url, tmp_path)
    again.poller.load()
    far_side.answers(same('"1.1-gzip"'))

    again.poll()

    assert far_side.last.tags == '"1.1-gzip"'
    assert not again.poller.from_disk
    again.line.close()


def test_the_same_rules_under_another_tag_confirm_the_kept_ones_and_are_known_by_it(with_rules, far_side, tmp_path):
    again = Client(far_side.url, tmp_path)
    again.poller.load()
    far_side.answers(given(document(), packed=False), same('"1.1"'))
    taken_at = again.poller.taken_at

    again.poll()
    again.poll()

    assert far_side.last.tags == '"1.1"'
    assert (again.poller.from_disk, again.poller.taken_at) == (False, taken_at)
    again.line.close()


DAMAGE = {
    "empty": lambda data: b"",
    "cut off": lambda data: data[:-1],
    "only a line": lambda data: data.partition(b"\n")[0],
    "tampered with": lambda data: data.replace(b"deepseek-v4-flash@deepseek", b"deepseek-v5-flash@deepseek"),
    "another tag": lambda data: data.replace(b'1.1-gzip\\"', b'9.1-gzip\\"', 1),
    "of another format": lambda data: data.replace(b'"format": 1', b'"format": 2'),
    "something else": lambda data: b"[1, 2]\n",
    "no text": lambda data: b"\xff\xfe\n" + data,
}


@pytest.mark.parametrize("spoil", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_ignored_with_a_word_and_written_anew(with_rules, far_side, tmp_path, spoil):
    sound = with_rules.file.read_bytes()
    with_rules.file.write_bytes(spoil(sound))
    again = Client(far_side.url, tmp_path)
    far_side.answers(given(document()))

    again.poller.load()
    loaded = again.runs
    complaint = again.poller.disk_error
    again.poll()

    assert loaded is None
    assert complaint
    assert far_side.last.tags is None
    assert again.runs == OPUS
    assert with_rules.file.read_bytes() == sound
    assert again.poller.disk_error is None
    again.line.close()


def test_rules_that_cannot_be_kept_are_run_all_the_same(far_side, tmp_path):
    (tmp_path / "rules.json").mkdir()
    client = Client(far_side.url, tmp_path)
    far_side.answers(given(document()))

    client.poll()

    assert client.runs == OPUS
    assert "could not be kept" in client.poller.disk_error
    client.line.close()


def test_writers_that_share_a_directory_and_a_number_keep_whole_rules(tmp_path):
    path = tmp_path / "rules.json"
    bodies = [letter.encode() * size for letter, size in (("a", 3_000_000), ("b", 1_000_000), ("c", 2_000_000))]

    # As in containers, each of which has a process 1.
    with ThreadPoolExecutor(3) as threads:
        saved = [threads.submit(kept.save, path, kept.KeptRules('"1.1"', None, body)) for body in bodies * 3]

    assert [one.exception() for one in saved] == [None] * 9
    found = kept.load(path)
    assert found is not None
    assert found.body in bodies
    assert list(tmp_path.iterdir()) == [path]


def test_headers_that_come_byte_by_byte_hold_nobody_for_ever(monkeypatch):
    monkeypatch.setattr(http, "MOST_SECONDS_BEYOND", 0.2)
    drips = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        with drips.accept()[0] as connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while connection.send(b"a"):
                time.sleep(0.01)

    threading.Thread(target=drip, daemon=True).start()
    line = HttpLine(f"http://127.0.0.1:{drips.getsockname()[1]}", "a-key")

    with pytest.raises(Unreachable, match="takes too long"):
        line.ask("GET", "/", seconds=0.2)
    line.close()
    drips.close()


def test_a_host_that_can_be_no_name_is_out_of_reach():
    line = HttpLine(f"http://{'a' * 64}.example", "a-key")

    with pytest.raises(Unreachable):
        line.ask("GET", "/", seconds=1)
    line.close()


def test_a_proxy_that_is_none_is_told_and_raises_nothing(far_side, tmp_path, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "garbage://nowhere")
    client = Tollkeeper(far_side.url, "a-key", data_dir=tmp_path)

    assert client.refresh() is False
    assert "the settings of proxies or authorities cannot be used" in str(client.status().error)
    client.report({"model": "m"})
    assert client.flush(0.5) is False
    client.close()


def test_without_rules_there_is_no_decision_and_the_reason_is_said(far_side, tmp_path):
    far_side.answers(problem(404, "no-version"), problem(401))
    client = Tollkeeper(far_side.url, "a-key", data_dir=tmp_path)

    with pytest.raises(NoRules, match="start\\(\\) was not called"):
        client.decide(CONTEXT)
    client.refresh()
    with pytest.raises(NoRules, match="no rules are in force in production yet"):
        client.decide(CONTEXT)
    client.refresh()
    with pytest.raises(NoRules, match="the key is unknown, expired or revoked"):
        client.decide(CONTEXT)
    client.close()


def test_with_a_public_key_only_rules_signed_by_it_are_taken_from_the_server_and_from_disk(far_side, tmp_path):
    ours, theirs = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()

    def public(key):
        return base64.b64encode(key.public_key().public_bytes_raw()).decode()

    def signed(found, key, of=None):
        signature = base64.b64encode(key.sign(json.dumps(of or found).encode())).decode()
        return given(found, Tollkeeper_Signature=f"ed25519={signature}; keyid=0123456789abcdef")

    # The next key is given first, then used: there is no moment in which nothing is trusted.
    keys = f"{public(theirs)}, {public(ours)}"
    client = Tollkeeper(far_side.url, "a-key", data_dir=tmp_path, public_key=keys)
    far_side.answers(
        signed(document(1), ours),
        given(document(2)),
        signed(document(3), Ed25519PrivateKey.generate()),
        signed(document(4), ours, of=document(5)),
        given(document(5), Tollkeeper_Signature="ed25519=%%%; keyid=x"),
    )

    taken = []
    for _ in range(5):
        client.refresh()
        taken.append(client.status().active)

    assert taken == ["1.1"] * 5
    assert "signature" in client.status().reason
    assert Tollkeeper(far_side.url, "a-key", data_dir=tmp_path, public_key=keys).decide(CONTEXT).version == 1
    stranger = Tollkeeper(far_side.url, "a-key", data_dir=tmp_path, public_key=public(Ed25519PrivateKey.generate()))
    assert stranger.status().active is None
    with pytest.raises(NotConfigured, match="not the 32 bytes"):
        Tollkeeper(far_side.url, "a-key", data_dir=tmp_path, public_key="abc=")
    client.close()


def test_a_client_that_runs_takes_new_rules_while_others_decide_and_ends_within_a_moment(far_side, tmp_path, caplog):
    published = [document(number, target=OPUS if number % 2 else FLASH) for number in range(1, 6)]
    held = threading.Event()
    far_side.answers(*(given(found, Preference_Applied="wait=50") for found in published))
    far_side.otherwise = lambda asked: same('"5.1-gzip"')._replace(wait_for=held)
    seen, stop = [], threading.Event()

    def decide():
        while not stop.is_set():
            decision = client.decide(CONTEXT)
            seen.append((decision.version, decision.offering))

    with Tollkeeper(far_side.url, "a-key", data_dir=tmp_path) as client:
        assert client.ready()
        threads = [threading.Thread(target=decide) for _ in range(2)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 10
        while client.status().active != "5.1" and time.monotonic() < until:
            stop.wait(0.02)
        stop.set()
        for thread in threads:
            thread.join()
        assert client.status().active == "5.1"
        assert eventually(lambda: far_side.last.tags == '"5.1-gzip"')  # the poll that is held
        began = time.monotonic()
    ended = time.monotonic() - began

    assert {pair for pair in seen if pair[1] != (OPUS if pair[0] % 2 else FLASH)} == set()
    assert ended < 1.5  # though the server holds a poll for twenty seconds
    assert "poll_failed" not in caplog.text
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tollkeeper-")]
    held.set()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"key": "k"}, "TOLLKEEPER_URL"),
        ({"url": "tollkeeper.example", "key": "k"}, "https://"),
        ({"url": "https://[", "key": "k"}, "https://"),
        ({"url": "https://tollkeeper.example"}, "TOLLKEEPER_KEY"),
        ({"url": "https://tollkeeper.example", "key": "two words"}, "TOLLKEEPER_KEY"),
        ({"url": "https://tollkeeper.example", "key": "k", "environment": "a/b"}, "TOLLKEEPER_ENVIRONMENT"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_at_once(tmp_path, arguments, said):
    with pytest.raises(NotConfigured, match=said):
        Tollkeeper(**arguments, data_dir=tmp_path)


def test_settings_come_from_the_environment_and_an_address_may_have_its_path(monkeypatch, far_side, tmp_path):
    monkeypatch.setenv("TOLLKEEPER_URL", f"{far_side.url}/api/v1/")
    monkeypatch.setenv("TOLLKEEPER_KEY", "from-around")
    monkeypatch.setenv("TOLLKEEPER_ENVIRONMENT", "staging")
    monkeypatch.setenv("TOLLKEEPER_INSTANCE", "pod 1/a")
    monkeypatch.setenv("TOLLKEEPER_CLIENT_DIR", str(tmp_path / "not" / "there"))
    far_side.answers(given(document(environment="staging")))

    client = Tollkeeper()

    assert client.refresh()
    assert far_side.last.path == "/api/v1/rules/staging"
    assert far_side.last.query["instance"] == "pod-1-a"
    assert list((tmp_path / "not" / "there").glob("rules-staging-*.json"))
    client.close()
