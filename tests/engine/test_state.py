"""Reading what the supervisor reports."""

import threading

import pytest

from engine.state import DOWN, READY, STARTING, Engine, EngineDown, EngineState, report

ONE = Engine(READY, "http://127.0.0.1:1111/v1", 1, 5.0)
TWO = Engine(READY, "http://127.0.0.1:2222/v1", 2, 6.0)


def test_an_engine_nobody_reported_is_down(tmp_path):
    engine = EngineState(tmp_path / "local.json").read()

    assert engine.state == DOWN
    assert "supervisor" in engine.reason


def test_each_report_is_seen_by_the_next_read(tmp_path):
    state = EngineState(tmp_path / "local.json")

    report(tmp_path / "local.json", ONE)
    first = state.read()
    report(tmp_path / "local.json", TWO)
    second = state.read()

    assert (first, second) == (ONE, TWO)


def test_an_unchanged_report_is_not_read_again(tmp_path):
    report(tmp_path / "local.json", ONE)
    state = EngineState(tmp_path / "local.json")

    assert state.read() is state.read()


def test_a_report_replaces_the_last_one_and_leaves_nothing_beside_it(tmp_path):
    report(tmp_path / "local.json", ONE)
    report(tmp_path / "local.json", TWO)

    assert [path.name for path in tmp_path.iterdir()] == ["local.json"]


def test_waiting_ends_when_the_engine_is_ready(tmp_path):
    path = tmp_path / "local.json"
    report(path, Engine(STARTING))
    threading.Timer(0.1, report, (path, ONE)).start()

    assert EngineState(path).wait_ready(30) == ONE


def test_waiting_for_an_engine_that_is_down_raises_its_reason_at_once(tmp_path):
    report(tmp_path / "local.json", Engine(DOWN, reason="no such model"))

    with pytest.raises(EngineDown, match="no such model"):
        EngineState(tmp_path / "local.json").wait_ready(30)


def test_waiting_has_an_end(tmp_path):
    report(tmp_path / "local.json", Engine(STARTING))

    with pytest.raises(EngineDown, match="still starting"):
        EngineState(tmp_path / "local.json").wait_ready(0.05)


def test_waiting_can_be_cancelled(tmp_path):
    report(tmp_path / "local.json", Engine(STARTING))
    cancelled = threading.Event()
    threading.Timer(0.1, cancelled.set).start()

    with pytest.raises(EngineDown, match="cancelled"):
        EngineState(tmp_path / "local.json").wait_ready(30, cancelled)
