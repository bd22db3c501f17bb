"""An alert on its way, over a real socket: as ntfy takes it, as JSON, and when nobody takes it."""

from datetime import UTC, datetime

import pytest

from alerts.alert import rejected_alert
from alerts.delivery import Outcome, deliver
from settings.model import Alerts
from tests.support.server import unused_port

ALERT = rejected_alert("config.yaml:3: server.prt: unknown key, did you mean pört?")
AT = datetime(2026, 3, 10, 12, tzinfo=UTC)


def sent(url, kind="ntfy", **more):
    return deliver(ALERT, AT, Alerts(url, kind), **more)


def test_ntfy_gets_the_text_as_the_body_and_the_rest_as_headers(phone):
    assert sent(phone.url) == (Outcome.SENT, "")

    [received] = phone.received
    assert received.path == "/headstart-a1b2"
    assert received.body.decode() == f"{ALERT.message}"
    assert {name: received.headers[name] for name in ("Title", "Priority", "Tags")} == {
        "Title": "Headstart: the configuration was rejected",
        "Priority": "3",
        "Tags": "warning",
    }


def test_a_webhook_gets_json(phone):
    assert sent(phone.url, "webhook") == (Outcome.SENT, "")

    [received] = phone.received
    assert received.headers["Content-Type"] == "application/json"
    assert received.json == {
        "event": "config_rejected",
        "title": "Headstart: the configuration was rejected",
        "message": ALERT.message,
        "at": "2026-03-10T12:00:00+00:00",
        "mistake": "config.yaml:3: server.prt: unknown key, did you mean pört?",
    }


def test_credentials_in_the_address_are_sent_as_such(phone):
    assert sent(phone.url.replace("http://", "http://me:hush@"))[0] is Outcome.SENT

    assert phone.received[0].headers["Authorization"] == "Basic bWU6aHVzaA=="


def test_what_is_late_says_when_it_happened(phone):
    sent(phone.url, is_late=True)

    assert phone.received[0].body.decode() == f"{ALERT.message}\n(It happened at 2026-03-10 12:00.)"


@pytest.mark.parametrize("status", [500, 503, 408, 429])
def test_what_may_pass_may_be_tried_again(phone, status):
    phone.statuses = [status]

    assert sent(phone.url) == (Outcome.LATER, f"answered {status}")
    assert len(phone.received) == 1


@pytest.mark.parametrize("status", [301, 400, 403, 404])
def test_what_will_not_pass_is_refused(phone, status):
    phone.statuses = [status]

    assert sent(phone.url) == (Outcome.REFUSED, f"answered {status}")


def test_where_nobody_listens_the_address_is_not_told(phone):
    phone.statuses = [None]

    assert sent(phone.url) == (Outcome.LATER, "ConnectionError")
    assert sent(f"http://127.0.0.1:{unused_port()}/hush") == (Outcome.LATER, "ConnectionError")
