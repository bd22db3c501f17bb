"""The routing classifier's model and its encoder, on the real weights."""

import json
import subprocess
import sys

import numpy as np
import pytest

from engine import models_dir
from engine.router_model import LABELS, WEIGHTS_DIR, Reading, RouterModel, is_foreign, lexical_features, shape
from tests.support.server import ROOT


def said(*texts):
    """A conversation in which user and assistant take turns, the user last."""
    roles = ["user", "assistant"] if len(texts) % 2 else ["assistant", "user"]
    return [(roles[position % 2], text) for position, text in enumerate(texts)]


def decision(probabilities):
    return max(probabilities, key=probabilities.get)


@pytest.fixture(scope="module")
def models():
    folder = models_dir()
    if not (folder / "all-minilm-l6-v2" / "model.safetensors").is_file():
        pytest.skip("the embedded models are not prepared: make run or make test prepares them")
    return folder


@pytest.fixture(scope="module")
def model(models):
    return RouterModel.load(models)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("what's the weather in Oslo tomorrow?", "ENRICH"),
        ("who won the match last night", "ENRICH"),
        ("price of bitcoin right now", "ENRICH"),
        ("write a haiku about autumn leaves", "MODERATE"),
        ("thanks, that was helpful!", "MODERATE"),
        ("write a python function that reverses a string", "MODERATE"),
        (
            "prove that every finitely generated projective module over a local ring is free, "
            "with all details",
            "COMPLEX",
        ),
        (
            "design a geo-replicated payment ledger with exactly-once semantics, failure analysis "
            "and capacity planning",
            "COMPLEX",
        ),
    ],
)
def test_plain_requests_get_their_decision(model, text, expected):
    probabilities = model.probabilities(said(text))

    assert decision(probabilities) == expected


def test_probabilities_cover_the_labels_and_sum_to_one(model):
    probabilities = model.probabilities(said("hello there"))

    assert tuple(probabilities) == LABELS
    assert sum(probabilities.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    "turns",
    [
        [],
        said(""),
        said("   \n\t "),
        said("\ud83d lone \udc00 surrogates"),
        said("null \0 bytes \0"),
        said("🦊🍷👩‍👩‍👧‍👦" * 50),
        said("x" * 100_000),
        said("déjà vu 東京 привет " * 6_000),
        said("a\n" * 50_000, "", "and now?"),
        [("system", "be brief"), ("tool", "{}"), ("user", "why?")],
    ],
    ids=[
        "none",
        "empty",
        "blank",
        "surrogates",
        "nulls",
        "emoji",
        "long word",
        "many scripts",
        "long history",
        "odd roles",
    ],
)
def test_any_text_gets_probabilities(model, turns):
    probabilities = model.probabilities(turns)

    assert sum(probabilities.values()) == pytest.approx(1)


def test_the_same_request_gets_the_same_answer_twice(model):
    turns = said("is the pool open tomorrow?", "I can't say.", "look it up then")

    assert model.probabilities(turns) == model.probabilities(turns)


def test_a_batch_answers_each_conversation_as_it_would_alone(model):
    conversations = [
        said("hi"),
        said("what's the weather", "Sunny.", "and tomorrow?"),
        said("prove it " * 100),
    ]

    together = model.batch(conversations)

    for turns, probabilities in zip(conversations, together, strict=True):
        assert probabilities == pytest.approx(model.probabilities(turns), abs=1e-4)
    assert model.batch([]) == []


def test_the_turn_before_changes_what_a_follow_up_means(model):
    after_weather = model.probabilities(
        said("what's the weather in Rome today?", "24 degrees and sunny.", "and tomorrow?")
    )
    after_proof = model.probabilities(
        said("prove Sylow's theorems in full", "Let G be a group of order p^k m ...", "thanks!")
    )

    assert decision(after_weather) == "ENRICH"
    assert decision(after_proof) == "MODERATE"


def test_only_the_cut_is_read_of_a_long_turn():
    text = "start " + "middle " * 20_000 + "end"

    reading = Reading.of(said(text))

    assert len(reading.last) < 1_100
    assert reading.last.startswith("start") and reading.last.endswith("end")
    assert reading.last_chars == len(text)


def test_two_turns_before_the_last_are_read():
    reading = Reading.of(said("forgotten", "forgotten too", "question", "answer", "and then?"))

    assert (reading.before_user, reading.before_assistant, reading.last, reading.turns) == (
        "question",
        "answer",
        "and then?",
        5,
    )


def test_lexical_features_are_of_length_one_and_the_same_on_every_machine():
    reading = Reading.of(said("Wie spät ist es? 10:42"))

    buckets, weights = lexical_features(reading)

    assert np.linalg.norm(weights) == pytest.approx(1)
    assert len(set(buckets.tolist())) == len(buckets)
    assert int(buckets.sum()) == LEXICAL_SUM


LEXICAL_SUM = 15190992  # as computed once on x86-64; a change of the features needs newly trained weights


@pytest.mark.parametrize(
    "text, foreign",
    [
        ("what's the weather", False),
        ("∑ x² ≤ ½ — “so” it says 🙂", False),
        ("wie spät ist es", True),
        ("который час", True),
        ("今何時ですか", True),
        ("", False),
    ],
)
def test_a_turn_is_foreign_by_its_letters_and_not_by_its_signs(text, foreign):
    assert is_foreign(Reading.of(said(text))) is foreign


def test_shape_is_finite_for_an_empty_text():
    assert np.isfinite(shape(Reading.of([]))).all()


def test_weights_of_another_encoder_are_refused(models, tmp_path):
    meta = json.loads((WEIGHTS_DIR / "router.json").read_text())
    (tmp_path / "router.json").write_text(json.dumps(meta | {"encoder": "another"}))

    with pytest.raises(ValueError, match="not the encoder"):
        RouterModel.load(models, tmp_path)


def test_an_unprepared_encoder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="not prepared"):
        RouterModel.load(tmp_path)


def test_importing_the_model_does_not_import_mlx():
    heavy = "'mlx.core' in sys.modules or 'tokenizers' in sys.modules"
    code = f"import sys; import engine.router_model; sys.exit({heavy})"

    finished = subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT, timeout=60)

    assert finished.returncode == 0


def test_sentence_embeddings_have_the_published_cosines(models):
    from engine.encoder import FOLDER, Encoder

    encoder = Encoder(models / FOLDER)
    texts = [
        "That is a happy person",
        "That is a happy dog",
        "That is a very happy person",
        "Today is a sunny day",
    ]
    embeddings = encoder.embed_sentences([encoder.sentence(text) for text in texts])

    assert (embeddings @ embeddings[0]).tolist() == pytest.approx([1, 0.6945, 0.9429, 0.2569], abs=5e-4)


def test_embedding_no_text_gives_an_empty_array(models):
    from engine.encoder import FOLDER, WIDTH, Encoder

    assert Encoder(models / FOLDER).embed_sentences([]).shape == (0, WIDTH)


def test_a_change_survives_being_stored_in_four_bits(models):
    from training.packing import LEVELS, few_levels

    change = np.random.default_rng(1).normal(size=(64, 48)).astype(np.float32)

    levels, scales = few_levels(change)

    assert np.abs(levels).max() <= LEVELS
    assert np.corrcoef((levels * scales).ravel(), change.ravel())[0, 1] > 0.98
