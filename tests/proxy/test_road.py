"""The road of a chat request: classified while the primary already runs."""

from tests.support.server import sse_events, streamed_text


def test_a_moderate_request_is_answered_by_the_speculative_call(headstart, primary, judge):
    primary.streams("forty", "-two")

    reply = headstart.chat("what is six times seven?")

    assert reply.json()["choices"][0]["message"] == {"role": "assistant", "content": "forty-two"}
    assert reply.headers["X-Decision"] == "MODERATE"
    assert reply.headers["X-Speculation"] == "adopted"
    assert len(primary.requests) == 1


def test_a_complex_request_hangs_up_the_speculative_call(headstart, primary, cloud, judge):
    judge.streams("COMPLEX")
    primary.stalls_before_head()
    cloud.streams("forty", "-two")

    reply = headstart.chat("prove it", stream=True)

    assert streamed_text(reply) == "forty-two"
    assert sse_events(reply)[-1] == "[DONE]"
    assert reply.headers["X-Speculation"] == "cancelled"
    assert primary.last.hung_up.wait(5)
