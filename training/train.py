"""Train the routing classifier from the repository's rows and write weights/: `python -m training.train`.

1 rows, 2 lexical reader, 3 encoder and head, 4 weights. The few numbers that mix the readers come from calibration.json, set with rows of sources
that were left out (`python -m training.evaluate --leave-out`): rows that were trained on cannot tell how sure to be.
"""

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine import blas, models_dir
from engine.router_model import LABELS, WEIGHTS_DIR, Reading, lexical_features, shape, token_sequence
from training import data, lexical

CALIBRATION = Path(__file__).resolve().parent / "calibration.json"
SEED = 1
SHAPE_SHARE = 0.3  # the outer shape in units a third as large as its spread, so that it counts less than the pooled states
PRIOR = {"MODERATE": 0.5, "COMPLEX": 0.25, "ENRICH": 0.25}
TEMPER = 0.4  # a source with ten times the rows gets four times the weight
NOISY_SOURCES = {"arena-hard-v2": 0.6, "nq-open": 0.6, "wildchat-hard-ru": 0.6, "hwu64": 0.8}  # a tenth to a fifth of their labels are wrong


@dataclass(frozen=True)
class Features:
    """What the two readers see of some rows."""

    sequences: list[tuple[list[int], int]]
    shapes: np.ndarray
    lexical: list[tuple[np.ndarray, np.ndarray]]
    labels: np.ndarray

    @classmethod
    def of(cls, rows: list[data.Row], token_ids) -> "Features":
        readings = [Reading.of(list(row.turns)) for row in rows]
        return cls(
            [token_sequence(reading, token_ids) for reading in readings],
            np.stack([shape(reading) for reading in readings]),
            [lexical_features(reading) for reading in readings],
            np.array([LABELS.index(row.label) for row in rows]),
        )


@dataclass(frozen=True)
class Trained:
    """The two readers, before they are mixed."""

    tuned: object  # training.tuning.Tuned; that module imports MLX
    shape_mean: np.ndarray
    shape_scale: np.ndarray
    lexical_weight: np.ndarray
    lexical_bias: np.ndarray

    def logits(self, features: Features) -> tuple[np.ndarray, np.ndarray]:
        """What each reader says by itself: by meaning and by letter, (rows, labels) each."""
        shapes = ((features.shapes - self.shape_mean) / self.shape_scale).astype(np.float32)
        by_letter = lexical.Sparse(features.lexical).times(self.lexical_weight) + self.lexical_bias
        return self.tuned.logits(features.sequences, shapes), by_letter


def row_weights(rows: list[data.Row]) -> np.ndarray:
    """How much each row counts: manners tempered against each other within a label, labels brought to PRIOR; 1 on average.

    A manner is a source of the pool or a kind of written rows: as one source, those would drown among twenty.
    """
    manners = [(row.kind if row.source == data.WRITTEN else row.source, row.label) for row in rows]
    counts = Counter(manners)
    weights = np.array([counts[manner] ** -TEMPER * NOISY_SOURCES.get(row.source, 1.0) for row, manner in zip(rows, manners, strict=True)])
    for label, share in PRIOR.items():
        of_label = np.array([row.label == label for row in rows])
        weights[of_label] *= share / weights[of_label].sum()
    return (weights * len(rows)).astype(np.float32)


def fit(rows: list[data.Row], encoder, progress) -> Trained:
    """Train both readers on rows. progress: title -> a function of (step, of how many, loss)."""
    from training import tuning

    features, weights = Features.of(rows, encoder.token_ids), row_weights(rows)
    mean, scale = features.shapes.mean(axis=0), (features.shapes.std(axis=0) + 1e-6) / SHAPE_SHARE
    shapes = ((features.shapes - mean) / scale).astype(np.float32)
    lexical_weight, lexical_bias = lexical.train(features.lexical, features.labels, weights, progress("lexical"))
    tuned = tuning.train(encoder.weights, features.sequences, shapes, features.labels, weights, SEED, progress("encoder"))
    return Trained(tuned, mean, scale, lexical_weight, lexical_bias)


def bar(title: str):
    """A progress line for `title` on stderr, redrawn in place: share, loss and the time left."""
    started = time.monotonic()

    def show(step: int, steps: int, loss: float) -> None:
        left_s = (time.monotonic() - started) / step * (steps - step)
        filled = 30 * step // steps
        end = "\n" if step == steps else ""
        print(f"\r{title:8} [{'#' * filled:30}] {step}/{steps}  loss {loss:.3f}  {left_s:4.0f} s left ", end=end, file=sys.stderr, flush=True)

    return show


def main() -> None:
    options = argparse.ArgumentParser(description="Train the routing classifier and write its weights (about 20 minutes on two cores).")
    options.add_argument("--out", type=Path, default=WEIGHTS_DIR, help="folder for router.npz and router.json (default: weights/)")
    out = options.parse_args().out
    blas.load()
    from engine.encoder import FOLDER, Encoder
    from training import packing

    encoder = Encoder(models_dir() / FOLDER)
    trained = fit(data.training_rows(), encoder, bar)
    packing.write(out, trained, encoder.weights, json.loads(CALIBRATION.read_text()))


if __name__ == "__main__":
    main()
