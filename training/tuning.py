"""Fine-tuning of the encoder and its head in MLX: gentle steps, the embeddings left as they are.

The embeddings stay frozen so that what goes into the repository is the change of six small layers, and so
that words which no training row holds keep their meaning.
"""

from dataclasses import dataclass

import mlx.core as mx
import mlx.optimizers as optimizers
import numpy as np

from engine.router_model import LABELS, pooled_pair
from training.progress import Progress

WARM_UP_SHARE = 0.06
LABEL_SMOOTHING = 0.05
BATCH_TOKENS, BATCH_ROWS = 1024, 32  # larger batches leave the cache and are slower per token
SORTED_ROWS = 2048  # rows of about the same length are batched together, out of this many drawn at random
FROZEN = ("word_embeddings.weight", "position_embeddings.weight")

Sequences = list[tuple[list[int], int]]


@dataclass(frozen=True)
class Pace:
    """How often the rows are read, and the largest step of each part."""

    epochs: int
    body: float
    head: float


@dataclass(frozen=True)
class Tuned:
    """A tuned encoder's weights, whole, and the head on its pooled states."""

    weights: dict[str, mx.array]
    head_weight: np.ndarray
    head_bias: np.ndarray

    @classmethod
    def untrained(cls, published: dict[str, mx.array], shape_numbers: int) -> "Tuned":
        """The published encoder under a head of zeros."""
        inputs = 2 * published["LayerNorm.weight"].size + shape_numbers
        return cls(published, np.zeros((inputs, len(LABELS)), np.float32), np.zeros(len(LABELS), np.float32))

    def logits(self, sequences: Sequences, shapes: np.ndarray) -> np.ndarray:
        """Logits of many rows, (rows, labels); in batches of similar length."""
        logits = np.zeros((len(sequences), len(LABELS)), np.float32)
        order = np.argsort([len(sequence) for sequence, _ in sequences], kind="stable")
        for start in range(0, len(order), BATCH_ROWS):
            rows = order[start : start + BATCH_ROWS]
            pooled = np.array(pooled_pair(self.weights, [sequences[row] for row in rows]))
            logits[rows] = np.concatenate([pooled, shapes[rows]], axis=1) @ self.head_weight + self.head_bias
        return logits


def batches(lengths: np.ndarray, rng: np.random.Generator) -> list[list[int]]:
    """One epoch's batches of row numbers: of similar length, in random order."""
    drawn, found = rng.permutation(len(lengths)), []
    for start in range(0, len(drawn), SORTED_ROWS):
        some = drawn[start : start + SORTED_ROWS]
        batch: list[int] = []
        for row in some[np.argsort(lengths[some], kind="stable")]:
            batch.append(int(row))
            if len(batch) * lengths[row] >= BATCH_TOKENS or len(batch) >= BATCH_ROWS:
                found.append(batch)
                batch = []
        if batch:
            found.append(batch)
    return [found[number] for number in rng.permutation(len(found))]


def train(
    start: Tuned,
    sequences: Sequences,
    shapes: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    pace: Pace,
    seed: int,
    progress: Progress,
) -> Tuned:
    """Tune a copy of `start` on token sequences and their shapes.

    labels: indices into LABELS; weights: how much each row counts. progress: called after each batch.
    """
    rng = np.random.default_rng(seed)
    lengths = np.array([len(sequence) for sequence, _ in sequences])
    parts = {
        "body": {name: array for name, array in start.weights.items() if name not in FROZEN},
        "head": {"weight": mx.array(start.head_weight), "bias": mx.array(start.head_bias)},
    }
    rates = {"body": pace.body, "head": pace.head}
    steppers = {
        part: optimizers.AdamW(rate, betas=[0.9, 0.98], weight_decay=0.01) for part, rate in rates.items()
    }
    frozen = {name: start.weights[name] for name in FROZEN}
    wanted = np.eye(len(LABELS), dtype=np.float32)[labels]
    wanted = wanted * (1 - LABEL_SMOOTHING) + LABEL_SMOOTHING / len(LABELS)
    plan = [batch for _ in range(pace.epochs) for batch in batches(lengths, rng)]

    def loss(parts: dict[str, dict[str, mx.array]], batch: list[int]) -> mx.array:
        pooled = pooled_pair({**frozen, **parts["body"]}, [sequences[row] for row in batch])
        inputs = mx.concatenate([pooled, mx.array(shapes[batch])], axis=1)
        logits = inputs @ parts["head"]["weight"] + parts["head"]["bias"]
        log_shares = logits - mx.logsumexp(logits, axis=1, keepdims=True)
        likelihood = (mx.array(wanted[batch]) * log_shares).sum(axis=1)
        return -(mx.array(weights[batch]) * likelihood).sum() / len(batch)

    loss_and_gradients = mx.value_and_grad(loss)
    smooth_loss = None
    for number, batch in enumerate(plan):
        share = min(1.0, (number + 1) / (WARM_UP_SHARE * len(plan))) * max(0.02, 1 - number / len(plan))
        value, gradients = loss_and_gradients(parts, batch)
        gradients, _ = optimizers.clip_grad_norm(gradients, 1.0)
        for part, stepper in steppers.items():
            stepper.learning_rate = rates[part] * share
            parts[part] = stepper.apply_gradients(gradients[part], parts[part])
        mx.eval(parts, [stepper.state for stepper in steppers.values()], value)
        loss_now = float(np.array(value))
        smooth_loss = loss_now if smooth_loss is None else 0.98 * smooth_loss + 0.02 * loss_now
        progress(number + 1, len(plan), smooth_loss)
    head = {name: np.array(array) for name, array in parts["head"].items()}
    return Tuned({**frozen, **parts["body"]}, head["weight"], head["bias"])
