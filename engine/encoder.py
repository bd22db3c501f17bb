"""The embedded sentence encoder: MiniLM-L6, a BERT of six small layers, as plain MLX arithmetic.

It turns token ids into hidden states and texts into sentence embeddings. The routing classifier and the
embeddings endpoint share it. It deliberately knows nothing about decisions, conversations or HTTP, and it
reads two files of one folder: model.safetensors, tokenizer.json. Importing this module imports MLX; whoever
needs the fast BLAS (engine.blas) loads that first.
"""

import hashlib
import math
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from engine.text import encodable

FOLDER = "all-minilm-l6-v2"
LAYERS, HEADS, WIDTH = 6, 12, 384
LAYER_NORM_EPS = 1e-12
MAX_SENTENCE_TOKENS = 256  # sentence_bert_config.json of the published model
# Of a sentence; more than the first only if they have too few tokens.
FIRST_READ_CHARS, MOST_READ_CHARS = 1 << 12, 1 << 18
LONGEST_WORD_TOKENS = 100  # a longer word is one unknown token
CLS, SEP, PAD = 101, 102, 0
FINGERPRINT_STRIDE = 997
MATRICES = ("qkv", "out", "up", "down")

# MLX computes erf and exp one element at a time on a CPU, where they took two thirds of a forward pass; sums
# and products are vectorised. Phi(x) = 1/2 + x P(x^2) up to |x| = 3.9, least squares: at most 1.5e-4 off in
# GELU. Published cosines stay within 0.001.
GELU_LIMIT = 3.9
GELU_POLYNOMIAL = (
    0.3980860359,
    -0.0648701515,
    0.0089141253,
    -0.0008445878,
    5.12456952e-05,
    -1.77094885e-06,
    2.62809330e-08,
)
# Its derivative.
GELU_DENSITY = tuple((2 * power + 1) * coefficient for power, coefficient in enumerate(GELU_POLYNOMIAL))
EXP_FLOOR = -16.0  # e^-16 of the largest weight is as good as nothing
EXP_SQUARINGS = 4

Weights = dict[str, mx.array]
Embeddings = npt.NDArray[np.float32]  # a row for each text


def read_weights(model_dir: Path) -> Weights:
    """The published weights as float32.

    The three attention projections of each layer are joined into one, `qkv`, and matrices are laid out (in,
    out). That layout is a fifth faster at 30 tokens than multiplying with the transposed one. Raises
    FileNotFoundError when the model has not been prepared.
    """
    path = model_dir / "model.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: the encoder is not prepared")
    arrays: Any = mx.load(str(path))  # its type leaves open what comes for which format
    stored: Weights = {n: array.astype(mx.float32) for n, array in arrays.items() if array.dtype != mx.int64}
    prefix = "embeddings."
    weights = {n.removeprefix(prefix): array for n, array in stored.items() if n.startswith(prefix)}
    for layer in range(LAYERS):
        source = f"encoder.layer.{layer}."
        for kind in ("weight", "bias"):
            parts = ("query", "key", "value")
            attention = [stored[f"{source}attention.self.{part}.{kind}"] for part in parts]
            weights[f"{layer}.qkv.{kind}"] = mx.concatenate(attention, axis=0)
            weights[f"{layer}.out.{kind}"] = stored[f"{source}attention.output.dense.{kind}"]
            weights[f"{layer}.out_norm.{kind}"] = stored[f"{source}attention.output.LayerNorm.{kind}"]
            weights[f"{layer}.up.{kind}"] = stored[f"{source}intermediate.dense.{kind}"]
            weights[f"{layer}.down.{kind}"] = stored[f"{source}output.dense.{kind}"]
            weights[f"{layer}.down_norm.{kind}"] = stored[f"{source}output.LayerNorm.{kind}"]
        for matrix in MATRICES:
            weights[f"{layer}.{matrix}.weight"] = mx.contiguous(weights[f"{layer}.{matrix}.weight"].T)
    return weights


def hidden_states(weights: Weights, ids: mx.array, segments: mx.array, mask: mx.array | None) -> mx.array:
    """The last layer's hidden states, (batch, tokens, WIDTH).

    ids and segments: (batch, tokens) integers; mask: (batch, tokens) of True for real tokens, None when
    nothing is padded, which is quicker.
    """
    states = weights["word_embeddings.weight"][ids] + weights["token_type_embeddings.weight"][segments]
    states = states + weights["position_embeddings.weight"][: ids.shape[1]]
    states = _norm(weights, "LayerNorm", states)
    attention_mask = None if mask is None else mask[:, None, None, :]
    for layer in range(LAYERS):
        attended = _attend(_linear(weights, f"{layer}.qkv", states), attention_mask)
        attended = _linear(weights, f"{layer}.out", attended)
        states = _norm(weights, f"{layer}.out_norm", states + attended)
        widened: Any = _gelu(_linear(weights, f"{layer}.up", states))
        states = _norm(weights, f"{layer}.down_norm", states + _linear(weights, f"{layer}.down", widened))
    return states


def masked_mean(states: mx.array, mask: mx.array) -> mx.array:
    """The mean of the hidden states where mask is True, (batch, WIDTH); zeros where it is True nowhere."""
    weight = mask[..., None].astype(states.dtype)
    return (states * weight).sum(axis=1) / mx.maximum(weight.sum(axis=1), 1.0)


def _linear(weights: Weights, name: str, states: mx.array) -> mx.array:
    return mx.addmm(weights[f"{name}.bias"], states, weights[f"{name}.weight"])


def _norm(weights: Weights, name: str, states: mx.array) -> mx.array:
    return mx.fast.layer_norm(states, weights[f"{name}.weight"], weights[f"{name}.bias"], LAYER_NORM_EPS)


def _horner(coefficients: tuple[float, ...], square: mx.array) -> mx.array:
    value: Any = coefficients[-1]  # a number that the first product makes an array
    for coefficient in coefficients[-2::-1]:
        value = value * square + coefficient
    polynomial: mx.array = value
    return polynomial


@mx.custom_function
def _gelu(states: mx.array) -> mx.array:
    clipped = mx.clip(states, -GELU_LIMIT, GELU_LIMIT)
    return states * (0.5 + clipped * _horner(GELU_POLYNOMIAL, clipped * clipped))


@_gelu.vjp
def _gelu_vjp(states: mx.array, cotangent: mx.array, _: mx.array) -> mx.array:
    """Phi(x) + x phi(x) by two polynomials.

    The derivative that MLX finds by itself keeps a dozen copies of the widest array.
    """
    clipped = mx.clip(states, -GELU_LIMIT, GELU_LIMIT)
    square = clipped * clipped
    density = _horner(GELU_DENSITY, square) * (square < GELU_LIMIT**2)
    return cotangent * (0.5 + clipped * _horner(GELU_POLYNOMIAL, square) + states * density)


@mx.custom_function
def _exp(exponents: mx.array) -> mx.array:
    """e to the power of what is at most zero.

    A Taylor polynomial at a sixteenth of the exponent, squared four times; 1e-4 off at worst.
    """
    small = mx.maximum(exponents, EXP_FLOOR) * 0.5**EXP_SQUARINGS
    power = 1 + small * (1 + small * (1 / 2 + small * (1 / 6 + small * (1 / 24 + small * (1 / 120)))))
    for _ in range(EXP_SQUARINGS):
        power = power * power
    return power


@_exp.vjp
def _exp_vjp(_: mx.array, cotangent: mx.array, power: mx.array) -> mx.array:
    return cotangent * power


def _attend(qkv: mx.array, mask: mx.array | None) -> mx.array:
    batch, tokens, _ = qkv.shape
    query, key, value = (
        part.reshape(batch, tokens, HEADS, -1).swapaxes(1, 2) for part in mx.split(qkv, 3, axis=-1)
    )
    scores = (query * (1 / math.sqrt(WIDTH // HEADS))) @ key.swapaxes(-1, -2)
    if mask is not None:
        scores = mx.where(mask, scores, -1e9)
    shares: Any = _exp(scores - mx.stop_gradient(scores.max(axis=-1, keepdims=True)))
    if mask is not None:
        shares = shares * mask
    attended: mx.array = (shares @ value) / shares.sum(axis=-1, keepdims=True)
    return attended.swapaxes(1, 2).reshape(batch, tokens, WIDTH)


class Encoder:
    """Tokenizer and weights of one prepared folder.

    It holds no state between calls, so one owner thread at a time may use it.
    """

    def __init__(self, model_dir: Path) -> None:
        """Reads about 90 MB. Raises FileNotFoundError when the folder is not prepared."""
        self.weights = read_weights(model_dir)
        mx.eval(self.weights)  # lazy arrays may not cross to another thread
        self._tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def token_ids(self, text: str) -> list[int]:
        """The word pieces of the whole text, without [CLS] and [SEP].

        Cut long texts first: time is linear in their length.
        """
        ids: list[int] = self._tokenizer.encode(encodable(text), add_special_tokens=False).ids
        return ids

    @property
    def vocabulary(self) -> int:
        """How many word pieces there are; their ids count from 0."""
        return self.weights["word_embeddings.weight"].shape[0]

    def sentence(self, text: str) -> list[int]:
        """[CLS], the text's first word pieces and [SEP], at most 256 together.

        What is beyond them is not read, as in the published model.
        """
        wanted, chars = MAX_SENTENCE_TOKENS - 2, FIRST_READ_CHARS
        most_chars = min(len(text), MOST_READ_CHARS)
        ids = self.token_ids(text[:chars])
        # A word that was cut short counts as other tokens than the whole one.
        while len(ids) < wanted + LONGEST_WORD_TOKENS and chars < most_chars:
            chars *= 8
            ids = self.token_ids(text[:chars])
        return [CLS, *ids[:wanted], SEP]

    def embed_sentences(self, sentences: list[list[int]]) -> Embeddings:
        """Normalised sentence embeddings, (sentences, WIDTH), as published for all-MiniLM-L6-v2: mean pooled.

        sentences: word pieces, as `sentence` gives them. Each takes as long as the longest one among them.
        """
        if not sentences:
            return np.zeros((0, WIDTH), np.float32)
        ids, mask = padded(sentences)
        pooled = masked_mean(hidden_states(self.weights, ids, mx.zeros_like(ids), mask), mask)
        return np.array(pooled / mx.maximum(mx.linalg.norm(pooled, axis=1, keepdims=True), 1e-12))


def padded(sequences: list[list[int]]) -> tuple[mx.array, mx.array]:
    """Sequences of different lengths as one (batch, tokens) array of ids and the mask of what is real."""
    longest = max(map(len, sequences))
    ids = np.full((len(sequences), longest), PAD, np.int32)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
    lengths = np.array([len(sequence) for sequence in sequences])
    return mx.array(ids), mx.array(np.arange(longest)[None, :] < lengths[:, None])


def fingerprint(weights: Weights) -> str:
    """A checksum over every thousandth number, a few milliseconds: it tells these weights from any others."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(np.array(weights[name].reshape(-1)[::FINGERPRINT_STRIDE]).tobytes())
    return digest.hexdigest()[:16]
