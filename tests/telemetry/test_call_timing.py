"""LLM_TIMING=1: every upstream call on stderr, and not a word without it."""

import re

from tests.support.scripted import scripted_config
from tests.support.server import Server


def lines_of(server):
    return [line for line in server.stop().splitlines() if line.startswith("LLM ")]


def test_each_upstream_call_is_told_at_its_start_and_its_end(tmp_path, upstreams, primary, judge):
    primary.streams("forty", "-two")
    server = Server(tmp_path, scripted_config(**upstreams), LLM_TIMING="1").wait_until_up()

    server.chat("six times seven?", stream=True)

    told = lines_of(server)
    assert sorted(line.split(" model=")[0] for line in told) == [
        "LLM end provider=classifier",
        "LLM end provider=main",
        "LLM start provider=classifier",
        "LLM start provider=main",
    ]
    ended = next(line for line in told if line.startswith("LLM end provider=main"))
    assert re.fullmatch(
        r"LLM end provider=main model=p-model seconds=\d+\.\d{3} chars_in=\d+ chars_out=9 ttft=\d+\.\d{3}",
        ended,
    )


def test_a_search_is_told_as_well(tmp_path, upstreams, primary, cloud, judge):
    judge.streams("ENRICH")
    cloud.answers(
        {"output": [{"type": "message", "content": [{"type": "output_text", "text": "It rains."}]}]}
    )
    server = Server(tmp_path, scripted_config(**upstreams), LLM_TIMING="1").wait_until_up()

    server.chat("does it rain?")

    assert any(line.startswith("LLM end provider=cloud model=c-model") for line in lines_of(server))


def test_nothing_is_told_when_nobody_asked(tmp_path, upstreams, primary, judge):
    server = Server(tmp_path, scripted_config(**upstreams)).wait_until_up()

    server.chat("hello")

    assert lines_of(server) == []
