"""The routing classifier's model: the turns of a conversation in, a probability per decision out.

Two readers read the last user turn in the context of the two turns before it: MiniLM (engine.encoder) with a
trained head, and a lexical one, a linear model over hashed characters and words, which knows no meaning but
reads every script. Their outputs are mixed by learned weights and calibrated. Text with many letters that
English does not have has weights of its own: there the lexical reader counts for more, since MiniLM's
vocabulary is English.

It knows nothing about routes, rules, thresholds or threads: one owner thread calls it, and
routing/classifier.py decides with what it returns. What it was trained on and where it fails:
docs/MODEL_CARD.md. The same functions read the rows in training and the turns in service.
"""

import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from engine import blas
from engine.text import encodable

if TYPE_CHECKING:  # the optional engine
    import mlx.core as mx

    from engine.encoder import Weights

WEIGHTS_DIR = Path(__file__).resolve().parent.parent / "weights"
LABELS = ("MODERATE", "COMPLEX", "ENRICH")

Turn = tuple[str, str]  # role, text
TokenIds = Callable[[str], list[int]]  # text -> word pieces
Floats = npt.NDArray[np.float32]

# Time is linear in tokens, and a decision rarely hides in the middle: what is read of a conversation.
HEAD_CHARS, TAIL_CHARS, BEFORE_CHARS = 700, 300, 400
HEAD_TOKENS, TAIL_TOKENS = 64, 24
BEFORE_USER_TOKENS, BEFORE_ASSISTANT_TOKENS = 24, 16

LEXICAL_BUCKETS = 1 << 18
LONGEST_CHARACTER_GRAM = 5
BEFORE_WEIGHT = 0.5  # a turn before the last counts half in the lexical reading
SCRIPTS = ("english", "foreign")  # the two mixtures, in the order of `is_foreign`
# Of the last turn's characters, from which its mixture is that for other scripts and accents.
FOREIGN_SHARE = 0.01
_BASE = np.uint32(0x01000193)
_WORD = re.compile(r"\w+|[^\w\s]")
_CODE = re.compile(r"[{}();=<>\[\]_|&$#\\/]")


@dataclass(frozen=True)
class Reading:
    """What the model reads of one conversation.

    Its last turn, cut, and the user's and the assistant's turn right before it.
    """

    last: str
    before_user: str
    before_assistant: str
    last_chars: int
    turns: int

    @classmethod
    def of(cls, turns: list[Turn]) -> "Reading":
        """turns: (role, text), oldest first; the last one is classified.

        An empty conversation reads as an empty turn.
        """
        last = turns[-1][1].strip() if turns else ""
        before = {"user": "", "assistant": ""}
        for role, text in turns[:-1][-2:]:
            before["user" if role == "user" else "assistant"] = _sound(text[:BEFORE_CHARS])
        cut = last if len(last) <= HEAD_CHARS + TAIL_CHARS else f"{last[:HEAD_CHARS]} … {last[-TAIL_CHARS:]}"
        return cls(_sound(cut), before["user"], before["assistant"], len(last), len(turns))


def _sound(text: str) -> str:
    """The text without lone surrogates and null bytes, which JSON may carry and no tokenizer accepts."""
    return encodable(text).replace("\0", " ")


def token_sequence(reading: Reading, token_ids: TokenIds) -> tuple[list[int], int]:
    """The encoder's input `[CLS] last [SEP] before [SEP]`, and how many of its tokens are the last turn's."""
    from engine.encoder import CLS, SEP  # the optional engine: imported once the owner has loaded a BLAS

    last = token_ids(reading.last)
    if len(last) > HEAD_TOKENS + TAIL_TOKENS:
        last = last[:HEAD_TOKENS] + last[-TAIL_TOKENS:]
    sequence = [CLS, *last, SEP]
    own = len(sequence)
    if reading.before_user or reading.before_assistant:
        user, assistant = token_ids(reading.before_user), token_ids(reading.before_assistant)
        sequence += [*user[:BEFORE_USER_TOKENS], SEP, *assistant[:BEFORE_ASSISTANT_TOKENS], SEP]
    return sequence, own


def shape(reading: Reading) -> Floats:
    """A dozen numbers about the last turn's outer shape, unscaled."""
    text = reading.last
    chars = max(1, len(text))
    return np.array(
        [
            np.log1p(reading.last_chars),
            np.log1p(text.count("\n")),
            np.log1p(len(text.split())),
            float("```" in text),
            sum(map(str.isdigit, text)) / chars,
            sum(character > "\x7f" for character in text) / chars,
            len(_CODE.findall(text)) / chars,
            float("http" in text or "www." in text),
            float("?" in text or "？" in text),
            np.log1p(text.count("\\") + text.count("$")),
            np.log1p(reading.turns),
            float(bool(reading.before_user)),
        ],
        np.float32,
    )


def is_foreign(reading: Reading) -> bool:
    """Whether the last turn has letters beyond ASCII in more than a stray place.

    Italian or Dutch without accents passes for English.
    """
    foreign = sum(character > "\x7f" and character.isalpha() for character in reading.last)
    return foreign > FOREIGN_SHARE * len(reading.last)


def lexical_features(reading: Reading) -> tuple[npt.NDArray[np.int64], Floats]:
    """Buckets and weights of the reading's words, word pairs and character grams.

    The weights together are a vector of length 1.
    """
    parts = [
        (reading.last, 0, 1.0),
        (reading.before_user, 1, BEFORE_WEIGHT),
        (reading.before_assistant, 2, BEFORE_WEIGHT),
    ]
    hashed = [(_hashes(text, salt), weight) for text, salt, weight in parts if text or salt == 0]
    buckets = np.concatenate([hashes % LEXICAL_BUCKETS for hashes, _ in hashed])
    weights = np.concatenate([np.full(len(hashes), weight, np.float32) for hashes, weight in hashed])
    buckets, owner = np.unique(buckets, return_inverse=True)
    counts = np.bincount(owner, weights)
    strength = np.where(counts > 1, 1 + np.log(np.maximum(counts, 1)), counts)
    return buckets.astype(np.int64), (strength / np.linalg.norm(strength)).astype(np.float32)


def _hashes(text: str, salt: int) -> npt.NDArray[np.uint32]:
    """32-bit hashes of all grams of one text: the same on every machine, unlike Python's own."""
    words = _WORD.findall(text.lower())
    pairs = zip(["^", *words], [*words, "$"], strict=True)
    grams = [f"{salt}{word}" for word in words] + [f"{salt}{first} {second}" for first, second in pairs]
    of_words = np.array([zlib.crc32(gram.encode()) for gram in grams], np.uint32)
    points = np.frombuffer(f"  {' '.join(words)}  ".encode("utf-32-le"), np.uint32)
    points = np.where((points >= 48) & (points < 58), np.uint32(48), points)
    rolling, of_characters = points + np.uint32(salt * 7919), []
    for size in range(2, LONGEST_CHARACTER_GRAM + 1):
        rolling = (rolling[:-1] * _BASE) ^ points[size - 1 :]
        of_characters.append((rolling ^ (rolling >> np.uint32(15))) * np.uint32(0x85EBCA6B) + np.uint32(size))
    mixed = np.concatenate([of_words, *of_characters])
    hashes: npt.NDArray[np.uint32] = mixed ^ (mixed >> np.uint32(13))
    return hashes


class RouterModel:
    """The trained model.

    Not for several threads at once: whoever owns it calls it from one thread at a time.
    """

    # On a CPU several cost as much together as one after the other, and the first would wait for the last.
    at_once = 1 if blas.device() == "cpu" else 8

    def __init__(self, token_ids: TokenIds, weights: "Weights", arrays: dict[str, Floats]) -> None:
        """weights: the tuned encoder's; arrays: the rest of router.npz."""
        self._token_ids, self._weights, self._arrays = token_ids, weights, arrays

    @classmethod
    def load(cls, models_dir: Path, weights_dir: Path = WEIGHTS_DIR) -> "RouterModel":
        """Read the encoder from models_dir and the trained parts from weights_dir, in well under a second.

        Call engine.blas.load() first: this imports MLX. Raises FileNotFoundError when either is missing,
        ValueError when the encoder is not the one the weights were trained on.
        """
        from engine.encoder import FOLDER, Encoder, fingerprint

        meta = json.loads((weights_dir / "router.json").read_text())
        folder = Path(models_dir) / FOLDER
        if tuple(meta["labels"]) != LABELS:
            raise ValueError(f"{weights_dir}/router.json: labels {meta['labels']}, expected {list(LABELS)}")
        encoder = Encoder(folder)
        if meta["encoder"] != fingerprint(encoder.weights):
            reason = "not the encoder that weights/router.npz was trained on; prepare it again"
            raise ValueError(f"{folder}: {reason}")
        with np.load(weights_dir / "router.npz") as stored:
            arrays = {name: stored[name].astype(np.float32) for name in stored.files}
        return cls(encoder.token_ids, _tuned(encoder.weights, arrays), arrays)

    def probabilities(self, turns: list[Turn]) -> dict[str, float]:
        """How likely each label is for the last turn, read in the context of those before it.

        The values sum to 1. turns: (role, text), oldest first. Any text is accepted, of any length; about 130
        tokens of it are read.
        """
        return self.batch([turns])[0]

    def batch(self, conversations: list[list[Turn]]) -> list[dict[str, float]]:
        """`probabilities` of several conversations in one forward pass; [] for none."""
        if not conversations:
            return []
        logits = self.logits([Reading.of(turns) for turns in conversations])
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        return [dict(zip(LABELS, map(float, row), strict=True)) for row in shares]

    def logits(self, readings: list[Reading]) -> npt.NDArray[np.float64]:
        """Calibrated logits, (readings, labels): what `probabilities` takes the softmax of."""
        arrays = self._arrays
        sequences = [token_sequence(reading, self._token_ids) for reading in readings]
        pooled = np.array(pooled_pair(self._weights, sequences))
        shapes = np.stack([shape(reading) for reading in readings]) - arrays["shape.mean"]
        shapes = shapes / arrays["shape.scale"]
        by_meaning = np.concatenate([pooled, shapes], axis=1) @ arrays["head.weight"] + arrays["head.bias"]
        by_letter = np.stack([self._lexical_logits(reading) for reading in readings])
        mixture = [int(is_foreign(reading)) for reading in readings]
        mixed = (
            by_meaning * arrays["mix.meaning"][mixture, None]
            + by_letter * arrays["mix.letter"][mixture, None]
            + arrays["mix.bias"][mixture]
        )
        return mixed.astype(np.float64)

    def _lexical_logits(self, reading: Reading) -> Floats:
        buckets, weights = lexical_features(reading)
        logits: Floats = weights @ self._arrays["lexical.weight"][buckets] + self._arrays["lexical.bias"]
        return logits


def _tuned(published: "Weights", arrays: dict[str, Floats]) -> "Weights":
    """The encoder's weights with the trained change added, which is removed from `arrays`.

    The change is stored as small whole numbers with a scale per column.
    """
    import mlx.core as mx

    weights = dict(published)
    for name in [key.removeprefix("change.") for key in arrays if key.startswith("change.")]:
        change = arrays.pop(f"change.{name}") * arrays.pop(f"scale.{name}", 1)
        weights[name] = published[name] + mx.array(change)
    mx.eval(weights)  # lazy arrays may not cross to another thread
    return weights


def pooled_pair(weights: "Weights", sequences: list[tuple[list[int], int]]) -> "mx.array":
    """The mean hidden states of each reading's last turn and of the turns before it, side by side.

    Zeros stand for turns that are not there. sequences: what `token_sequence` makes of each reading. The
    result is differentiable in the weights.
    """
    import mlx.core as mx

    from engine.encoder import hidden_states, masked_mean, padded

    ids, mask = padded([sequence for sequence, _ in sequences])
    position = mx.arange(ids.shape[1])[None, :]
    own = mask & (position < mx.array([own for _, own in sequences])[:, None])
    before = mask & ~own
    even = len({len(sequence) for sequence, _ in sequences}) == 1
    states = hidden_states(weights, ids, before.astype(mx.int32), None if even else mask)
    return mx.concatenate([masked_mean(states, own), masked_mean(states, before)], axis=1)
