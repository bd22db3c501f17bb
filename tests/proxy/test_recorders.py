"""What happens to a request is told to recorders that know nothing of each other; one that raises costs a log
line only.
"""

import pytest
import requests

import api.handler
import services
from telemetry.events import Finished, Recorder, Recorders
from tests.support.in_process import serving
from tests.support.ledger import booked
from tests.support.scripted import scripted_config
from tests.support.server import HANG_GUARD_S, streamed_text
from tests.support.waiting import await_that

SECRET = "a text of the request"
EVENTS = [name for name in vars(Recorder) if not name.startswith("_")]
WRITTEN = {
    "RequestLog": lambda headstart, session: f"REQUEST session={session}" in headstart.log_text(),
    "RequestMetrics": lambda headstart, session: "headstart_requests_total{" in metrics_of(headstart),
    "LedgerEntries": lambda headstart, session: booked(headstart, session, 1),
    "SessionRecord": lambda headstart, session: any(
        (headstart.folder / "sessions").glob(f"*_{session}.json")
    ),
}


def metrics_of(headstart):
    return requests.get(headstart.url + "/metrics", timeout=HANG_GUARD_S).text


def failing(cls=Recorder):
    """A recorder that raises, whatever it is told."""

    def fail(self, event):
        raise RuntimeError(SECRET)

    return type("Failing", (cls,), dict.fromkeys(EVENTS, fail))


def ask(headstart, judge, decision, stream):
    judge.streams(decision)
    body = {"messages": [{"role": "user", "content": "what is six times seven?"}], "stream": stream}
    return headstart.post("/v1/chat/completions", body)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", WRITTEN)
def test_a_recorder_that_raises_costs_a_log_line_and_no_answer(
    monkeypatch, tmp_path, upstreams, primary, cloud, judge, name, stream
):
    monkeypatch.setattr(services, name, lambda *parts: failing()())
    primary.streams("forty", "-two")
    cloud.streams("forty", "-two")
    config = scripted_config(**upstreams)
    config["routes"]["primary"]["chain"].insert(0, "off")  # who is passed over

    with serving(tmp_path, config) as headstart:
        for decision in ("MODERATE", "COMPLEX", "ENRICH"):
            reply = ask(headstart, judge, decision, stream)
            text = streamed_text(reply) if stream else reply.json()["choices"][0]["message"]["content"]
            assert (reply.status_code, text) == (200, "forty-two")
            session = reply.headers["X-Session-Id"]
            for other, is_written in WRITTEN.items():
                if other != name:
                    await_that(lambda: is_written(headstart, session), f"{other} has written nothing")  # noqa: B023
        log = headstart.log_text()

    told = {event for event in EVENTS if f"Recorder failed: recorder=Failing event={event}\n" in log}
    assert told == set(EVENTS)
    assert SECRET not in log


def test_a_summary_that_raises_costs_no_answer(monkeypatch, tmp_path, upstreams, primary, judge):
    monkeypatch.setattr(api.handler, "Summary", failing(api.handler.Summary))

    with serving(tmp_path, scripted_config(**upstreams)) as headstart:
        reply = ask(headstart, judge, "MODERATE", stream=False)

        assert reply.status_code == 200
        assert "X-Decision" not in reply.headers


def test_one_more_recorder_is_one_class_and_one_line(monkeypatch, tmp_path, upstreams, primary, judge):
    seen = []

    class Watching(Recorder):
        def decided(self, event):
            seen.append(event.decision)

        def finished(self, event):
            seen.append(event.status)

    recorders = services.Services.recorders
    monkeypatch.setattr(
        services.Services, "recorders", lambda self, summary: [*recorders(self, summary), Watching()]
    )

    with serving(tmp_path, scripted_config(**upstreams)) as headstart:
        ask(headstart, judge, "MODERATE", stream=False)
        await_that(lambda: len(seen) == 2, "it was told nothing")

    assert seen == ["MODERATE", 200]


def test_events_come_in_their_order(monkeypatch, tmp_path, upstreams, primary, cloud, judge):
    seen = []

    watching = type(
        "Watching", (Recorder,), {name: lambda self, event, name=name: seen.append(name) for name in EVENTS}
    )
    monkeypatch.setattr(services.Services, "recorders", lambda self, summary: [watching()])

    with serving(tmp_path, scripted_config(**upstreams)) as headstart:
        ask(headstart, judge, "COMPLEX", stream=True)
        await_that(lambda: seen[-1:] == ["finished"], "it has not finished")

    told = [name for name in seen if name != "attempt_ended"]
    assert told == [
        "arrived",
        "accepted",
        "attempt_started",  # the speculation
        "decided",
        "planned",
        "speculated",
        "attempt_started",
        "attempt_head",
        "first_byte",
        "finished",
    ]
    assert seen.count("attempt_ended") == 3  # the classifier's call, the cancelled one, and the answer


def test_what_one_recorder_raises_reaches_no_other(caplog):
    seen = []

    class Watching(Recorder):
        def finished(self, event):
            seen.append(event)

    Recorders([failing()(), Watching()]).notify(event := Finished(200, 7, None, True))

    assert seen == [event]
