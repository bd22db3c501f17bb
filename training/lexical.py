"""The lexical reader's training: a linear softmax model over hashed words and characters, in NumPy alone."""

import numpy as np

from engine.router_model import LABELS, LEXICAL_BUCKETS
from training.progress import Progress

ROUNDS, STEP, DECAY = 30, 0.5, 2e-6  # twice as many know the authors by heart
FIRST_MOMENT, SECOND_MOMENT = 0.9, 0.99

Features = list[tuple[np.ndarray, np.ndarray]]  # per row: buckets, weights


class Sparse:
    """Rows of (buckets, weights) as one long list, to multiply with a bucket-by-label matrix."""

    def __init__(self, features: Features):
        self._starts = np.concatenate([[0], np.cumsum([len(buckets) for buckets, _ in features])[:-1]])
        self._buckets = np.concatenate([buckets for buckets, _ in features])
        self._weights = np.concatenate([weights for _, weights in features])
        self._row = np.repeat(np.arange(len(features)), [len(buckets) for buckets, _ in features])

    def times(self, matrix: np.ndarray) -> np.ndarray:
        products: np.ndarray = np.add.reduceat(
            matrix[self._buckets] * self._weights[:, None], self._starts, axis=0
        )
        return products

    def transposed_times(self, rows: np.ndarray) -> np.ndarray:
        columns = [
            np.bincount(self._buckets, self._weights * column[self._row], minlength=LEXICAL_BUCKETS)
            for column in rows.T
        ]
        return np.stack(columns, axis=1).astype(np.float32)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return shares


def train(
    features: Features, labels: np.ndarray, weights: np.ndarray, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (LEXICAL_BUCKETS, labels) and bias of the lexical reader, by Adam on all rows at once.

    labels: indices into LABELS; weights: how much each row counts. progress: called after each round.
    """
    rows, wanted = Sparse(features), np.eye(len(LABELS), dtype=np.float32)[labels]
    share = (weights / weights.sum())[:, None].astype(np.float32)
    parameters = [np.zeros((LEXICAL_BUCKETS, len(LABELS)), np.float32), np.zeros(len(LABELS), np.float32)]
    moments = [(np.zeros_like(parameter), np.zeros_like(parameter)) for parameter in parameters]
    for number in range(1, ROUNDS + 1):
        shares = softmax(rows.times(parameters[0]) + parameters[1])
        error = (shares - wanted) * share
        gradients = rows.transposed_times(error) + DECAY * parameters[0], error.sum(axis=0)
        step = STEP * 0.5 * (1 + np.cos(np.pi * number / ROUNDS))
        for parameter, gradient, (first, second) in zip(parameters, gradients, moments, strict=True):
            first += (1 - FIRST_MOMENT) * (gradient - first)
            second += (1 - SECOND_MOMENT) * (gradient**2 - second)
            pace = np.sqrt(second / (1 - SECOND_MOMENT**number)) + 1e-7
            parameter -= step * (first / (1 - FIRST_MOMENT**number)) / pace
        progress(number, ROUNDS, float(-(share * wanted * np.log(shares + 1e-9)).sum()))
    return parameters[0], parameters[1]
