"""Whatever a client sends, it gets the right status in the API's shape, the log one line."""

import http.client
import json
import re
import socket

import pytest
import requests

from telemetry.log_values import pairs_in
from tests.support.scripted import scripted_config
from tests.support.server import HANG_GUARD_S, Server

HELLO = [{"role": "user", "content": "hello"}]
SECRET = "the-clients-own-words"  # put into what is refused; must never show in the log
MB = 1024 * 1024


def refused(reply, status, param=None, code=None):
    """Whether a reply refuses in OpenAI's shape."""
    error = reply.json()["error"]
    assert sorted(error) == ["code", "message", "param", "type"]
    assert (reply.status_code, error["param"], error["code"]) == (status, param, code), error
    assert reply.headers["Content-Type"] == "application/json"
    return error


def settled(server, reply, status):
    """The one REQUEST line of a reply, every value one word; no message text is in the log."""
    session = reply.headers["X-Session-Id"]
    line = server.request_line(session)
    assert line["status"] == str(status)
    text = server.log_text()
    assert text.count(f" REQUEST session={session} ") == 1
    assert SECRET not in text
    assert requests.get(server.url + "/livez", timeout=HANG_GUARD_S).text == "ok\n"
    return line


def post_raw(server, payload, path="/v1/chat/completions", **headers):
    return requests.post(
        server.url + path,
        data=payload,
        headers={"Content-Type": "application/json", **headers},
        timeout=HANG_GUARD_S,
    )


NO_JSON = {
    "plain text": f"hello {SECRET}".encode(),
    "half a body": b'{"messages": [{"role": "user", "content": "' + SECRET.encode(),
    "single quotes": b"{'messages': []}",
    "a raw null byte": b'{"messages": [{"role": "user", "content": "a\0b"}]}',
    "a raw line end": b'{"messages": [{"role": "user", "content": "a\nb"}]}',
    "bytes that are no UTF-8": b'{"messages": [{"role": "user", "content": "\xff\xfe\xfa"}]}',
    "nested 100,000 deep": b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a number of 5,000 digits": b'{"messages": [{"role": "user", "content": "hi"}], "max_tokens": '
    + b"9" * 5000
    + b"}",
    "not a number": b'{"messages": [{"role": "user", "content": "hi"}], "temperature": NaN}',
    "a number beyond all floats": b'{"messages": [{"role": "user", "content": "hi"}], "temperature": 1e999}',
    "infinity": b'{"messages": [{"role": "user", "content": "hi"}], "temperature": -Infinity}',
}


@pytest.mark.parametrize("payload", NO_JSON.values(), ids=NO_JSON)
def test_a_body_that_is_no_json_is_refused(headstart, primary, payload):
    reply = post_raw(headstart, payload)

    assert "not valid JSON" in refused(reply, 400, code="invalid_json")["message"]
    settled(headstart, reply, 400)
    assert primary.requests == []


@pytest.mark.parametrize(
    "depth, status",
    [
        (100, 200),
        (150, 400),
        (300, 400),
        (480, 400),
        (900, 400),
        (940, 400),
        (960, 400),
        (970, 400),
        (990, 400),
    ],
)
@pytest.mark.parametrize("field", ["tools", "messages[0].content[0].image"])
def test_deep_nesting_is_served_up_to_a_limit_and_refused_beyond(headstart, judge, depth, status, field):
    nested = b'{"a":' * depth + b"1" + b"}" * depth
    if field == "tools":
        payload = b'{"messages": [{"role": "user", "content": "hi"}], "tools": ' + nested + b"}"
    else:
        payload = (
            b'{"messages": [{"role": "user", "content": [{"type": "image", "image": ' + nested + b"}]}]}"
        )

    reply = post_raw(headstart, payload)

    assert reply.status_code == status, reply.text
    settled(headstart, reply, status)


@pytest.mark.parametrize("payload", [b"", b"null", b"[]", b'"hello"', b"42", b"true"])
def test_a_body_that_is_no_object_is_refused(headstart, payload):
    reply = post_raw(headstart, payload)

    assert "must be a JSON object" in refused(reply, 400)["message"]
    settled(headstart, reply, 400)


def message(**changes):
    return {"messages": [*HELLO, {"role": "user", "content": SECRET, **changes}]}


WRONG_SHAPES = {
    "no messages": ({"model": "auto"}, "messages", "missing_required_parameter"),
    "null for messages": ({"messages": None}, "messages", "missing_required_parameter"),
    "no message at all": ({"messages": []}, "messages", None),
    "text for messages": ({"messages": SECRET}, "messages", None),
    "an object for messages": ({"messages": {"role": "user", "content": SECRET}}, "messages", None),
    "text for a message": ({"messages": [*HELLO, SECRET]}, "messages[1]", None),
    "null for a message": ({"messages": [*HELLO, None]}, "messages[1]", None),
    "an unknown role": (message(role="wizard"), "messages[1].role", None),
    "no role": ({"messages": [{"content": SECRET}]}, "messages[0].role", None),
    "a list for a role": (message(role=["user"]), "messages[1].role", None),
    "null for a role": (message(role=None), "messages[1].role", None),
    "no content": ({"messages": [{"role": "user"}]}, "messages[0].content", None),
    "null for content": (message(content=None), "messages[1].content", None),
    "null for a system's content": (message(role="system", content=None), "messages[1].content", None),
    "an empty list for content": (message(content=[]), "messages[1].content", None),
    "a number for content": (message(content=7), "messages[1].content", None),
    "an object for content": (message(content={"text": SECRET}), "messages[1].content", None),
    "text for a part": (
        message(content=[{"type": "text", "text": "hi"}, SECRET]),
        "messages[1].content[1]",
        None,
    ),
    "a part without a type": (message(content=[{"text": SECRET}]), "messages[1].content[0]", None),
    "a text part without text": (message(content=[{"type": "text"}]), "messages[1].content[0].text", None),
    "a number for a part's text": (
        message(content=[{"type": "text", "text": 3}]),
        "messages[1].content[0].text",
        None,
    ),
    "a number for the model": ({"messages": HELLO, "model": 4}, "model", None),
    "a list for the model": ({"messages": HELLO, "model": ["auto"]}, "model", None),
    "text for stream": ({"messages": HELLO, "stream": "yes"}, "stream", None),
    "a number for stream": ({"messages": HELLO, "stream": 1}, "stream", None),
    "text for stream_options": ({"messages": HELLO, "stream_options": "usage"}, "stream_options", None),
}


@pytest.mark.parametrize("body, param, code", WRONG_SHAPES.values(), ids=WRONG_SHAPES)
def test_a_wrong_shape_names_the_field(headstart, primary, body, param, code):
    reply = headstart.post("/v1/chat/completions", body)

    assert f"'{param}'" in refused(reply, 400, param, code)["message"]
    settled(headstart, reply, 400)
    assert primary.requests == []


@pytest.mark.parametrize(
    "path, body, param, code",
    [
        ("/v1/completions", {"model": "primary"}, "prompt", "missing_required_parameter"),
        ("/v1/completions", {"model": "primary", "prompt": 5}, "prompt", None),
        ("/v1/embeddings", {"model": "p-model"}, "input", "missing_required_parameter"),
        ("/v1/embeddings", {"model": "p-model", "input": {}}, "input", None),
        ("/v1/embeddings", {"model": "nobody", "input": "hi"}, "model", "model_not_found"),
        ("/v1/classify", {"messages": "hi"}, "messages", None),
    ],
)
def test_the_other_endpoints_name_the_field_as_well(headstart, path, body, param, code):
    reply = headstart.post(path, body)

    status = 404 if code == "model_not_found" else 400
    refused(reply, status, param, code)
    settled(headstart, reply, status)


ODD_AND_GOOD = {
    "an escaped null byte": [*HELLO, {"role": "user", "content": "a\0b"}],
    "a lone surrogate": [*HELLO, {"role": "user", "content": "a\ud800b"}],
    "an empty text": [{"role": "user", "content": ""}],
    "an assistant's null": [*HELLO, {"role": "assistant", "content": None, "tool_calls": []}, *HELLO],
    "a part of a kind nobody knows": [{"role": "user", "content": [{"type": "hologram", "data": "x"}]}],
    "right-to-left marks and controls": [{"role": "user", "content": "\u202e\x1b[31m\x7f\r\n"}],
}


@pytest.mark.parametrize("messages", ODD_AND_GOOD.values(), ids=ODD_AND_GOOD)
def test_odd_content_that_is_valid_is_served_untouched(headstart, primary, judge, messages):
    reply = headstart.chat(messages=messages)

    assert reply.status_code == 200
    assert primary.last.messages == messages
    settled(headstart, reply, 200)
    assert headstart.session(reply.headers["X-Session-Id"])["client_messages"] == messages


def test_a_number_of_4000_digits_is_passed_on(headstart, primary, judge):
    reply = post_raw(
        headstart, b'{"messages": [{"role": "user", "content": "hi"}], "seed": ' + b"9" * 4000 + b"}"
    )

    assert reply.status_code == 200
    assert primary.last.body["seed"] == int("9" * 4000)


# Too much.


def test_40_mb_with_a_length_are_refused_and_the_client_sees_it(headstart):
    reply = post_raw(headstart, b'{"x": "' + b"a" * (40 * MB) + b'"}')

    assert "larger than 32 MB" in refused(reply, 413, code="request_too_large")["message"]
    settled(headstart, reply, 413)


def test_40_mb_in_chunks_are_refused_and_the_client_sees_it(headstart):
    reply = post_raw(headstart, (b"a" * MB for _ in range(40)))

    refused(reply, 413, code="request_too_large")
    settled(headstart, reply, 413)


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_40_mb_over_a_bare_connection_are_refused_and_seen(headstart, connection):
    client = http.client.HTTPConnection("127.0.0.1", headstart.port, timeout=HANG_GUARD_S)

    client.request("POST", "/v1/chat/completions", b"a" * (40 * MB), {"Connection": connection})
    response = client.getresponse()

    assert response.status == 413
    assert json.loads(response.read())["error"]["code"] == "request_too_large"
    client.close()


def test_a_connection_serves_again_after_too_much(headstart, judge):
    with requests.Session() as client:
        first = client.post(
            headstart.url + "/v1/chat/completions", data=b"a" * (33 * MB), timeout=HANG_GUARD_S
        )
        second = client.post(
            headstart.url + "/v1/chat/completions", json={"messages": HELLO}, timeout=HANG_GUARD_S
        )

    assert (first.status_code, second.status_code) == (413, 200)


def test_just_under_the_limit_is_served(headstart, primary, judge):
    text = "a" * (31 * MB)

    reply = headstart.chat(text)

    assert reply.status_code == 200
    assert primary.last.messages[0]["content"] == text


def test_a_body_in_chunks_is_served(headstart, primary, judge):
    reply = post_raw(headstart, iter([b'{"messages": [{"role": "us', b'er", "content": "hello"}]}']))

    assert reply.status_code == 200
    assert primary.last.messages == HELLO


def test_a_client_that_waits_for_100_continue_is_told_to_go_on(headstart, judge):
    body = json.dumps({"messages": HELLO}).encode()
    with socket.create_connection(("127.0.0.1", headstart.port), timeout=HANG_GUARD_S) as sock:
        sock.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        first = sock.recv(4096)
        sock.sendall(body)
        response = http.client.HTTPResponse(sock)
        response.begin()

        assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert response.status == 200
        assert json.loads(response.read())["choices"][0]["message"]["content"] == "ok"


@pytest.mark.parametrize(
    "sent", [b"Content-Length: 1000\r\n\r\n{}", b"Transfer-Encoding: chunked\r\n\r\nff\r\n{}"]
)
def test_a_client_that_leaves_in_the_middle_of_its_body_is_a_499(headstart, sent):
    before = headstart.log_text().count("status=499")
    with socket.create_connection(("127.0.0.1", headstart.port), timeout=HANG_GUARD_S) as sock:
        sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n" + sent)

    lines = headstart.log_lines(r" REQUEST .* status=499 ", count=before + 1)

    assert " decision=- " in lines[-1]


def test_broken_chunks_are_refused(headstart):
    with socket.create_connection(("127.0.0.1", headstart.port), timeout=HANG_GUARD_S) as sock:
        sock.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"many\r\n{}\r\n0\r\n\r\n"
        )
        response = http.client.HTTPResponse(sock)
        response.begin()

        assert response.status == 400
        assert json.loads(response.read())["error"]["code"] == "invalid_body"


# Names.


def test_an_unknown_model_is_classified(headstart, judge):
    reply = headstart.chat(model="gpt-17-turbo")

    assert reply.status_code == 200
    assert reply.headers["X-Decision"] == "MODERATE"


@pytest.mark.parametrize(
    "model",
    [
        "a\nREQUEST session=00000000 status=200",
        "quo\"ted 'name' status=200",
        "tab\tand\r\ncarriage",
        "\u2028line\u0085separators\x0b\x0c\x1c",
        "ключ=значение",
        "\ud800",
        "x" * 10_000,
    ],
)
def test_a_models_name_cannot_write_into_the_log(headstart, judge, model):
    reply = headstart.chat(model=model)

    session = reply.headers["X-Session-Id"]
    assert reply.status_code == 200
    settled(headstart, reply, 200)
    text = headstart.log_text()
    incoming = [line for line in text.splitlines() if f"Incoming request: session={session} " in line]
    assert len(incoming) == 1
    pairs = pairs_in(incoming[0].split("Incoming request: ", 1)[1])
    assert list(pairs) == ["session", "client", "model", "messages", "total_chars", "stream"]
    assert pairs["model"] == (model if len(model) <= 200 else model[:200] + "...")
    assert len(incoming[0]) < 2000
    assert "session=00000000" not in re.findall(r" REQUEST (session=\w+)", text)


# Paths and methods.


@pytest.mark.parametrize(
    "method, path, allow",
    [
        ("GET", "/v1/chat/completions", {"POST"}),
        ("DELETE", "/chat/completions", {"POST"}),
        ("PUT", "/v1/embeddings", {"POST"}),
        ("POST", "/v1/models", {"GET", "HEAD"}),
        ("POST", "/health", {"GET", "HEAD"}),
    ],
)
def test_a_wrong_method_is_refused_and_told_the_right_one(headstart, method, path, allow):
    reply = requests.request(
        method,
        headstart.url + path,
        json={"messages": SECRET} if method != "GET" else None,
        timeout=HANG_GUARD_S,
    )

    refused(reply, 405, code="method_not_allowed")
    assert set(reply.headers["Allow"].split(", ")) == allow
    settled(headstart, reply, 405)


@pytest.mark.parametrize(
    "method, path",
    [
        ("GET", "/nothing"),
        ("POST", "/v1/chat/completion"),
        ("GET", "/v2/models"),
        ("POST", "/v1/../etc/passwd"),
        ("GET", "/v1/%00"),
        ("GET", "/v1/%ff%fe"),
        ("GET", "/v1/a%0aREQUEST"),
    ],
)
def test_a_wrong_path_is_refused(headstart, method, path):
    connection = http.client.HTTPConnection("127.0.0.1", headstart.port, timeout=HANG_GUARD_S)
    connection.request(method, path, b"{}" if method == "POST" else None)
    response = connection.getresponse()

    body = json.loads(response.read())
    assert response.status == 404
    assert body["error"]["code"] == "unknown_url"
    session = response.headers["X-Session-Id"]
    assert headstart.request_line(session)["status"] == "404"
    assert headstart.log_text().count(f" REQUEST session={session} ") == 1
    connection.close()


def test_the_paths_answer_without_v1_too(headstart, judge):
    replies = [
        headstart.post("/chat/completions", {"messages": HELLO}),
        requests.get(headstart.url + "/models", timeout=HANG_GUARD_S),
    ]

    assert [reply.status_code for reply in replies] == [200, 200]


def test_garbage_instead_of_http_ends_that_connection_only(headstart, judge):
    for garbage in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"GET\r\n\r\n",
        b"POST /v1/models HTTP/9.9\r\n\r\n",
        b"\r\n" * 2000,
    ):
        with socket.create_connection(("127.0.0.1", headstart.port), timeout=HANG_GUARD_S) as sock:
            sock.sendall(garbage)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass

    assert headstart.chat().status_code == 200


# Keys.


@pytest.fixture(scope="module")
def locked(upstreams, tmp_path_factory):
    """A Headstart that wants a key."""
    config = {
        **scripted_config(**upstreams),
        "server": {"api_keys": ["first-key", "second-key", "schlüssel-日本"], "max_body_mb": 2},
    }
    server = Server(tmp_path_factory.mktemp("locked"), config).wait_until_up()
    yield server
    server.stop()


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer first-key"},
        {"Authorization": "bearer   second-key "},
        {"x-api-key": "second-key"},
        {"Authorization": "Bearer wrong", "X-Api-Key": "first-key"},
        {"Authorization": "Bearer schlüssel-日本".encode()},
        {"x-api-key": "schlüssel-日本".encode()},
    ],
)
def test_any_of_the_keys_opens_either_way(locked, judge, headers):
    reply = requests.post(
        locked.url + "/v1/chat/completions", json={"messages": HELLO}, headers=headers, timeout=HANG_GUARD_S
    )

    assert reply.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong-key"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic first-key"},
        {"Authorization": "first-key"},
        {"x-api-key": ""},
        {"x-api-key": "first-ke"},
        {"x-api-key": "first-keyy"},
        {"x-api-key": "FIRST-KEY"},
        {"Authorization": b"Bearer \xff\xfe"},
        {"x-api-key": "schlüssel".encode("latin-1")},
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/classify", "/v1/embeddings"])
def test_a_wrong_or_missing_key_is_refused(locked, primary, headers, path):
    before = len(primary.requests)

    reply = requests.post(
        locked.url + path, json={"messages": HELLO, "model": SECRET}, headers=headers, timeout=HANG_GUARD_S
    )

    assert refused(reply, 401, code="invalid_api_key")["type"] == "authentication_error"
    assert reply.headers["WWW-Authenticate"] == "Bearer"
    settled(locked, reply, 401)
    assert len(primary.requests) == before


def test_a_wrong_key_is_told_before_the_body_is_judged(locked):
    reply = post_raw(locked, b"no json", **{"x-api-key": "wrong"})

    refused(reply, 401, code="invalid_api_key")


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_a_wrong_key_with_a_large_body_is_seen_by_the_client(locked, connection):
    reply = post_raw(locked, b"a" * (20 * MB), Connection=connection)

    refused(reply, 401, code="invalid_api_key")


def test_the_model_list_is_behind_the_key_too(locked):
    closed = requests.get(locked.url + "/v1/models", timeout=HANG_GUARD_S)
    opened = requests.get(locked.url + "/v1/models", headers={"x-api-key": "first-key"}, timeout=HANG_GUARD_S)

    refused(closed, 401, code="invalid_api_key")
    assert closed.headers["WWW-Authenticate"] == "Bearer"
    assert opened.status_code == 200


@pytest.mark.parametrize("path", ["/livez", "/health", "/metrics"])
def test_monitors_need_no_key(locked, path):
    assert requests.get(locked.url + path, timeout=HANG_GUARD_S).status_code == 200


def test_no_key_ever_reaches_the_log(locked, judge):
    for key in ("first-key", "a-wrong-key"):
        requests.post(
            locked.url + "/v1/chat/completions",
            json={"messages": HELLO},
            headers={"x-api-key": key},
            timeout=HANG_GUARD_S,
        )

    text = locked.log_text()
    assert "first-key" not in text and "a-wrong-key" not in text and "key-of-" not in text


def test_after_all_that_nothing_unexpected_was_logged(headstart, locked):
    for server in (headstart, locked):
        assert not re.search("Unexpected error|Traceback|Session not saved", server.log_text())
