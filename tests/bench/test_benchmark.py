"""./Benchmark itself: that a small run measures what it announces, leaves its numbers and nothing else."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from bench import backends, cli, load, servers, tables, targets
from tests.support.server import ROOT

BENCHMARK = ROOT / "Benchmark"
HANG_GUARD_S = 120


def run(*arguments, **kwargs):
    return subprocess.run(
        [BENCHMARK, *arguments], capture_output=True, text=True, timeout=HANG_GUARD_S, **kwargs
    )


@pytest.fixture(scope="module")
def scripted(tmp_path_factory):
    """A small scripted run: what it printed and what it wrote."""
    file = tmp_path_factory.mktemp("benchmark") / "results.json"
    done = run("--scripted", "--scale", "0.02", "--requests", "2", "--only", "1,5", "--output", str(file))
    assert done.returncode == 0, done.stderr
    return done, json.loads(file.read_text())


def test_a_scripted_run_says_what_it_ran_and_where(scripted):
    _, results = scripted

    assert results["mode"] == "scripted"
    assert results["scale"] == 0.02
    assert results["complete"] is True
    assert list(results["targets"]) == ["sequential", "speculation", "embedded"]
    assert results["machine"]["cores"] == os.cpu_count()
    assert list(results["sections"]) == ["1", "5"]


def test_each_mode_speculates_as_it_is_named_and_the_log_tells_where_the_time_went(scripted):
    _, results = scripted
    (table,) = results["sections"]["1"]

    rows = {(row["route"], row["target"]): row for row in table["rows"]}

    assert _speculations(rows, "MODERATE") == ["off", "adopted", "adopted"]
    assert _speculations(rows, "COMPLEX") == ["off", "cancelled", "cancelled"]
    assert {rows[route, "speculation"]["decision"] for route in targets.ROUTES} == set(targets.ROUTES)
    assert rows["ENRICH", "sequential"]["enrichment ms"] >= 11_000 * 0.02
    assert rows["COMPLEX", "sequential"]["classification ms"] >= 950 * 0.02
    assert not any(row["failed"] for row in table["rows"])


def _speculations(rows, route):
    return [rows[route, mode]["speculation"] for mode in ("sequential", "speculation", "embedded")]


def test_every_route_stands_beside_a_direct_call_of_the_same_backend(scripted):
    _, results = scripted
    (table,) = results["sections"]["5"]

    rows = {(row["route"], row[""]): row for row in table["rows"]}

    assert len(rows) == 8
    for row in rows.values():
        assert row["direct ms"] > 0
        assert row["sequential / direct"] == pytest.approx(row["sequential ms"] / row["direct ms"])
    assert rows["ENRICH", "TTFT"]["direct ms"] >= 11_000 * 0.02, "a direct call searches too"


def test_the_tables_are_printed_and_the_progress_is_not_among_them(scripted):
    done, _ = scripted

    assert "(1) Latency per route" in done.stdout
    assert "| route |  | direct ms | sequential ms |" in done.stdout
    assert "(1, 5) COMPLEX" in done.stderr
    assert "(1, 5) COMPLEX" not in done.stdout


def test_help_needs_nothing_installed(tmp_path):
    shutil.copy(BENCHMARK, tmp_path)
    for room in ("bench", "telemetry"):
        shutil.copytree(ROOT / room, tmp_path / room)

    done = subprocess.run(
        [sys.executable, "-S", "Benchmark", "--help"], cwd=tmp_path, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert "--scripted" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [("--only", "10"), ("--only", "x"), ("--requests", "0"), ("--scale", "-1"), ("--proxy", "--scripted")],
)
def test_a_wrong_option_is_refused_before_anything_starts(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)

    assert ended.value.code == 2
    assert "usage: Benchmark" in capsys.readouterr().err


def test_the_command_ends_with_the_status_of_a_refusal():
    done = run("--only", "10")

    assert done.returncode == 2
    assert "usage: Benchmark" in done.stderr


def test_ctrl_c_stops_everything_it_started_and_keeps_what_it_measured(tmp_path):
    file = tmp_path / "results.json"
    command = f"--scripted --scale 0.2 --requests 1 --only 1 --output {file}".split()
    process = subprocess.Popen(
        [BENCHMARK, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        # As a terminal starts it; this suite itself may run in the background, where shells have it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while "(1, 5) MODERATE" not in process.stderr.readline():
        assert process.poll() is None
    ports = _ports_of(tmp_path)
    assert len(ports) == 3

    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=HANG_GUARD_S)

    assert process.returncode == 130
    assert json.loads(file.read_text())["complete"] is False
    assert not any(servers.answers(f"http://127.0.0.1:{port}") for port in ports)
    assert not list(tmp_path.glob("headstart-benchmark-*"))


@pytest.fixture
def interrupts_ignored():
    """SIGINT as shells hand it down to the background. Handlers that a test sets end with it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_an_interrupt_counts_in_the_background_too(interrupts_ignored, monkeypatch, tmp_path):
    file = tmp_path / "results.json"
    interrupted = ("is interrupted", lambda run: signal.raise_signal(signal.SIGINT))
    monkeypatch.setitem(cli.SECTIONS, 9, interrupted)

    status = cli.main(["--only", "9", "--output", str(file)])

    assert status == 130
    assert json.loads(file.read_text())["complete"] is False


def _ports_of(folder):
    """The ports of the Headstarts whose folders stand here, from what gunicorn printed."""
    printed = [file.read_text() for file in folder.glob("headstart-benchmark-*/output")]
    return [int(text.split("http://127.0.0.1:")[1].split()[0]) for text in printed]


def test_the_same_request_meets_the_same_latency_wherever_it_arrives():
    def first_piece_s(text):
        return backends.classifier(1.0)(True, b"/v1/chat/completions", text).pieces[0][0]

    assert first_piece_s(b'{"a": "(no. C17)"}') == first_piece_s(b'{"other": "(no. M17)"}')
    assert first_piece_s(b"(no. C17)") != first_piece_s(b"(no. C18)")
    assert 0.95 <= first_piece_s(b"(no. C18)") <= 1.8


def test_the_load_generator_sends_as_many_requests_as_it_says():
    served = servers.Backends(instant="instant")
    try:
        for stream in (False, True):
            request = load.http_request("/v1/chat/completions", {"messages": [], "stream": stream})
            result = load.elsewhere(
                port=served.ports["instant"],
                request=request,
                clients=5,
                count=23,
                head='"content":" tok"' if stream else None,
            )

            assert len(result["total_ms"]) == 23
            assert len(result["ttft_ms"]) == (23 if stream else 0)
            assert result["failed"] == 0
    finally:
        served.stop()


def test_cpu_and_memory_are_those_of_the_processes_that_listen():
    served = servers.Backends(instant="instant")
    try:
        pids = servers.listeners(served.ports["instant"])

        assert len(pids) == 1
        assert servers.cpu_ms(pids) > 0
        assert 5 < servers.rss_mb(pids) < 100
    finally:
        served.stop()
    assert servers.listeners(served.ports["instant"]) == []


def test_a_table_shows_numbers_by_the_digits_that_count():
    table = tables.Table(
        "title", [{"what": "a", "ms": 1234.5, "n": 3}, {"what": "b", "ms": 0.125, "n": None}], ["a note"]
    )

    assert table.text() == "title\n\nwhat     ms  n\na     1,234  3\nb      0.12  -\n  a note"
    assert table.markdown() == "| what | ms | n |\n| --- | ---: | ---: |\n| a | 1,234 | 3 |\n| b | 0.12 | - |"


def test_quantiles_are_by_nearest_rank():
    values = list(range(1, 101))

    assert (
        tables.quantile(values, 0.5),
        tables.quantile(values, 0.95),
        tables.quantile([7], 0.95),
        tables.quantile([], 0.5),
    ) == (50, 95, 7, None)
    assert (tables.median([1, 9, 3]), tables.median([1, 2]), tables.median([None])) == (3, 1.5, None)
