"""Connections that can be cancelled: which call that ends, what is kept for the next, what is sent again."""

import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from errors import Cancelled, ConnectFailed, HeadTimeout, StreamBroken
from tests.support.fake_upstream import HANG_GUARD_S, FakeUpstream
from tests.support.server import ROOT
from upstream.cancellation import CancelToken
from upstream.connection import Upstream, read_some, read_whole, set_silence


@pytest.fixture
def thread():
    executor = ThreadPoolExecutor(1)
    yield executor
    executor.shutdown()


def call(upstream, url, cancel_token=None, *, body=b"{}", connect_s=5, read_s=HANG_GUARD_S):
    return upstream.call(
        cancel_token or CancelToken(),
        "POST",
        url + "/chat/completions",
        body,
        connect_s=connect_s,
        read_s=read_s,
    )


def whole(upstream, fake, cancel_token=None):
    """One call read to its end; returns what came."""
    cancel_token = cancel_token or CancelToken()
    return read_whole(call(upstream, fake.url, cancel_token), cancel_token)


def test_a_connection_serves_the_next_call_once_the_answer_was_read(fake):
    upstream, second = Upstream({}), CancelToken()

    whole(upstream, fake)
    whole(upstream, fake, second)

    assert second.reused
    assert fake.requests[0].connection == fake.requests[1].connection


def test_a_connection_that_was_idle_for_long_is_not_used_again(fake):
    upstream, second, third = Upstream({}, longest_idle_s=0.2), CancelToken(), CancelToken()
    whole(upstream, fake)

    whole(upstream, fake, second)
    threading.Event().wait(0.3)
    whole(upstream, fake, third)

    assert (second.reused, third.reused) == (True, False)
    assert fake.requests[1].connection != fake.requests[2].connection


def test_a_late_cut_does_not_hit_the_next_call_on_the_same_connection(fake, thread):
    upstream, first, second = Upstream({}), CancelToken(), CancelToken()
    whole(upstream, fake, first)
    fake.runs(("headers",), ("stall",), ("token", "still here"))
    answer = thread.submit(whole, upstream, fake, second)
    fake.wait_asked(2)

    first.cancel()
    fake.release.set()

    assert b"still here" in answer.result(HANG_GUARD_S)
    assert fake.requests[1].connection == fake.requests[0].connection
    assert not fake.requests[1].hung_up.is_set()


def test_a_late_cut_leaves_a_connection_at_rest_alone(fake):
    upstream, first = Upstream({}), CancelToken()
    whole(upstream, fake, first)

    first.cancel()
    whole(upstream, fake)

    assert fake.requests[1].connection == fake.requests[0].connection


def test_a_cut_connection_is_never_used_again(fake):
    upstream, first = Upstream({}), CancelToken()
    fake.streams_forever()
    response = call(upstream, fake.url, first)
    read_some(response, first)

    first.cancel()
    with pytest.raises(Cancelled):
        while True:
            read_some(response, first)
    fake.streams("ok")
    text = whole(upstream, fake)

    assert b"ok" in text
    assert fake.requests[1].connection != fake.requests[0].connection


def test_a_call_that_is_off_before_it_begins_dials_nobody(fake):
    cancel_token = CancelToken()
    cancel_token.cancel()

    with pytest.raises(Cancelled):
        call(Upstream({}), fake.url, cancel_token)

    assert not fake.requests


def test_connecting_can_be_cut(thread):
    with socket.socket() as full, socket.socket() as taking, socket.socket() as taking_too:
        fill(full, taking, taking_too)
        cancel_token = CancelToken()
        answer = thread.submit(
            call,
            Upstream({}),
            f"http://127.0.0.1:{full.getsockname()[1]}",
            cancel_token,
            connect_s=HANG_GUARD_S,
        )
        while cancel_token._connection is None:
            cancel_token.wait(0.001)

        cancel_token.cancel()

        with pytest.raises(Cancelled):
            answer.result(HANG_GUARD_S / 2)


def test_a_kept_connection_that_the_server_closed_is_noticed_before_it_is_used(fake):
    upstream, second = Upstream({}), CancelToken()
    whole(upstream, fake)

    fake.drops_kept_connections()
    whole(upstream, fake, second)

    assert len(fake.requests) == 2
    assert not second.reused


def test_a_request_that_meets_the_closing_of_a_kept_connection_is_sent_once_more(fake):
    upstream = Upstream({})
    whole(upstream, fake)
    fake.then(("cut",))

    text = whole(upstream, fake)

    assert b"ok" in text
    assert len(fake.requests) == 3
    assert fake.requests[1].connection == fake.requests[0].connection != fake.requests[2].connection


def test_it_is_sent_once_more_and_not_twice(fake):
    upstream = Upstream({})
    whole(upstream, fake)
    fake.runs(("cut",))

    with pytest.raises(StreamBroken):
        call(upstream, fake.url)

    assert len(fake.requests) == 3


def test_a_fresh_connection_closed_without_an_answer_is_a_failure(fake):
    fake.runs(("cut",))

    with pytest.raises(StreamBroken):
        call(Upstream({}), fake.url)

    assert len(fake.requests) == 1


@pytest.mark.parametrize("until_close", [False, True], ids=["kept alive", "until close"])
def test_silence_within_an_answer_ends_it(fake, until_close):
    fake.runs(("token", "one"), ("stall",), until_close=until_close)
    cancel_token = CancelToken()
    response = call(Upstream({}), fake.url, cancel_token)
    read_some(response, cancel_token)

    set_silence(response, 0.05)

    with pytest.raises(HeadTimeout):
        read_some(response, cancel_token)


def test_a_whole_answer_may_be_too_long(fake):
    fake.runs(("raw", b"x" * 1000))
    cancel_token = CancelToken()

    with pytest.raises(StreamBroken, match="its answer is too long"):
        read_whole(call(Upstream({}), fake.url, cancel_token), cancel_token, max_bytes=999)


def test_of_an_answer_that_is_too_long_the_beginning_may_do(fake):
    fake.runs(("raw", b"x" * 1000), ("stall",))
    cancel_token = CancelToken()

    begun = read_whole(call(Upstream({}), fake.url, cancel_token), cancel_token, max_bytes=999, truncate=True)

    assert begun == b"x" * 1000


def test_a_whole_answer_that_trickles_ends_at_its_deadline(fake):
    fake.streams_forever(0.01)
    cancel_token = CancelToken()
    response = call(Upstream({}), fake.url, cancel_token)

    with pytest.raises(HeadTimeout):
        read_whole(response, cancel_token, deadline=time.monotonic() + 0.1)


def test_a_whole_answer_that_falls_silent_ends_at_its_deadline(fake):
    fake.runs(("token", "one"), ("stall",))
    cancel_token = CancelToken()
    response = call(Upstream({}), fake.url, cancel_token)

    with pytest.raises(HeadTimeout):
        read_whole(response, cancel_token, deadline=time.monotonic() + 0.1)


def test_an_answer_until_the_connection_closes_leaves_no_open_socket(fake):
    upstream, cancel_token = Upstream({}), CancelToken()
    fake.runs(("token", "one"), until_close=True)

    whole(upstream, fake, cancel_token)

    assert cancel_token._connection.answering is None
    assert fake.last.ended.wait(HANG_GUARD_S)


def test_a_large_request_may_take_longer_to_send_than_to_connect(thread):
    body = b"x" * 16 * 1024 * 1024
    sent = threading.Event()

    def slow(listening):
        connection, _ = listening.accept()
        with connection:
            sent.wait(0.5)  # never set: the caller has to be kept waiting for longer than connect_s
            left = len(body)
            while left > 0 and (more := connection.recv(1024 * 1024)):
                left -= len(more)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = thread.submit(slow, listening)
        response = call(
            Upstream({}), f"http://127.0.0.1:{listening.getsockname()[1]}", body=body, connect_s=0.1
        )
        serving.result(HANG_GUARD_S)

    assert response.status_code == 200


def test_a_refused_connection_is_told_from_a_broken_one():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

    with pytest.raises(ConnectFailed, match="refused"):
        call(Upstream({}), f"http://127.0.0.1:{port}")


def test_a_name_that_does_not_resolve_is_told():
    with pytest.raises(ConnectFailed, match="name"):
        call(Upstream({}), "http://no-such-host.invalid/v1")


def test_an_untrusted_certificate_is_a_failed_handshake():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ROOT / "tests/support/loopback.pem")
    fake = FakeUpstream(tls=context)

    with pytest.raises(ConnectFailed, match="TLS"):
        call(Upstream({}), fake.url)

    fake.close()


def test_a_connection_that_never_stands_is_told_by_its_time():
    with socket.socket() as full, socket.socket() as taking, socket.socket() as taking_too:
        fill(full, taking, taking_too)

        with pytest.raises(ConnectFailed, match="in time"):
            call(Upstream({}), f"http://127.0.0.1:{full.getsockname()[1]}", connect_s=0.05)


def fill(full, *callers):
    """Have a listening socket's queue taken up, so that the next caller's SYN goes unanswered."""
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    for sock in callers:
        sock.setblocking(False)
        sock.connect_ex(full.getsockname())
