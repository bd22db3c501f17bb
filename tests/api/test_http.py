"""HTTP itself, as browsers, curl and impatient libraries use it."""

import json
import socket

import pytest
import requests

from tests.support.fake_upstream import HANG_GUARD_S
from tests.support.scripted import scripted_config
from tests.support.server import Server

PAGE = "https://chat.home"
QUESTION = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
ASKING = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
}


@pytest.fixture(scope="module")
def shared(upstreams, tmp_path_factory):
    """A Headstart that pages from one origin may use."""
    config = scripted_config(**upstreams)
    config["server"] = {"cors_origins": [PAGE], "api_keys": ["k"]}
    server = Server(tmp_path_factory.mktemp("shared"), config).wait_until_up()
    yield server
    server.stop()


def test_a_page_of_a_configured_origin_may_ask_with_any_header(shared):
    reply = requests.options(shared.url + "/v1/chat/completions", headers=ASKING, timeout=HANG_GUARD_S)

    assert reply.status_code == 204
    assert reply.headers["Access-Control-Allow-Origin"] == PAGE
    assert "POST" in reply.headers["Access-Control-Allow-Methods"]
    assert reply.headers["Access-Control-Allow-Headers"] == ASKING["Access-Control-Request-Headers"]


@pytest.mark.parametrize("key", ["k", "wrong"])
def test_that_page_may_read_answers_and_refusals_with_their_headers(shared, primary, judge, key):
    reply = shared.chat(headers={"Origin": PAGE, "Authorization": f"Bearer {key}"})

    assert reply.status_code == (200 if key == "k" else 401)
    assert (reply.headers["Access-Control-Allow-Origin"], reply.headers["Access-Control-Expose-Headers"]) == (
        PAGE,
        "*",
    )
    assert "Origin" in reply.headers["Vary"]


def test_other_pages_may_not(shared, headstart):
    for server in (shared, headstart):
        reply = requests.options(
            server.url + "/v1/chat/completions",
            headers={**ASKING, "Origin": "https://else.where"},
            timeout=HANG_GUARD_S,
        )

        assert not [name for name in reply.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    ("path", "allowed"), [("/v1/chat/completions", "OPTIONS, POST"), ("/v1/models", "GET, HEAD, OPTIONS")]
)
def test_options_tell_what_a_path_takes(headstart, path, allowed):
    reply = requests.options(headstart.url + path, timeout=HANG_GUARD_S)

    assert (reply.status_code, reply.headers["Allow"]) == (204, allowed)


def test_options_of_nothing_are_a_404_in_the_usual_shape(headstart):
    reply = requests.options(headstart.url + "/v1/nothing", timeout=HANG_GUARD_S)

    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "unknown_url")


@pytest.mark.parametrize("path", ["/", "/v1/models", "/livez", "/health"])
def test_head_is_get_without_a_body(headstart, path):
    got, head = (
        requests.request(method, headstart.url + path, timeout=HANG_GUARD_S) for method in ("GET", "HEAD")
    )

    assert (head.status_code, head.headers["Content-Type"], head.content) == (
        got.status_code,
        got.headers["Content-Type"],
        b"",
    )


def test_a_body_is_called_for_when_the_client_waits_to_be(headstart, primary, judge):
    """As curl does with more than a megabyte."""
    body = json.dumps({**QUESTION, "messages": [{"role": "user", "content": "x" * 2_000_000}]}).encode()
    with socket.create_connection(("127.0.0.1", headstart.port), timeout=HANG_GUARD_S) as sock:
        sock.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )

        called = sock.recv(100)
        sock.sendall(body)
        reply = b"".join(iter(lambda: sock.recv(65536), b""))

    assert called.startswith(b"HTTP/1.1 100")
    assert reply.startswith(b"HTTP/1.1 200")
    assert len(primary.last.messages[-1]["content"]) == 2_000_000


def test_a_body_may_come_in_chunks(headstart, primary, judge):
    pieces = [json.dumps(QUESTION).encode()[at : at + 7] for at in range(0, len(json.dumps(QUESTION)), 7)]

    reply = requests.post(headstart.url + "/v1/chat/completions", data=iter(pieces), timeout=HANG_GUARD_S)

    assert reply.status_code == 200
    assert primary.last.messages == QUESTION["messages"]


def test_twenty_megabytes_of_pictures_reach_the_provider(headstart, primary, judge):
    url = "data:image/png;base64," + "A" * 20_000_000
    parts = [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": url}}]

    reply = headstart.chat(messages=[{"role": "user", "content": parts}])

    assert reply.status_code == 200
    assert primary.last.messages[-1]["content"][1]["image_url"]["url"] == url
    session = (headstart.folder / "sessions").glob(f"*_{reply.headers['X-Session-Id']}.json")
    assert headstart.session(reply.headers["X-Session-Id"])
    assert next(session).stat().st_size < 100_000


def test_a_stream_is_never_compressed(headstart, primary, judge):
    primary.streams(*["word "] * 200)

    reply = headstart.chat(stream=True, headers={"Accept-Encoding": "gzip, deflate, br, zstd"})

    assert "Content-Encoding" not in reply.headers


# Whether to ask again.


def test_a_library_is_told_not_to_repeat_what_was_waited_out(headstart, primary, backup, judge):
    primary.refuses(401)
    backup.refuses(500)

    reply = headstart.chat()

    assert (reply.status_code, reply.headers["x-should-retry"]) == (503, "false")


def test_a_library_may_repeat_what_was_a_matter_of_the_moment(headstart, primary, backup, judge):
    primary.refuses(500)
    backup.refuses(429, headers={"Retry-After": "7"})

    reply = headstart.chat()

    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "7")
    assert "x-should-retry" not in reply.headers


def test_who_comes_while_all_rest_is_told_until_when(upstreams, primary, backup, judge, tmp_path):
    server = (
        Server(tmp_path, {**scripted_config(**upstreams), "breaker": {"failures": 1, "first_rest_s": 30.0}})
        .wait_until_up()
        .wait_until_known()
    )
    try:
        primary.refuses(500)
        backup.refuses(500)
        server.chat()

        reply = server.chat()
    finally:
        server.stop()

    assert reply.status_code == 503
    assert 20 <= int(reply.headers["Retry-After"]) <= 30
