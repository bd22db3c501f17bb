"""An alert on its way, over a real socket: as ntfy takes it, as JSON, and when nobody takes it."""

import logging
from datetime import UTC, datetime

import pytest

from alerts.alert import rejected_alert
from alerts.delivery import deliver
from settings.model import Alerts
from tests.support.server import unused_port

ALERT = rejected_alert("config.yaml:3: server.prt: unknown key, did you mean pört?")
AT = datetime(2026, 3, 10, 12, tzinfo=UTC)


def sent(url, kind="ntfy"):
    """(whether it arrived, the pauses between the tries)."""
    pauses = []
    return deliver(ALERT, AT, Alerts(url, kind), pauses.append), pauses


def test_ntfy_gets_the_text_as_the_body_and_the_rest_as_headers(phone):
    assert sent(phone.url) == (True, [])

    [received] = phone.received
    assert received.path == "/headstart-a1b2"
    assert received.body.decode() == f"{ALERT.message}"
    assert {name: received.headers[name] for name in ("Title", "Priority", "Tags")} == {
        "Title": "Headstart: the configuration was rejected",
        "Priority": "3",
        "Tags": "warning",
    }


def test_a_webhook_gets_json(phone):
    assert sent(phone.url, "webhook") == (True, [])

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
    assert sent(phone.url.replace("http://", "http://me:hush@"))[0]

    assert phone.received[0].headers["Authorization"] == "Basic bWU6aHVzaA=="


@pytest.mark.parametrize("status", [500, 503, 429, None])
def test_what_may_pass_is_tried_again_twice(phone, status):
    phone.statuses = [status, status]

    assert sent(phone.url) == (True, [2.0, 10.0])
    assert len(phone.received) == 3


@pytest.mark.parametrize("status", [301, 400, 403, 404])
def test_what_will_not_pass_is_not_tried_again_and_costs_one_line_without_the_address(phone, caplog, status):
    caplog.set_level(logging.INFO)
    phone.statuses = [status]

    assert sent(phone.url) == (False, [])
    assert len(phone.received) == 1
    [line] = caplog.records
    assert (line.getMessage(), line.fields) == (
        "Alert not sent:",
        {"event": "config_rejected", "error": f"answered {status}"},
    )


def test_where_nobody_listens_it_is_given_up_in_one_line(caplog):
    assert sent(f"http://127.0.0.1:{unused_port()}/hush") == (False, [2.0, 10.0])

    [line] = [record for record in caplog.records if record.name == "alerts.delivery"]
    assert line.fields == {"event": "config_rejected", "error": "ConnectionError"}
