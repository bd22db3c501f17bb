"""From request to ledger: how each ending is recorded, what /v1/costs reports, what a spent budget does."""

import pytest
import requests

from tests.support.ledger import booked
from tests.support.scripted import scripted_config
from tests.support.server import Server

USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


@pytest.fixture(scope="module")
def budgeted(upstreams, tmp_path_factory):
    """A Headstart with a dollar a day; the scripted cloud has prices, so it is no local provider."""
    config = {**scripted_config(**upstreams), "budgets": {"daily_usd": 1.0}}
    server = Server(tmp_path_factory.mktemp("budgeted"), config).wait_until_up()
    yield server
    server.stop()


def check(row, **expected):
    assert {name: row[name] for name in expected} == expected


def test_an_adopted_speculation_is_one_row_that_tells_what_it_saved(headstart, primary, judge):
    primary.streams("forty", "-two", usage=USAGE)

    reply = headstart.chat("what is six times seven?")

    [row] = booked(headstart, reply.headers["X-Session-Id"], 1)
    check(
        row,
        route="primary",
        decision="MODERATE",
        provider="main",
        model="p-model",
        outcome="answered",
        speculative=1,
        estimated=0,
        cost_usd=0.0,
    )
    assert row["saved_ms"] >= 0


def test_a_cancelled_speculation_is_recorded_beside_the_answer(headstart, primary, cloud, judge):
    judge.streams("COMPLEX")
    primary.stalls_before_head()
    cloud.streams("forty", "-two", usage=USAGE)

    reply = headstart.chat("x" * 400)

    rows = {row["provider"]: row for row in booked(headstart, reply.headers["X-Session-Id"], 2)}
    check(
        rows["main"],
        outcome="cancelled",
        speculative=1,
        estimated=1,
        input_tokens=100,
        output_tokens=0,
        saved_ms=None,
        route="cloud",
        decision="COMPLEX",
    )
    check(rows["cloud"], outcome="answered", speculative=0, estimated=0, cost_usd=0.003)


def test_a_refused_call_used_nothing_and_the_next_one_is_recorded_as_well(headstart, primary, backup, judge):
    primary.refuses(503)
    backup.streams("here")

    reply = headstart.chat("hello", model="primary")

    rows = {row["provider"]: row for row in booked(headstart, reply.headers["X-Session-Id"], 2)}
    check(rows["main"], outcome="failed", input_tokens=0, cost_usd=0.0)
    assert rows["backup"]["outcome"] == "answered"


def test_a_stream_that_breaks_off_is_recorded_with_what_was_seen(headstart, cloud):
    cloud.runs(("token", "a"), ("token", "b"), ("token", "c"), ("cut",))

    reply = headstart.chat("x" * 40, model="c-model", stream=True)

    [row] = booked(headstart, reply.headers["X-Session-Id"], 1)
    check(row, outcome="failed", estimated=1, input_tokens=10, output_tokens=3)
    assert row["cost_usd"] == pytest.approx(10 * 2e-6 + 3 * 1e-5)


def test_the_session_file_tells_the_cost_that_was_recorded(headstart, cloud):
    reply = headstart.chat("hello", model="c-model")

    session = reply.headers["X-Session-Id"]
    assert headstart.session(session)["cost_usd"] == pytest.approx(
        booked(headstart, session, 1)[0]["cost_usd"]
    )


def test_costs_are_told_with_the_call_of_a_moment_ago(headstart, cloud):
    before = requests.get(headstart.url + "/v1/costs?since=1h").json()["total"]["calls"]

    session = headstart.chat("hello", model="c-model").headers["X-Session-Id"]
    headstart.request_line(session)

    report = requests.get(headstart.url + "/v1/costs?since=1h").json()
    assert report["total"]["calls"] == before + 1
    assert report["all_cloud"]["provider"] == "cloud"


def test_a_since_that_means_nothing_is_a_400(headstart):
    reply = requests.get(headstart.url + "/v1/costs?since=yesterday")

    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "since")


def test_a_spent_budget_sends_cloud_routes_to_local_with_a_header(budgeted, primary, cloud, judge):
    cloud.streams("dear", usage={"prompt_tokens": 0, "completion_tokens": 100_000, "total_tokens": 100_000})
    spent = budgeted.chat("hello", model="c-model")
    budgeted.request_line(spent.headers["X-Session-Id"])
    judge.streams("COMPLEX")
    primary.streams("from", " home")
    asked_before = len(cloud.requests)

    reply = budgeted.chat("prove it")

    assert (reply.status_code, reply.json()["choices"][0]["message"]["content"]) == (200, "from home")
    assert (reply.headers["X-Budget"], reply.headers["X-Provider"], reply.headers["X-Route"]) == (
        "exhausted",
        "main",
        "cloud",
    )
    assert len(cloud.requests) == asked_before
    assert "X-Budget" not in spent.headers
    assert len(budgeted.log_lines("Budget exhausted: period=daily", 1)) == 1


def test_a_spent_budget_sends_legacy_completions_home_too(budgeted, primary, cloud):
    cloud.streams("dear", usage={"prompt_tokens": 0, "completion_tokens": 100_000, "total_tokens": 100_000})
    budgeted.request_line(budgeted.chat("hello", model="c-model").headers["X-Session-Id"])
    asked_before = len(cloud.requests)

    reply = budgeted.post("/v1/completions", {"model": "c-model", "prompt": "once upon"})

    assert (reply.status_code, reply.headers["X-Budget"], reply.headers["X-Provider"]) == (
        200,
        "exhausted",
        "main",
    )
    assert len(cloud.requests) == asked_before


def test_a_route_that_is_local_anyway_knows_nothing_of_a_spent_budget(budgeted, primary, cloud, judge):
    cloud.streams("dear", usage={"prompt_tokens": 0, "completion_tokens": 100_000, "total_tokens": 100_000})
    budgeted.request_line(budgeted.chat("hello", model="c-model").headers["X-Session-Id"])

    reply = budgeted.chat("hello", model="primary")

    assert reply.status_code == 200
    assert "X-Budget" not in reply.headers


def test_a_budget_stays_spent_after_a_restart(upstreams, tmp_path, primary, cloud, judge):
    config = {**scripted_config(**upstreams), "budgets": {"monthly_usd": 0.5}}
    cloud.streams("dear", usage={"prompt_tokens": 0, "completion_tokens": 100_000, "total_tokens": 100_000})
    first = Server(tmp_path, config).wait_until_up()
    first.request_line(first.chat("hello", model="c-model").headers["X-Session-Id"])
    first.stop()
    second = Server(tmp_path, config).wait_until_up()

    reply = second.chat("hello", model="c-model")
    second.stop()

    assert (reply.status_code, reply.headers["X-Budget"], reply.headers["X-Provider"]) == (
        200,
        "exhausted",
        "main",
    )


def test_the_call_that_decides_is_recorded_as_well(headstart, primary, judge):
    judge.streams("MODERATE", usage=USAGE)

    reply = headstart.chat("what is six times seven?")

    [row] = booked(headstart, reply.headers["X-Session-Id"], 1, deciding=True)
    check(row, model="j-model", outcome="answered", speculative=0, estimated=0, cost_usd=0.0)
