"""Train the routing classifier from the repository's rows and write weights/: `python -m training.train`.

1 rows, 2 encoder and head in two steps: first for breadth, then on what separate authors wrote as strangers
would, 3 lexical reader, 4 weights. The few numbers that mix the readers come from calibration.json. They are
set with the rows of authors who were left out (`python -m training.evaluate --leave-out authors`): rows that
were trained on cannot show how sure to be.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine import blas, models_dir
from engine.router_model import LABELS, WEIGHTS_DIR, Reading, lexical_features, shape, token_sequence
from training import data, lexical
from training.progress import Progress, bar

if TYPE_CHECKING:  # MLX may be imported only after blas.load()
    from engine.encoder import Encoder
    from training.tuning import Pace, Tuned

CALIBRATION = Path(__file__).resolve().parent / "calibration.json"
SEED = 1
SHAPE_SHARE = 0.3  # the outer shape is scaled to this spread, so that it counts less than the pooled states
PRIOR = {"MODERATE": 0.5, "COMPLEX": 0.25, "ENRICH": 0.25}
TEMPER = 0.4  # a source with ten times the rows gets four times the weight
HAND_SHARE = 0.5  # of the second step's weight, for the authors' rows
NOISY_SOURCES = {"nq-open": 0.5, "hwu64": 0.8}  # a tenth of their labels or more are wrong
# These too in the first step; in the second they must hold their own against the authors.
NOISY_AT_FIRST = {"arena-hard-v2": 0.6, "wildchat-hard-ru": 0.6, **NOISY_SOURCES}


@dataclass(frozen=True)
class Features:
    """What the two readers see of some rows."""

    sequences: list[tuple[list[int], int]]
    shapes: np.ndarray  # unscaled
    lexical: list[tuple[np.ndarray, np.ndarray]]
    labels: np.ndarray

    @classmethod
    def of(cls, rows: list[data.Row], token_ids: Callable[[str], list[int]]) -> "Features":
        """token_ids: the encoder's word pieces of a text."""
        readings = [Reading.of(list(row.turns)) for row in rows]
        return cls(
            [token_sequence(reading, token_ids) for reading in readings],
            np.stack([shape(reading) for reading in readings]),
            [lexical_features(reading) for reading in readings],
            np.array([LABELS.index(row.label) for row in rows]),
        )


@dataclass(frozen=True)
class Scaling:
    """How the outer shape's numbers are brought to one scale."""

    mean: np.ndarray
    scale: np.ndarray

    def of(self, shapes: np.ndarray) -> np.ndarray:
        """Raw shapes, (rows, numbers), as the head reads them."""
        scaled: np.ndarray = ((shapes - self.mean) / self.scale).astype(np.float32)
        return scaled


@dataclass(frozen=True)
class Trained:
    """The two readers, before they are mixed."""

    tuned: "Tuned"
    scaling: Scaling
    lexical_weight: np.ndarray
    lexical_bias: np.ndarray

    def logits(self, features: Features) -> tuple[np.ndarray, np.ndarray]:
        """The logits of each reader by itself: by meaning and by letter, (rows, labels) each."""
        by_letter = lexical.Sparse(features.lexical).times(self.lexical_weight) + self.lexical_bias
        return self.tuned.logits(features.sequences, self.scaling.of(features.shapes)), by_letter


def row_weights(rows: list[data.Row], noisy: dict[str, float] = NOISY_AT_FIRST) -> np.ndarray:
    """How much each row counts: manners tempered against each other, labels brought to PRIOR; 1 on average.

    A manner is a source of the pool or a kind of written rows: as one source, those would drown among twenty.
    The authors' rows have no manner: each counts alike, and together they make HAND_SHARE.
    noisy: how much a row counts of a source whose labels are often wrong.
    """
    manners = [(row.kind if row.source == data.WRITTEN else row.source, row.label) for row in rows]
    counts, by_hand = Counter(manners), np.array([row.source in data.AUTHORS for row in rows])
    tempered = np.array([counts[manner] ** -TEMPER for manner in manners])
    weights = tempered * np.array([noisy.get(row.source, 1.0) for row in rows])
    if by_hand.any() and not by_hand.all():
        weights[by_hand] = HAND_SHARE / by_hand.sum()
        weights[~by_hand] *= (1 - HAND_SHARE) / weights[~by_hand].sum()
    for label, share in PRIOR.items():
        of_label = np.array([row.label == label for row in rows])
        weights[of_label] *= share / weights[of_label].sum()
    per_row: np.ndarray = (weights * len(rows)).astype(np.float32)
    return per_row


@dataclass(frozen=True)
class Begun:
    """An encoder with its head between the two steps, and how its shapes are scaled."""

    tuned: "Tuned"
    scaling: Scaling


def begin(first: list[data.Row], encoder: "Encoder", progress: Callable[[str], Progress]) -> Begun:
    """Train encoder and head on the first step's rows. progress: makes one out of a title."""
    from training import tuning

    features = Features.of(first, encoder.token_ids)
    begun = untrained(features.shapes, encoder)
    pace = tuning.Pace(epochs=2, body=5e-5, head=2e-3)
    return Begun(_tuned(begun, features, row_weights(first), pace, progress("breadth")), begun.scaling)


def untrained(shapes: np.ndarray, encoder: "Encoder") -> Begun:
    """The published encoder, and the scaling that suits some rows' raw shapes."""
    from training import tuning

    return Begun(
        tuning.Tuned.untrained(encoder.weights, shapes.shape[1]),
        Scaling(shapes.mean(axis=0), (shapes.std(axis=0) + 1e-6) / SHAPE_SHARE),
    )


def finish(
    begun: Begun,
    first: list[data.Row],
    second: list[data.Row],
    encoder: "Encoder",
    progress: Callable[[str], Progress],
) -> Trained:
    """Train what was begun on the second step's rows, and the lexical reader on the rows of both."""
    from training import tuning

    features, weights = Features.of(second, encoder.token_ids), row_weights(second, NOISY_SOURCES)
    pace = tuning.Pace(epochs=2, body=6e-5, head=1e-3)
    tuned = _tuned(begun, features, weights, pace, progress("by hand"))
    of_first = [lexical_features(Reading.of(list(row.turns))) for row in first]
    labels = np.array([LABELS.index(row.label) for row in first + second])
    halves = np.concatenate([row_weights(first) / len(first), weights / len(second)]) if first else weights
    by_letter = lexical.train(of_first + features.lexical, labels, halves, progress("lexical"))
    return Trained(tuned, begun.scaling, *by_letter)


def _tuned(
    begun: Begun, features: Features, weights: np.ndarray, pace: "Pace", progress: Progress
) -> "Tuned":
    from training import tuning

    return tuning.train(
        begun.tuned,
        features.sequences,
        begun.scaling.of(features.shapes),
        features.labels,
        weights,
        pace,
        SEED,
        progress,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Train the routing classifier and write its weights (under half an hour on two cores)."
    )
    target = "folder for router.npz and router.json (default: weights/)"
    parser.add_argument("--out", type=Path, default=WEIGHTS_DIR, help=target)
    out = parser.parse_args().out
    blas.load()
    from engine.encoder import FOLDER, Encoder
    from training import packing

    encoder = Encoder(models_dir() / FOLDER)
    first = data.first_step()
    trained = finish(begin(first, encoder, bar), first, data.second_step(), encoder, bar)
    packing.write(out, trained, encoder.weights, json.loads(CALIBRATION.read_text()))


if __name__ == "__main__":
    main()
