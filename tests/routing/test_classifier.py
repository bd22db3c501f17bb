"""A conversation in, a verdict out: from the embedded model, from any chat model, and when either fails."""

import queue
import threading

import pytest

from errors import Cancelled
from routing.classifier import Classifier
from routing.classifier_chat import ChatClassifier, transcript, word_in
from routing.classifier_mlx import MAX_WAITING, MlxClassifier
from routing.decision import ClassifierFailed, Verdict
from settings.model import Classifier as Settings
from tests.support.fake_upstream import FakeUpstream
from tests.support.scripted import scripted_config
from tests.support.server import HANG_GUARD_S, Server
from upstream.cancellation import CancelToken

TURNS = [("user", "hello")]


# What a chat model says.


@pytest.mark.parametrize(
    "said, label",
    [
        ("COMPLEX", "COMPLEX"),
        ("enrich", "ENRICH"),
        ("Moderate.", "MODERATE"),
        ("  **SIMPLE**\n", "SIMPLE"),
        ("_COMPLEX_", "COMPLEX"),
        ("`MODERATE`", "MODERATE"),
        ('"ENRICH"', "ENRICH"),
        ("[COMPLEX]", "COMPLEX"),
        ('{"decision": "ENRICH"}', "ENRICH"),
        ("<answer>COMPLEX</answer>", "COMPLEX"),
        ("Answer: **MODERATE**", "MODERATE"),
        ("The decision is complex.", "COMPLEX"),
        ("COMPLEX, since it is not a simple proof", "COMPLEX"),
        ("COMPLEX because neither SIMPLE nor MODERATE fits", "COMPLEX"),
        ("Moderate. Not COMPLEX.", "MODERATE"),
        ("Simple question, but it needs today's price: ENRICH", "ENRICH"),
        ("This is not a simple request, it is COMPLEX, which a moderate model cannot do", "COMPLEX"),
        ("Not SIMPLE, not MODERATE: COMPLEX", "COMPLEX"),
        ("<think>is it COMPLEX? no</think>MODERATE", "MODERATE"),
        ("<think>\nCOMPLEX\n</think>\n\nSIMPLE", "SIMPLE"),
        ("<thinking>ENRICH</thinking> COMPLEX", "COMPLEX"),
        ("maybe COMPLEX, or so</think>\nENRICH", "ENRICH"),
        ("<think>a</think><think>COMPLEX</think>MODERATE", "MODERATE"),
        ("<think>it may be COMPLEX, or", None),
        ("<think>done</think>", None),
        ("<think>one</think> then <think>COMPLEX", None),
        ("OVERCOMPLEX", None),
        ("simplest", None),
        ("META", None),
        ("I cannot answer that", None),
        ("", None),
    ],
)
def test_the_word_is_found_in_what_a_model_says(said, label):
    assert word_in(said) == label


# What a chat model is shown.


def test_a_single_turn_is_shown_whole():
    assert transcript([("user", "what is love?")]) == "The user's last message:\nwhat is love?"


def test_no_turn_is_shown_as_an_empty_one():
    assert transcript([]) == "The user's last message:\n"


def test_the_two_turns_before_the_last_are_shown_shortened():
    turns = [("user", "first"), ("user", "u" * 5000), ("assistant", "a" * 5000), ("user", "last")]

    assert (
        transcript(turns)
        == f"user: {'u' * 1000}\n\nassistant: {'a' * 1000}\n\nThe user's last message:\nlast"
    )


def test_a_long_last_turn_is_shown_by_its_head_and_tail():
    text = "h" * 4000 + "m" * 1_000_000 + "t" * 2000

    assert transcript([("user", text)]) == f"The user's last message:\n{'h' * 4000}\n[...]\n{'t' * 2000}"


def test_a_turn_just_within_the_limit_is_not_cut():
    assert transcript([("user", "x" * 6000)]) == f"The user's last message:\n{'x' * 6000}"


# A chat model as the classifier.


@pytest.fixture
def judged():
    """A scripted chat model, and the classifier that asks it."""
    upstream = FakeUpstream("judge")
    settings = Settings(
        backend="openai", base_url=upstream.url, model="judge", api_key="k", timeout_ms=400, max_tokens=99
    )
    yield upstream, Classifier(settings, ChatClassifier(settings, "Sort it."))
    upstream.close()


def test_a_chat_model_is_asked_for_one_word_and_no_more_than_max_tokens(judged):
    upstream, classifier = judged
    upstream.streams("<think>hard", "er?</think>", "COM", "PLEX")

    verdict = classifier.classify([("user", "prove it")])

    assert (verdict.decision, verdict.confidence, verdict.probabilities, verdict.source) == (
        "COMPLEX",
        None,
        {},
        "judge",
    )
    assert verdict.raw == "<think>harder?</think>COMPLEX"
    assert upstream.last.messages == [
        {"role": "system", "content": "Sort it."},
        {"role": "user", "content": "The user's last message:\nprove it"},
    ]
    assert (upstream.last.body["max_tokens"], upstream.last.body["temperature"]) == (99, 0)
    assert upstream.last.headers["Authorization"] == "Bearer k"


def test_a_chat_models_thoughts_in_a_field_of_their_own_are_no_answer(judged):
    upstream, classifier = judged
    upstream.runs(("delta", {"reasoning_content": "COMPLEX?"}), ("token", "SIMPLE"), ("finish", "stop"))

    assert classifier.classify(TURNS).decision == "SIMPLE"


@pytest.mark.parametrize(
    "script, error",
    [
        ([("stall-before-headers",)], "no answer in time"),
        ([("headers",), ("stall",)], "no answer in time"),
        ([("token", "COM"), ("stall",)], "no answer in time"),
        ([("forever", 0.01)], "no answer in time"),
        ([("token", "well"), ("finish", "stop")], "it answered with none of the words"),
        ([("token", "COM"), ("cut",)], "it closed the connection before the answer was complete"),
        ([("raw", b"data: {nonsense\n\n")], "it sent something that is no completion"),
        (
            [("raw", b'data: {"choices": [{"delta": "COMPLEX"}]}\n\n')],
            "it sent something that is no completion",
        ),
        ([("raw", b'data: {"choices": "COMPLEX"}\n\n')], "it sent something that is no completion"),
        (
            [("token", "COM"), ("raw", b'data: {"choices": [{"delta": "PLEX"}]}\n\n')],
            "it sent something that is no completion",
        ),
        ([("token", "COM"), ("raw", b'data: {"choices": 5}\n\n')], "it sent something that is no completion"),
    ],
)
def test_a_chat_model_that_fails_or_is_late_means_on_failure(judged, script, error):
    upstream, classifier = judged
    upstream.runs(*script)

    verdict = classifier.classify(TURNS)

    assert (verdict.decision, verdict.source, verdict.confidence) == ("MODERATE", "on_failure", None)
    assert verdict.error == error


def test_what_a_chat_model_said_instead_of_a_word_is_kept(judged):
    upstream, classifier = judged
    upstream.streams("I would rather not say")

    assert classifier.classify(TURNS).raw == "I would rather not say"


def test_a_late_chat_model_is_hung_up_on(judged):
    upstream, classifier = judged
    upstream.stalls_before_headers()

    classifier.classify(TURNS)

    assert upstream.last.hung_up.wait(HANG_GUARD_S)


def test_a_chat_model_that_is_not_there_means_on_failure(judged):
    upstream, classifier = judged
    upstream.close()

    assert classifier.classify(TURNS).decision == "MODERATE"
    assert classifier.health(5, CancelToken())["status"] == "unhealthy"


def test_a_client_that_leaves_takes_the_question_to_the_chat_model_back(judged):
    upstream, classifier = judged
    upstream.stalls_before_head()
    hang_ups, ended = queue.Queue(), queue.Queue()

    def ask():
        try:
            classifier.classify(TURNS, hang_ups.put)
        except Cancelled:
            ended.put("cancelled")

    threading.Thread(target=ask, daemon=True).start()
    hang_up = hang_ups.get(timeout=HANG_GUARD_S)
    upstream.wait_asked()
    hang_up()

    assert ended.get(timeout=HANG_GUARD_S) == "cancelled"
    assert upstream.last.hung_up.wait(HANG_GUARD_S)


def test_a_strangers_words_do_not_reach_the_log(judged, caplog):
    upstream, classifier = judged
    upstream.refuses(400, "your message 'my secret diary' is too long")

    verdict = classifier.classify(TURNS)

    assert verdict.error == "your message 'my secret diary' is too long"
    assert [record.fields["error"] for record in caplog.records if record.name == "routing.classifier"] == [
        "UpstreamStatus"
    ]


# The embedded model and its owner thread.


class ScriptedModel:
    """Decides by what a test says, in the thread that owns it; `batches` tells what it was given at once."""

    at_once = 8

    def __init__(self):
        self.batches = queue.Queue()
        self.go_on = threading.Event()
        self.go_on.set()
        self.threads = set()
        self.loaded_by = threading.current_thread()

    def batch(self, conversations):
        self.threads.add(threading.current_thread())
        self.batches.put(conversations)
        assert self.go_on.wait(HANG_GUARD_S)
        if any("poison" in turns[-1][1] for turns in conversations):
            raise ValueError("the text was 'my secret diary'")
        return [{"MODERATE": 0.2, "COMPLEX": 0.7999666, "ENRICH": 0.0000334} for _ in conversations]


class Owned:
    """A classifier over a scripted model."""

    def __init__(self, timeout_ms=HANG_GUARD_S * 1000, patience_s=HANG_GUARD_S):
        self.made = queue.Queue()
        self.backend = MlxClassifier(self._load, patience_s=patience_s)
        self.classifier = Classifier(Settings(timeout_ms=timeout_ms), self.backend)
        self.model = self.made.get(timeout=HANG_GUARD_S)

    def _load(self):
        model = ScriptedModel()
        self.made.put(model)
        return model

    def ask_elsewhere(self, text, timeout_s=HANG_GUARD_S, on_cancel=lambda cancel: None):
        """Ask on another thread; returns a queue that gets the probabilities or the exception."""
        answers = queue.Queue()

        def ask():
            try:
                answers.put(self.backend.probabilities([("user", text)], timeout_s, on_cancel)[0])
            except (ClassifierFailed, Cancelled) as error:
                answers.put(error)

        threading.Thread(target=ask, daemon=True).start()
        return answers

    def busy(self):
        """Have the model work on a question until `model.go_on` is set."""
        self.model.go_on.clear()
        answers = self.ask_elsewhere("first")
        self.model.batches.get(timeout=HANG_GUARD_S)
        return answers


def test_a_verdict_is_the_likeliest_label_with_rounded_numbers():
    verdict = Owned().classifier.classify(TURNS)

    assert verdict == Verdict(
        "COMPLEX",
        0.8,
        {"MODERATE": 0.2, "COMPLEX": 0.8, "ENRICH": 0.0},
        "MODERATE=0.2000 COMPLEX=0.8000 ENRICH=0.0000",
        "mlx",
        ms=verdict.ms,
    )
    assert verdict.ms >= 0


def test_the_model_is_loaded_and_asked_by_one_thread_that_is_nobody_elses():
    owned = Owned()
    for _ in range(3):
        owned.classifier.classify(TURNS)

    assert owned.model.threads == {owned.model.loaded_by}
    assert owned.model.loaded_by is not threading.current_thread()


def test_questions_that_wait_are_decided_in_one_pass_of_at_most_eight():
    owned = Owned()
    first = owned.busy()
    waiting = [owned.ask_elsewhere(str(i)) for i in range(11)]
    waits_for(lambda: owned.backend._jobs.qsize() == 11)

    owned.model.go_on.set()

    sizes = [len(owned.model.batches.get(timeout=HANG_GUARD_S)) for _ in range(2)]
    assert sizes == [8, 3]
    assert all(answers.get(timeout=HANG_GUARD_S)["MODERATE"] == 0.2 for answers in [first, *waiting])


def test_a_text_that_upsets_the_model_spoils_nobody_elses_answer():
    owned = Owned()
    owned.busy()
    good, bad = owned.ask_elsewhere("good"), owned.ask_elsewhere("poison")
    waits_for(lambda: owned.backend._jobs.qsize() == 2)

    owned.model.go_on.set()

    assert good.get(timeout=HANG_GUARD_S)["MODERATE"] == 0.2
    assert str(bad.get(timeout=HANG_GUARD_S)) == "ValueError in the model"
    assert owned.classifier.classify(TURNS).decision == "COMPLEX"


def test_who_finds_the_queue_full_is_decided_by_rules_at_once():
    owned = Owned()
    owned.busy()
    for i in range(MAX_WAITING):
        owned.ask_elsewhere(str(i))
    waits_for(owned.backend._jobs.full)

    verdict = owned.classifier.classify([("user", "weather in Rome tomorrow?")])

    assert verdict == Verdict(
        "ENRICH",
        None,
        {},
        "a matter of today",
        "rules",
        ms=verdict.ms,
        error="64 requests are waiting for it",
    )
    owned.model.go_on.set()


def test_whose_turn_does_not_come_is_decided_by_rules():
    owned = Owned(patience_s=0.02)
    first = owned.busy()

    verdict = owned.classifier.classify([("user", "prove the four colour theorem")])
    owned.model.go_on.set()

    assert (verdict.decision, verdict.source, verdict.confidence, verdict.probabilities) == (
        "COMPLEX",
        "rules",
        None,
        {},
    )
    assert verdict.error == "its turn has not come within 20 ms"
    assert first.get(timeout=HANG_GUARD_S)["MODERATE"] == 0.2


def test_whose_turn_has_come_is_waited_for_beyond_its_patience():
    owned = Owned(patience_s=0.02)
    answers = owned.busy()
    with pytest.raises(queue.Empty):
        answers.get(timeout=0.1)

    owned.model.go_on.set()

    assert answers.get(timeout=HANG_GUARD_S)["MODERATE"] == 0.2


def test_a_model_that_is_still_loading_is_waited_for_and_rules_do_not_stand_in_for_its_failure():
    begun, fail = threading.Event(), threading.Event()

    def load():
        begun.set()
        assert fail.wait(HANG_GUARD_S)
        raise FileNotFoundError("models/encoder is not there")

    classifier = Classifier(Settings(timeout_ms=HANG_GUARD_S * 1000), MlxClassifier(load, patience_s=0.02))
    answers = queue.Queue()
    threading.Thread(target=lambda: answers.put(classifier.classify(TURNS)), daemon=True).start()
    assert begun.wait(HANG_GUARD_S)
    with pytest.raises(queue.Empty):
        answers.get(timeout=0.1)

    fail.set()

    assert answers.get(timeout=HANG_GUARD_S).source == "on_failure"


def test_a_late_answer_is_not_waited_for_and_the_model_goes_on():
    owned = Owned(timeout_ms=50)
    owned.busy()

    late = owned.classifier.classify(TURNS)
    owned.model.go_on.set()

    assert (late.decision, late.source, late.error) == ("MODERATE", "on_failure", "no answer in time")
    assert owned.ask_elsewhere("again").get(timeout=HANG_GUARD_S)["MODERATE"] == 0.2


def test_an_abandoned_question_is_not_put_to_the_model():
    owned = Owned()
    owned.busy()
    hang_ups = queue.Queue()
    left = owned.ask_elsewhere("left", on_cancel=hang_ups.put)
    hang_ups.get(timeout=HANG_GUARD_S)()
    stayed = owned.ask_elsewhere("stayed")
    assert isinstance(left.get(timeout=HANG_GUARD_S), Cancelled)
    waits_for(lambda: owned.backend._jobs.qsize() == 2)

    owned.model.go_on.set()

    stayed.get(timeout=HANG_GUARD_S)
    assert owned.model.batches.get(timeout=HANG_GUARD_S) == [[("user", "stayed")]]


def test_a_client_that_has_left_before_the_question_is_not_waited_for():
    owned = Owned()
    owned.busy()

    with pytest.raises(Cancelled):
        owned.classifier.classify(TURNS, lambda cancel: cancel())
    owned.model.go_on.set()


def test_a_model_that_cannot_be_loaded_costs_no_request_its_time():
    begun, fail = threading.Event(), threading.Event()

    def load():
        begun.set()
        assert fail.wait(HANG_GUARD_S)
        raise FileNotFoundError("models/encoder is not there")

    classifier = Classifier(Settings(timeout_ms=HANG_GUARD_S * 1000), MlxClassifier(load))
    waiting = queue.Queue()
    threading.Thread(target=lambda: waiting.put(classifier.classify(TURNS)), daemon=True).start()
    assert begun.wait(HANG_GUARD_S)
    fail.set()

    assert (
        waiting.get(timeout=HANG_GUARD_S / 2).error
        == "the model could not be loaded: models/encoder is not there"
    )
    assert classifier.classify(TURNS).ms < HANG_GUARD_S * 500
    assert classifier.health(5, CancelToken()) == {
        "status": "unhealthy",
        "latency_ms": 0,
        "error": "the model could not be loaded: models/encoder is not there",
    }


def test_a_model_that_is_still_loading_is_said_to_be():
    released = threading.Event()
    classifier = Classifier(Settings(timeout_ms=20, on_failure="COMPLEX"), MlxClassifier(released.wait))

    verdict = classifier.classify(TURNS)

    assert (verdict.decision, verdict.error) == ("COMPLEX", "it is still loading")


def test_a_model_that_takes_long_to_load_is_not_waited_for():
    released = threading.Event()
    classifier = Classifier(
        Settings(timeout_ms=HANG_GUARD_S * 1000), MlxClassifier(released.wait, loading_s=0)
    )

    verdict = classifier.classify(TURNS)

    assert (verdict.source, verdict.error) == ("on_failure", "it is still loading")
    assert verdict.ms < HANG_GUARD_S * 500


def test_a_model_with_much_to_do_is_healthy():
    owned = Owned(patience_s=0.001)
    owned.busy()
    told = queue.Queue()
    threading.Thread(
        target=lambda: told.put(owned.classifier.health(HANG_GUARD_S, CancelToken())), daemon=True
    ).start()
    waits_for(lambda: owned.backend._jobs.qsize() == 1)
    with pytest.raises(queue.Empty):
        told.get(timeout=0.1)

    owned.model.go_on.set()

    assert told.get(timeout=HANG_GUARD_S)["status"] == "healthy"


def test_a_model_that_decides_is_healthy():
    told = Owned().classifier.health(HANG_GUARD_S, CancelToken())

    assert (told["status"], told["error"]) == ("healthy", None)


def waits_for(condition):
    """Yield the processor until the other threads have brought something about."""
    tick = threading.Event()
    for _ in range(HANG_GUARD_S * 1000):
        if condition():
            return
        tick.wait(0.001)
    raise AssertionError("it did not come about")


# The real one.


def test_the_embedded_classifier_decides_in_a_real_server(prepared, upstreams, tmp_path):
    config = {
        **scripted_config(**upstreams),
        "classifier": {"backend": "mlx", "model": "builtin", "timeout_ms": 20000},
    }
    server = Server(tmp_path, config).wait_until_up()
    try:
        replies = {
            text: server.post("/v1/classify", {"messages": [{"role": "user", "content": text}]}).json()
            for text in (
                "hello there",
                "What is the weather in Berlin right now?",
                "Prove that every bounded sequence in a Hilbert space has a weakly convergent subsequence.",
            )
        }
    finally:
        server.stop()

    for told in replies.values():
        assert told["source"] == "mlx"
        assert sum(told["probabilities"].values()) == pytest.approx(1, abs=0.001)
        assert told["confidence"] == max(told["probabilities"].values())
        assert told["probabilities"][told["decision"]] == told["confidence"]
    assert [told["decision"] for told in replies.values()] == ["MODERATE", "ENRICH", "COMPLEX"]
    assert [told["route"] for told in replies.values()] == ["primary", "enrich", "cloud"]
    assert all(upstream.requests == [] for upstream in upstreams.values())


BORDER = {"MODERATE": 0.4, "COMPLEX": 0.5, "ENRICH": 0.1}


@pytest.mark.parametrize(
    ("knobs", "decision"),
    [
        ({}, "COMPLEX"),
        ({"escalation_cost": 2.0}, "MODERATE"),
        ({"min_confidence": 0.6}, "MODERATE"),
        ({"min_confidence": 0.6, "on_failure": "ENRICH"}, "ENRICH"),
    ],
)
def test_the_owner_says_what_an_escalation_costs_and_how_sure_is_sure(knobs, decision):
    class Torn:
        source = "mlx"

        def probabilities(self, turns, timeout_s, on_cancel, on_call):
            return BORDER, None

    verdict = Classifier(Settings(**knobs), Torn()).classify([("user", "?")])

    assert verdict.decision == decision
    assert verdict.confidence == BORDER[decision]
    assert verdict.probabilities == BORDER


def test_the_end_waits_for_a_model_that_is_being_loaded():
    released, loaded = threading.Event(), threading.Event()

    class Slow:
        at_once = 1

    def load():
        released.wait(HANG_GUARD_S)
        loaded.set()
        return Slow()

    backend = MlxClassifier(load)
    backend.close(0.01)
    assert not loaded.is_set(), "a change of the configuration waits for nothing"

    released.set()
    backend.close(HANG_GUARD_S)
    assert loaded.is_set()
    assert not [thread for thread in threading.enumerate() if thread is backend._thread]
