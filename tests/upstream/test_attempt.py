"""One try at one provider: its limits, its end, and who is let go when it is cancelled."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from errors import Cancelled, HeadTimeout
from providers import OpenAIProvider
from settings import model as config
from tests.support.fake_upstream import HANG_GUARD_S, data_event
from upstream.attempt import Attempt
from wire import openai_chat


@pytest.fixture
def executor():
    with ThreadPoolExecutor(4) as executor:
        yield executor


def attempt_at(fake, **timeouts):
    limits = config.Timeouts(
        **{"connect_s": 5, "first_byte_s": HANG_GUARD_S, "idle_s": HANG_GUARD_S, **timeouts}
    )
    provider = OpenAIProvider(
        "fake", config.Provider("openai", model="m", base_url=fake.url, timeouts=limits)
    )
    return Attempt(provider, "/chat/completions", {"messages": [{"role": "user", "content": "hi"}]})


def test_what_came_before_it_was_adopted_is_read_from_the_first_event_on(fake, executor):
    fake.runs(("role",), ("token", "forty"), ("token", "-two"), ("finish", "stop"))
    attempt = attempt_at(fake).start(executor)
    attempt.head()

    chunks = [chunk for _, chunk in attempt.events() if chunk]

    assert [openai_chat.answer_text(openai_chat.first_choice(chunk)) for chunk in chunks] == [
        "",
        "forty",
        "-two",
        "",
    ]
    assert (attempt.content, attempt.finish_reason, attempt.status, attempt.saw_done) == (
        "forty-two",
        "stop",
        200,
        True,
    )


def test_whoever_waits_for_the_head_is_let_go_by_a_cancel(fake, executor):
    fake.runs(("deaf",))
    attempt = attempt_at(fake).start(executor)
    waiting = executor.submit(attempt.head)
    fake.wait_asked()

    attempt.cancel()

    with pytest.raises(Cancelled):
        waiting.result(HANG_GUARD_S / 2)
    assert not attempt.failed


def test_whoever_reads_its_events_is_let_go_by_a_cancel(fake, executor):
    fake.runs(("token", "one"), ("deaf",))
    attempt = attempt_at(fake)
    attempt.head()
    reading = executor.submit(list, attempt.events())

    attempt.cancel()

    with pytest.raises(Cancelled):
        reading.result(HANG_GUARD_S / 2)


def test_cancelled_with_its_head_in_hand_it_lets_go_of_its_socket(fake, executor):
    fake.streams_forever()
    attempt = attempt_at(fake).start(executor)
    attempt.head()

    attempt.cancel()

    assert fake.last.hung_up.wait(HANG_GUARD_S)
    assert attempt.cancel_token._connection.sock is None


def test_a_cancelled_attempt_cannot_be_read_on(fake):
    attempt = attempt_at(fake)
    attempt.head()
    attempt.cancel()

    with pytest.raises(Cancelled):
        attempt.head()
    with pytest.raises(Cancelled):
        list(attempt.events())


@pytest.mark.parametrize(
    "steps", [[("stall-before-headers",)], [("role",), ("stall",)]], ids=["before the headers", "after them"]
)
@pytest.mark.parametrize("limit", ["first_byte_s", "total_s"])
def test_the_head_must_come_within_both_its_own_limit_and_that_of_the_whole(fake, steps, limit):
    fake.runs(*steps)

    with pytest.raises(HeadTimeout):
        attempt_at(fake, **{limit: 0.1}).head()

    assert fake.last.hung_up.wait(HANG_GUARD_S)


def test_comments_do_not_put_the_head_off_for_ever(fake):
    fake.runs(*[step for _ in range(200) for step in (("raw", b": still here\n\n"), ("pause", 0.01))])

    with pytest.raises(HeadTimeout):
        attempt_at(fake, first_byte_s=0.1).head()


def test_an_answer_that_trickles_ends_at_its_whole_time(fake):
    fake.streams_forever(0.01)
    attempt = attempt_at(fake, total_s=0.2)
    attempt.head()

    with pytest.raises(HeadTimeout):
        list(attempt.events())


def test_a_provider_that_goes_on_after_done_is_not_listened_to(fake):
    fake.runs(("token", "one"), ("finish", "stop"), ("raw", b"data: [DONE]\n\n"), ("forever", 0.01))
    attempt = attempt_at(fake)
    attempt.head()

    events = list(attempt.events())

    assert events[-1][0].is_done
    assert fake.last.hung_up.wait(HANG_GUARD_S)


def test_of_two_choices_the_first_is_noted(fake):
    fake.runs(
        *(
            (
                "raw",
                data_event(
                    {"choices": [{"index": index, "delta": {"content": text}, "finish_reason": finish}]}
                ),
            )
            for index, text, finish in ((1, "b", None), (0, "a", None), (0, "a", "stop"), (1, "b", "length"))
        )
    )
    attempt = attempt_at(fake)
    attempt.head()
    list(attempt.events())

    assert (attempt.content, attempt.finish_reason) == ("aa", "stop")
