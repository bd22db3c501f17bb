"""Texts in, embeddings out: the numbers of the published model, and turns fairly taken in one thread."""

import queue
import subprocess
import sys
import threading

import numpy as np
import pytest

from engine import blas, models_dir
from engine import embedder as embedders
from engine.embedder import Embedder
from errors import BadRequest, Cancelled, Unavailable
from routing.classifier_mlx import MlxClassifier
from tests.support.server import HANG_GUARD_S, ROOT

SENTENCES = [
    "That is a happy person",
    "That is a happy dog",
    "That is a very happy person",
    "Today is a sunny day",
]
IN_CL100K = [[4897, 374, 264, 6380, 1732], [4897, 374, 264, 6380, 5679]]  # tiktoken's ids of the first two


@pytest.fixture(scope="module")
def real(prepared):
    """The embedder over the real model."""
    return Embedder()


def cosine(one, other):
    return float(one @ other)


# The numbers.


def test_the_published_cosines(real):
    vectors, tokens = real.embed(SENTENCES)

    assert (vectors @ vectors[0]).tolist() == pytest.approx([1, 0.6945, 0.9429, 0.2569], abs=1e-4)
    assert (vectors.shape, vectors.dtype, tokens) == ((4, 384), np.float32, 29)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1)


def test_many_texts_of_all_lengths_are_embedded_as_each_alone_and_in_their_order(real):
    texts = [f"{number} " * (1 + number * 7 % 90) for number in range(150)]

    together, tokens = real.embed(texts)
    alone = [real.embed([text]) for text in texts[::13]]

    assert np.abs(together[::13] - np.concatenate([vectors for vectors, _ in alone])).max() < 1e-5
    assert tokens == sum(len(text.split()) + 2 for text in texts)


def test_tokens_of_openais_vocabulary_are_the_text_they_stand_for(real):
    by_tokens, _ = real.embed(IN_CL100K)
    by_text, _ = real.embed(SENTENCES[:2])

    assert np.abs(by_tokens - by_text).max() < 1e-5


def test_tokens_between_cls_and_sep_are_the_models_own(real):
    by_tokens, tokens = real.embed([[101, 2651, 2003, 1037, 11559, 2154, 102]])
    by_text, _ = real.embed(["Today is a sunny day"])

    assert np.abs(by_tokens - by_text).max() < 1e-5
    assert tokens == 7


def test_the_models_own_tokens_beyond_256_are_left_out(real):
    longer, tokens = real.embed([[101, *[2651] * 400, 102]])
    within, _ = real.embed([[101, *[2651] * 254, 102]])

    assert np.abs(longer - within).max() < 1e-5
    assert tokens == 256


@pytest.mark.parametrize(
    ("inputs", "param"),
    [
        ([[100_256]], "input"),
        ([[1], [2], [3], [199_999]], "input[3]"),
        ([[101, 30_522, 102]], "input"),
        ([[5, 10**30]], "input"),
    ],
)
def test_token_ids_that_mean_nothing_are_refused_by_name_with_what_to_do(real, inputs, param):
    with pytest.raises(BadRequest, match="check_embedding_ctx_length=False") as refused:
        real.embed(inputs)

    assert refused.value.param == param


def test_a_text_beyond_256_word_pieces_is_cut_and_not_refused(real):
    longer, tokens = real.embed(["sunny " * 5000 + "rain"])
    within, _ = real.embed(["sunny " * 254])

    assert np.abs(longer - within).max() < 1e-5
    assert tokens == 256


@pytest.mark.parametrize("before", [" " * 5000, "\n" * 4094, "x" * 4000 + " "])
def test_words_behind_many_characters_that_are_few_tokens_are_read(real, before):
    far, _ = real.embed([f"{before}a sunny day"])
    none, _ = real.embed([before + "."])

    assert cosine(far[0], none[0]) < 0.9


@pytest.mark.parametrize(
    "odd",
    [
        "",
        " ",
        "\0",
        "\ud83d",
        "\u200b",
        "🇩🇪" * 3,
        "x" * 2_000_000,
        "日本語のテキスト",
        "\N{COMBINING ACUTE ACCENT}" * 300,
    ],
)
def test_any_text_has_an_embedding(real, odd):
    vectors, _ = real.embed([odd])

    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors[0]) == pytest.approx(1)


def test_embedding_and_classifying_at_once_change_no_number(real):
    def load():
        blas.load()
        from engine.router_model import RouterModel

        return RouterModel.load(models_dir())

    classifier = MlxClassifier(load)
    conversations = [[("user", f"{text}, {number}?")] for number, text in enumerate(SENTENCES * 10)]
    texts = [f"{sentence} {number}" for number in range(20) for sentence in SENTENCES]

    def ask(turns):
        return classifier.probabilities(turns, HANG_GUARD_S, lambda cancel: None)[0]

    decided_alone, (embedded_alone, _) = [ask(turns) for turns in conversations], real.embed(texts)
    embedded = queue.Queue()
    clients = [threading.Thread(target=lambda: embedded.put(real.embed(texts)[0])) for _ in range(3)]

    for client in clients:
        client.start()
    decided = [ask(turns) for turns in conversations]
    for client in clients:
        client.join(HANG_GUARD_S)

    assert decided == decided_alone
    assert all(np.array_equal(embedded.get_nowait(), embedded_alone) for _ in clients)
    classifier.close()


def test_nothing_of_mlx_is_there_before_the_first_question():
    code = (
        "import sys; from engine.embedder import Embedder; Embedder(); "
        "sys.exit('mlx.core' in sys.modules or 'tokenizers' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT, timeout=60).returncode == 0


# Taking turns.


class ScriptedEncoder:
    """Embeds a text as its length; each slice waits for `go_on` and is told in `slices`."""

    vocabulary = 30_522

    def __init__(self):
        self.slices = queue.Queue()
        self.go_on = threading.Semaphore(0)
        self.threads = set()

    def sentence(self, text):
        return [7] * len(text)

    def embed_sentences(self, sentences):
        self.threads.add(threading.current_thread())
        self.slices.put(list(map(len, sentences)))
        assert self.go_on.acquire(timeout=HANG_GUARD_S)
        if any(len(sentence) == 13 for sentence in sentences):
            raise ValueError("the text was 'my secret diary'")
        return np.array([[len(sentence)] for sentence in sentences], np.float32)


@pytest.fixture
def encoder():
    return ScriptedEncoder()


@pytest.fixture
def scripted(encoder):
    embedder = Embedder(lambda: encoder)
    yield embedder
    encoder.go_on.release(10_000)


def asks(embedder, inputs, on_cancel=lambda cancel: None):
    """Ask on another thread; returns a queue that gets the vectors or the exception."""
    answers = queue.Queue()

    def ask():
        try:
            answers.put(embedder.embed(inputs, on_cancel)[0].ravel().tolist())
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    return answers


def next_slice(encoder):
    return encoder.slices.get(timeout=HANG_GUARD_S)


def test_texts_of_similar_length_share_a_slice_of_limited_size(scripted, encoder):
    encoder.go_on.release(100)

    answer = asks(scripted, ["x" * 100, "x", "x" * 300, "x" * 90, "xx"])

    assert answer.get(timeout=HANG_GUARD_S) == [100, 1, 300, 90, 2]
    slices = [next_slice(encoder) for _ in range(encoder.slices.qsize())]
    assert sorted(map(sorted, slices)) == [[1, 2], [90, 100], [300]]


def test_a_small_job_does_not_wait_for_a_large_one(scripted, encoder):
    large = asks(scripted, ["x" * 200] * 50)
    next_slice(encoder)
    small = asks(scripted, ["abc"])

    seen = []
    while [3] not in seen:
        encoder.go_on.release()
        seen.append(next_slice(encoder))

    assert len(seen) <= 4
    encoder.go_on.release(100)
    assert small.get(timeout=HANG_GUARD_S) == [3]
    assert large.get(timeout=HANG_GUARD_S) == [200] * 50


def test_a_job_whose_client_has_gone_ends_early(scripted, encoder):
    hang_ups = queue.Queue()
    left = asks(scripted, ["x" * 200] * 50, hang_ups.put)
    next_slice(encoder)

    hang_ups.get(timeout=HANG_GUARD_S)()
    assert isinstance(left.get(timeout=HANG_GUARD_S), Cancelled)
    stayed = asks(scripted, ["abc"])
    encoder.go_on.release(100)

    assert stayed.get(timeout=HANG_GUARD_S) == [3]
    assert [next_slice(encoder) for _ in range(encoder.slices.qsize())] == [[3]]


def test_a_client_that_has_left_before_its_turn_is_not_waited_for(scripted):
    with pytest.raises(Cancelled):
        scripted.embed(["abc"], lambda cancel: cancel())


def test_too_many_at_once_are_told_to_come_back(scripted, encoder):
    waiting = [asks(scripted, ["abc"]) for _ in range(embedders.MAX_JOBS)]
    next_slice(encoder)
    tick = threading.Event()
    for _ in range(HANG_GUARD_S * 1000):
        if scripted._jobs.qsize() == embedders.MAX_JOBS - 1:
            break
        tick.wait(0.001)

    with pytest.raises(Unavailable, match="32 requests for embeddings") as refused:
        scripted.embed(["abc"])

    assert refused.value.status == 503
    encoder.go_on.release(1000)
    assert all(answers.get(timeout=HANG_GUARD_S) == [3] for answers in waiting)
    assert asks(scripted, ["abcd"]).get(timeout=HANG_GUARD_S) == [4]


def test_an_input_that_upsets_the_model_spoils_nobody_elses_answer(scripted, encoder):
    encoder.go_on.release(100)

    bad = asks(scripted, ["x" * 13]).get(timeout=HANG_GUARD_S)
    good = asks(scripted, ["abc"]).get(timeout=HANG_GUARD_S)

    assert (bad.status, bad.code) == (500, "internal_error")
    assert "diary" not in bad.message
    assert good == [3]


def test_a_model_that_cannot_be_loaded_is_tried_again_at_the_next_question(encoder):
    tries = queue.Queue()

    def load():
        tries.put(threading.current_thread())
        if tries.qsize() == 1:
            raise FileNotFoundError("models/encoder is not there")
        return encoder

    embedder = Embedder(load)
    encoder.go_on.release(100)

    first, second = (asks(embedder, ["abc"]).get(timeout=HANG_GUARD_S) for _ in range(2))

    assert isinstance(first, Unavailable)
    assert first.message == "the embedding model could not be loaded; the log tells why"
    assert second == [3]
    assert encoder.threads == {tries.get_nowait()}
