"""A provider's breaker: what opens it and for how long, who is let through, whose failures do not count."""

import logging
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from errors import BadRequest, Cancelled, ConnectFailed, HeadTimeout, StreamBroken, UpstreamStatus
from telemetry import logs
from upstream.breaker import Breaker, Policy, parse_retry_after

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def passes(self, seconds):
        self.now += seconds


POLICY = Policy(failures=3, first_cooldown_s=5.0)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return Breaker("local", POLICY, clock)


def status(code):
    return UpstreamStatus(code, {"message": "words of the provider"}, "local")


def fails(breaker, error, times=1, **more):
    for _ in range(times):
        breaker.begin().failed(error, **more)


def opened(breaker):
    fails(breaker, status(500), times=3)
    assert breaker.snapshot()["breaker"] == "open"
    return breaker


def test_a_new_breaker_lets_everybody_through(breaker):
    permits = [breaker.begin() for _ in range(5)]

    assert all(permits)
    assert breaker.snapshot() == {
        "available": True,
        "breaker": "closed",
        "consecutive_failures": 0,
        "reason": None,
    }


def test_three_failures_in_a_row_open_it(breaker):
    fails(breaker, status(500), times=2)
    assert breaker.allows()

    fails(breaker, HeadTimeout("no answer within 120 s"))

    assert not breaker.allows()
    assert breaker.begin() is None
    assert breaker.snapshot() == {
        "available": False,
        "breaker": "open",
        "consecutive_failures": 3,
        "reason": "no answer within 120 s",
    }


def test_a_success_in_between_forgets_the_failures_before_it(breaker):
    fails(breaker, ConnectFailed("connection refused"))
    fails(breaker, status(500))
    breaker.begin().succeeded()
    fails(breaker, ConnectFailed("connection refused"))
    fails(breaker, status(500))

    assert breaker.allows()
    assert breaker.snapshot()["consecutive_failures"] == 2


@pytest.mark.parametrize(
    "error",
    [
        status(500),
        status(502),
        status(503),
        status(408),
        status(429),
        HeadTimeout("late"),
        StreamBroken("cut"),
    ],
)
def test_what_sends_the_chain_on_counts(breaker, error):
    fails(breaker, error, times=3)

    assert not breaker.allows()


@pytest.mark.parametrize(
    "error", [status(400), status(404), status(413), status(422), BadRequest("no"), Cancelled("hung up")]
)
def test_a_client_s_own_mistake_and_our_own_hang_up_count_against_nobody(breaker, error):
    fails(breaker, status(500), times=2)

    fails(breaker, error, times=10)

    assert breaker.snapshot()["consecutive_failures"] == 2
    fails(breaker, status(500))
    assert not breaker.allows()


def test_a_permit_that_is_left_without_a_report_counts_against_nobody(breaker):
    for _ in range(10):
        with breaker.begin():
            pass

    assert breaker.snapshot()["consecutive_failures"] == 0


def test_only_the_first_report_on_a_call_counts(breaker):
    permit = breaker.begin()
    permit.succeeded()

    for _ in range(3):
        permit.failed(status(500))

    assert breaker.snapshot()["consecutive_failures"] == 0


def test_after_its_rest_exactly_one_call_is_let_through(breaker, clock):
    opened(breaker)
    clock.passes(4.9)
    assert not breaker.allows()

    clock.passes(0.1)
    permits = [breaker.begin() for _ in range(5)]

    assert [permit is not None for permit in permits] == [True, False, False, False, False]
    assert breaker.snapshot()["breaker"] == "half-open"
    assert not breaker.allows()


def test_a_probe_that_succeeds_closes_it(breaker, clock):
    opened(breaker)
    clock.passes(5)

    breaker.begin().succeeded()

    assert breaker.snapshot() == {
        "available": True,
        "breaker": "closed",
        "consecutive_failures": 0,
        "reason": None,
    }


def test_a_probe_that_fails_opens_it_again_at_once_and_for_twice_as_long(breaker, clock):
    opened(breaker)
    rests = []
    for _ in range(6):
        clock.passes(breaker.cooldown_left_s())
        breaker.begin().failed(status(500))
        rests.append(breaker.cooldown_left_s())

    assert rests == [10, 20, 40, 60, 60, 60]


def test_a_probe_that_was_hung_up_leaves_its_place_to_the_next(breaker, clock):
    opened(breaker)
    clock.passes(5)
    breaker.begin().failed(Cancelled("hung up"))

    following = breaker.begin()

    assert following is not None
    assert breaker.begin() is None


def test_calls_begun_before_it_opened_neither_close_it_nor_open_it_again(breaker, clock):
    old = [breaker.begin() for _ in range(4)]
    opened(breaker)
    old[0].succeeded()
    old[1].failed(status(500))
    assert breaker.snapshot()["breaker"] == "open"
    assert breaker.cooldown_left_s() == 5

    clock.passes(5)
    breaker.begin()
    old[2].succeeded()
    old[3].failed(status(500))

    assert breaker.snapshot()["breaker"] == "half-open"


def test_back_off_begins_anew_after_a_call_that_succeeded(breaker, clock):
    opened(breaker)
    clock.passes(5)
    breaker.begin().failed(status(500))
    clock.passes(10)
    breaker.begin().succeeded()

    opened(breaker)

    assert breaker.cooldown_left_s() == 5


# Retry-After.


@pytest.mark.parametrize("code", [429, 503])
def test_a_provider_rests_exactly_as_long_as_it_asked(breaker, clock, code):
    fails(breaker, status(code), retry_after_s=30)
    clock.passes(29.9)
    assert not breaker.allows()

    clock.passes(0.1)

    assert breaker.allows()


def test_a_rest_is_no_longer_than_an_hour_whatever_was_asked(breaker):
    fails(breaker, status(429), retry_after_s=10_000_000)

    assert breaker.cooldown_left_s() == 3600


def test_retry_after_zero_is_a_failure_like_any_other(breaker):
    fails(breaker, status(429), retry_after_s=0)

    assert breaker.allows()
    assert breaker.snapshot()["consecutive_failures"] == 1


def test_a_shorter_wish_that_comes_later_does_not_shorten_a_rest(breaker, clock):
    first, second = breaker.begin(), breaker.begin()
    first.failed(status(429), retry_after_s=30)

    second.failed(status(429), retry_after_s=1)

    assert breaker.cooldown_left_s() == 30


def test_a_half_open_provider_that_asks_for_rest_gets_it(breaker, clock):
    opened(breaker)
    clock.passes(5)

    breaker.begin().failed(status(503), retry_after_s=2)

    assert breaker.cooldown_left_s() == 2


def test_no_probe_disturbs_a_provider_that_asked_for_rest(breaker):
    fails(breaker, status(429), retry_after_s=30)

    assert breaker.begin_probe(deep=True) is None


# A refused key.


@pytest.mark.parametrize("code, is_probe", [(401, False), (401, True), (403, True)])
def test_a_refused_key_takes_the_provider_out_for_good(breaker, clock, code, is_probe):
    permit = breaker.begin_probe(deep=False) if is_probe else breaker.begin()
    permit.failed(status(code))
    clock.passes(1e9)

    assert not breaker.allows()
    assert breaker.begin_probe(deep=True) is None
    assert breaker.snapshot()["reason"] == f"misconfigured: answered {code}, is its key right?"


def test_a_call_that_is_forbidden_is_one_failure_since_it_may_be_about_its_words(breaker):
    fails(breaker, status(403))

    assert breaker.allows()


def test_a_misconfigured_provider_stays_so_whatever_calls_still_under_way_bring(breaker, clock):
    older = [breaker.begin() for _ in range(3)]
    fails(breaker, status(401))

    older[0].succeeded()
    older[1].failed(status(429), retry_after_s=1)
    older[2].failed(status(500))
    clock.passes(1e9)

    assert not breaker.allows()
    assert breaker.snapshot()["reason"] == "misconfigured: answered 401, is its key right?"


# Background probes.


def test_one_failed_background_probe_opens_it(breaker):
    breaker.begin_probe(deep=False).failed(ConnectFailed("connection refused"))

    assert not breaker.allows()


def test_a_second_ping_met_with_silence_opens_it(breaker):
    breaker.begin_probe(deep=False).failed(HeadTimeout("it stayed silent too long"))
    after_one = breaker.allows()
    breaker.begin_probe(deep=False).failed(HeadTimeout("it stayed silent too long"))

    assert (after_one, breaker.allows()) == (True, False)


@pytest.mark.parametrize(
    "error", [ConnectFailed("connection refused"), status(502), HeadTimeout("it stayed silent too long")]
)
def test_a_ping_mends_at_once_what_a_ping_has_found(breaker, error):
    breaker.begin_probe(deep=False).failed(error)

    breaker.begin_probe(deep=False).succeeded()

    assert breaker.allows()


def test_a_ping_does_not_end_the_rest_of_a_provider_that_answers_and_fails(breaker, clock):
    opened(breaker)

    assert breaker.begin_probe(deep=False) is None
    clock.passes(5)
    breaker.begin_probe(deep=False).succeeded()
    assert breaker.allows()
    opened(breaker)
    assert breaker.cooldown_left_s() == 10  # a server that only lists its models is no better than before


def test_a_ping_does_not_forget_failures_of_calls(breaker):
    fails(breaker, status(500), times=2)

    breaker.begin_probe(deep=False).succeeded()

    assert breaker.snapshot()["consecutive_failures"] == 2


def test_a_deep_probe_ends_a_back_off_at_once(breaker):
    opened(breaker)

    breaker.begin_probe(deep=True).succeeded()

    assert breaker.allows()


def test_a_probe_has_to_wait_while_a_call_is_the_probe(breaker, clock):
    opened(breaker)
    clock.passes(5)
    breaker.begin()

    assert breaker.begin_probe(deep=True) is None


def test_a_call_has_to_wait_while_a_probe_is_under_way(breaker, clock):
    opened(breaker)
    breaker.begin_probe(deep=True)
    clock.passes(5)

    assert breaker.begin() is None


# What it says.


def test_each_change_of_state_is_one_log_line_without_the_provider_s_words(breaker, clock, caplog):
    caplog.set_level(logging.INFO, "upstream.breaker")
    fails(breaker, status(500), times=3)
    clock.passes(5)
    breaker.begin().failed(status(502))
    clock.passes(10)
    breaker.begin().succeeded()
    breaker.begin().succeeded()
    formatter = logs.TextFormatter()

    lines = [formatter.format(record).split(" ", 3)[3] for record in caplog.records]

    assert lines == [
        'Breaker: provider=local state=open failures=3 reason="answered 500"',
        'Breaker: provider=local state=half-open failures=3 reason="answered 500"',
        'Breaker: provider=local state=open failures=4 reason="answered 502"',
        'Breaker: provider=local state=half-open failures=4 reason="answered 502"',
        "Breaker: provider=local state=closed failures=0 reason=-",
    ]


def test_a_broken_answer_is_told_without_what_stood_in_it(breaker):
    fails(breaker, StreamBroken("words of the provider"), times=3)

    assert breaker.snapshot()["reason"] == "broke off its answer"


# Many threads.


def test_however_many_come_at_the_end_of_a_rest_one_gets_through(clock):
    with ThreadPoolExecutor(16) as threads:
        for _ in range(50):
            breaker = opened(Breaker("local", POLICY, clock))
            clock.passes(5)
            together = threading.Barrier(16)

            def comes(breaker=breaker, together=together):
                together.wait()
                return breaker.begin()

            permits = [future.result() for future in [threads.submit(comes) for _ in range(16)]]

            assert sum(permit is not None for permit in permits) == 1


def test_after_a_storm_of_reports_the_breaker_still_finds_its_way_back(clock):
    breaker = Breaker("local", POLICY, clock)
    seen = set()

    def storms(seed):
        dice = random.Random(seed)
        for _ in range(400):
            clock.passes(0.5)
            permit = breaker.begin_probe(dice.random() < 0.5) if dice.random() < 0.2 else breaker.begin()
            seen.add(breaker.snapshot()["breaker"])
            if permit is not None:
                with permit:
                    dice.choice(
                        [
                            permit.succeeded,
                            permit.dropped,
                            lambda permit=permit: permit.failed(status(500)),
                            lambda: None,
                        ]
                    )()

    with ThreadPoolExecutor(8) as threads:
        for future in [threads.submit(storms, seed) for seed in range(8)]:
            future.result()
    clock.passes(60)
    breaker.begin().succeeded()

    assert seen == {"closed", "open", "half-open"}
    assert breaker.snapshot() == {
        "available": True,
        "breaker": "closed",
        "consecutive_failures": 0,
        "reason": None,
    }


# Retry-After's two forms.


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("1.5", 1.5),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30),
        ("Friday, 15-Jan-27 08:00:30 GMT", 30),
        ("Fri Jan 15 08:00:30 2027", 30),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0),
        (None, None),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("1e9", None),
        ("nan", None),
        ("inf", None),
        ("Fri, 99 Jan 2027 08:00:30 GMT", None),
        ("Fri, 15 Jan 99999 08:00:30 GMT", None),
        ("9" * 400, None),
        ("١٢", None),
    ],
)
def test_retry_after_is_read_in_both_its_forms_and_junk_is_none(value, seconds):
    assert parse_retry_after(value, NOW) == seconds


def test_no_junk_in_retry_after_raises():
    dice = random.Random(5)
    for _ in range(3000):
        parse_retry_after(
            "".join(dice.choice("0123456789 ,:-+.GMTJanFri\x00é") for _ in range(dice.randrange(40))), NOW
        )


def test_a_ping_that_fails_before_the_rest_is_over_does_not_make_it_longer(clock):
    breaker = Breaker("local", POLICY, clock)
    breaker.begin_probe(deep=False).failed(ConnectFailed("connection refused"))

    for _ in range(20):  # somebody looks at /health again and again
        breaker.begin_probe(deep=False).failed(ConnectFailed("connection refused"))

    assert breaker.cooldown_left_s() == POLICY.first_cooldown_s
    clock.passes(POLICY.first_cooldown_s)
    assert breaker.allows()
