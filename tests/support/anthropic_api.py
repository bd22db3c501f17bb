"""A scripted Messages API, and a Headstart whose primary it is."""

import json

import pytest

from tests.support.fake_upstream import FakeUpstream
from tests.support.scripted import scripted_config
from tests.support.server import Server

# A provider's stream with everything in it, as documented: thinking with its signature, text, two tools in
# parallel, one of them without arguments.
DOCUMENTED = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_01A",
            "type": "message",
            "role": "assistant",
            "model": "claude-x",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {
                "input_tokens": 12,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 20,
                "output_tokens": 1,
            },
        },
    },
    {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "thinking", "thinking": "", "signature": ""},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "thinking_delta", "thinking": "They want "},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "thinking_delta", "thinking": "the weather."},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "signature_delta", "signature": "EqQBCg=="},
    },
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Ich schaue "}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "nach – 🌦"}},
    {"type": "content_block_stop", "index": 1},
    {
        "type": "content_block_start",
        "index": 2,
        "content_block": {"type": "tool_use", "id": "toolu_01", "name": "weather", "input": {}},
    },
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": ""}},
    {
        "type": "content_block_delta",
        "index": 2,
        "delta": {"type": "input_json_delta", "partial_json": '{"city": "Kö'},
    },
    {
        "type": "content_block_delta",
        "index": 2,
        "delta": {"type": "input_json_delta", "partial_json": 'ln"}'},
    },
    {"type": "content_block_stop", "index": 2},
    {
        "type": "content_block_start",
        "index": 3,
        "content_block": {"type": "tool_use", "id": "toolu_02", "name": "now", "input": {}},
    },
    {"type": "content_block_delta", "index": 3, "delta": {"type": "input_json_delta", "partial_json": ""}},
    {"type": "content_block_stop", "index": 3},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 89, "output_tokens_details": {"thinking_tokens": 7}},
    },
    {"type": "message_stop"},
]
TOKENS = {
    "input_tokens": 12,
    "cache_read_input_tokens": 100,
    "cache_creation_input_tokens": 20,
    "output_tokens": 1,
}


def event(data):
    """A step of a script: one of the API's events, named as the API names them."""
    return "raw", b"event: %b\ndata: %b\n\n" % (data["type"].encode(), json.dumps(data).encode())


STARTED = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [],
    "usage": TOKENS,
}
START = event({"type": "message_start", "message": STARTED})
BLOCK = event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
END = ("close",)  # this API has no [DONE]


def piece(text):
    return event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})


def message(*texts, stop_reason="end_turn"):
    """The steps of a whole answer."""
    return (
        START,
        event({"type": "ping"}),
        BLOCK,
        *map(piece, texts),
        event({"type": "content_block_stop", "index": 0}),
        event(
            {
                "type": "message_delta",
                "delta": {"stop_reason": stop_reason, "stop_sequence": None},
                "usage": {"output_tokens": 89},
            }
        ),
        event({"type": "message_stop"}),
        END,
    )


@pytest.fixture(scope="module")
def claude_upstream():
    upstream = FakeUpstream("claude-x")
    yield upstream
    upstream.close()


@pytest.fixture
def claude(claude_upstream):
    """The scripted Messages API, which answers `forty-two` unless it is told otherwise."""
    claude_upstream.reset()
    claude_upstream.runs(*message("forty", "-two"))
    return claude_upstream


@pytest.fixture(scope="module")
def running_native(claude_upstream, upstreams, tmp_path_factory):
    """A Headstart whose primary is of that kind."""
    config = scripted_config(**{**upstreams, "primary": claude_upstream})
    config["providers"]["main"].update(
        kind="anthropic", api_key="sk-ant-1", prices={"input": 3.0, "output": 15.0}
    )
    config["providers"]["main"]["extra_body"] = {"thinking": {"type": "adaptive"}}  # a field of this API
    config["providers"]["hasty"] = {
        **config["providers"]["main"],
        "model": "claude-hasty",
        "timeouts": {"idle_s": 0.4},
    }
    server = Server(tmp_path_factory.mktemp("native"), config).wait_until_up()
    yield server
    server.stop()


@pytest.fixture
def native(running_native, claude, judge):
    return running_native
