"""Alerts that wait: tried again where that may help, in their order, without an end of patience too soon."""

import logging

import pytest

from alerts.alert import refused_alert
from alerts.outbox import MAX_AGE_S, PAUSES_S, Outbox
from settings.model import Alerts


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def outbox(clock):
    return Outbox(clock)


def lines(caplog):
    records = [record for record in caplog.records if record.name == "alerts.outbox"]
    return [(record.levelname, record.getMessage(), record.fields) for record in records]


def send(outbox, phone):
    outbox.send(Alerts(phone.url, "webhook"), lambda: False)
    return [one.json["provider"] for one in phone.received]


def test_an_alert_waits_out_a_line_that_is_down_for_an_hour(outbox, clock, phone, caplog):
    phone.statuses = [None] * 7
    outbox.put([refused_alert("xai")])
    pauses = []
    for _ in range(7):
        send(outbox, phone)
        pauses.append(outbox.pause_s())
        clock.now += pauses[-1]
    assert pauses == [*PAUSES_S, PAUSES_S[-1], PAUSES_S[-1]]

    assert send(outbox, phone) == ["xai"] * 8
    assert outbox.pause_s() == float("inf")
    assert lines(caplog)[0] == (
        "WARNING",
        "Alert not sent:",
        {"event": "key_refused", "error": "ConnectionError", "again_in_s": 2},
    )


def test_between_two_tries_nobody_is_asked_and_the_order_is_kept(outbox, clock, phone):
    phone.statuses = [503]
    outbox.put([refused_alert("first")])
    send(outbox, phone)
    outbox.put([refused_alert("second")])

    assert send(outbox, phone) == ["first"]
    clock.now += 2.0
    assert send(outbox, phone) == ["first", "first", "second"]


def test_what_is_refused_is_given_up_and_the_next_is_sent(outbox, phone, caplog):
    phone.statuses = [404]
    outbox.put([refused_alert("first"), refused_alert("second")])

    assert send(outbox, phone) == ["first", "second"]
    assert lines(caplog)[0] == ("ERROR", "Alert not sent:", {"event": "key_refused", "error": "answered 404"})


def test_after_a_day_it_is_given_up(outbox, clock, phone, caplog):
    phone.statuses = [500]
    outbox.put([refused_alert("xai")])
    clock.now += MAX_AGE_S
    send(outbox, phone)

    assert outbox.pause_s() == float("inf")
    assert lines(caplog)[0][0] == "ERROR"


def test_another_address_is_tried_at_once(outbox, phone):
    phone.statuses = [500]
    outbox.put([refused_alert("xai")])
    send(outbox, phone)
    outbox.try_anew()

    assert send(outbox, phone) == ["xai", "xai"]


def test_a_late_text_says_when_it_happened(outbox, clock, phone):
    outbox.put([refused_alert("xai")])
    clock.now += 31.0
    outbox.send(Alerts(phone.url, "ntfy"), lambda: False)

    assert "(It happened at " in phone.received[0].body.decode()


@pytest.fixture(autouse=True)
def everything_is_logged(caplog):
    caplog.set_level(logging.INFO)
