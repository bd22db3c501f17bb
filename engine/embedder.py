"""Texts in, sentence embeddings out: the embedded MiniLM, asked by many and owned by one thread.

The thread takes turns between those who ask, a slice of a few dozen milliseconds each. So a large job does
not hold up a small one, and ends early when its client has gone. The thread runs below the priority of
everything else: requests being classified go first. As with the embedded classifier, nothing of MLX exists
before the fork, nor before the first question: whoever never asks for an embedding pays nothing; who does,
some 125 MB. It computes while the classifier's thread does, which MLX bears since each thread has a stream of
its own (0.31.2) as long as no array is shared; seen on a CPU, never run on Metal.

It knows nothing of HTTP or of any API's fields beyond the name `input`, by which it blames.
"""

import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING

from engine.job import Job
from errors import BadRequest, ProxyError, Unavailable

if TYPE_CHECKING:  # both are heavy, and imported late
    import numpy as np

    from engine.encoder import Encoder

MAX_JOBS = 32  # at once; beyond it a client is refused for the moment
PORTION = 64  # inputs tokenized in one go, among which those of similar length are put together
SLICE_TOKENS = 256  # padding included, in one forward pass: some 80 ms of a CPU's core
NICENESS = 10  # of 19

log = logging.getLogger(__name__)


class EmbedJob(Job):
    """What one client wants embedded, how far it is, and the vectors computed so far."""

    def __init__(self, inputs: Sequence[str | list[int]]) -> None:
        super().__init__()
        self.inputs = inputs
        self._vectors: list[tuple[list[int], np.ndarray]] = []  # (positions, a vector each)
        self._tokens = 0
        self._read = 0  # how many of the inputs have been tokenized
        self._slices: list[tuple[list[int], list[list[int]]]] = []  # (positions, sentences) to be computed

    def advance(self, encoder: "Encoder") -> bool:
        """Do a bounded piece of the work; whether there is more. Raises BadRequest for unknown token ids."""
        if not self._slices and self._read < len(self.inputs):
            self._read_portion(encoder)
            return True
        if self._slices:
            positions, sentences = self._slices.pop()
            self._vectors.append((positions, encoder.embed_sentences(sentences)))
        return bool(self._slices) or self._read < len(self.inputs)

    def _read_portion(self, encoder: "Encoder") -> None:
        begin, self._read = self._read, min(self._read + PORTION, len(self.inputs))
        sentences = {position: self._sentence(encoder, position) for position in range(begin, self._read)}
        self._tokens += sum(map(len, sentences.values()))
        slices: list[list[int]] = [[]]
        for position in sorted(sentences, key=lambda position: len(sentences[position])):
            if slices[-1] and (len(slices[-1]) + 1) * len(sentences[position]) > SLICE_TOKENS:
                slices.append([])
            slices[-1].append(position)
        self._slices = [(positions, [sentences[position] for position in positions]) for positions in slices]

    def _sentence(self, encoder: "Encoder", position: int) -> list[int]:
        """The encoder's input for one of the inputs."""
        given = self.inputs[position]
        if isinstance(given, str):
            return encoder.sentence(given)
        # Imported late, as all of the engine.
        from engine import cl100k
        from engine.encoder import CLS, MAX_SENTENCE_TOKENS, SEP

        # No text begins with 101 in cl100k_base, the second or later byte of a character: these ids are of
        # the model's own vocabulary.
        own = given[0] == CLS and given[-1] == SEP
        known = encoder.vocabulary if own else cl100k.TOKENS
        unknown = next((token for token in given if not 0 <= token < known), None)
        if unknown is not None:
            name = f"input[{position}]" if len(self.inputs) > 1 else "input"
            vocabulary = "this model" if own else "cl100k_base"
            raise BadRequest(
                f"'{name}' has the token id {unknown}, but token ids must be those of {vocabulary}, "
                f"0 to {known - 1}; send the text itself (LangChain: check_embedding_ctx_length=False)",
                param=name,
            )
        if own:
            return [*given[:-1][: MAX_SENTENCE_TOKENS - 1], SEP]
        return encoder.sentence(cl100k.text_of(given))

    def result(self) -> "tuple[np.ndarray, int]":
        """(vectors, tokens) once all is computed."""
        # Imported late: NumPy's BLAS counts its threads when imported, and engine.blas limits them first.
        import numpy as np

        vectors = np.empty((len(self.inputs), self._vectors[0][1].shape[1]), np.float32)
        for positions, computed in self._vectors:
            vectors[positions] = computed
        return vectors, self._tokens


class Embedder:
    """The embedded encoder and its thread."""

    def __init__(self, load_encoder: "Callable[[], Encoder] | None" = None) -> None:
        """load_encoder: called in the owner thread at the first question; None: the one that comes along."""
        self._load_encoder = load_encoder or _load_encoder
        self._places = threading.Semaphore(MAX_JOBS)
        self._jobs: SimpleQueue[EmbedJob] = SimpleQueue()
        threading.Thread(target=self._own, name="embedder", daemon=True).start()

    def embed(
        self,
        inputs: Sequence[str | list[int]],
        on_cancel: Callable[[Callable[[], None]], None] = lambda cancel: None,
    ) -> "tuple[np.ndarray, int]":
        """(vectors, tokens): an array (inputs, 384) of float32, each row of length 1, and how many tokens
        were read, [CLS] and [SEP] included.

        inputs: at least one; texts (an empty one has an embedding too) or lists of token ids, not empty. The
        ids are of cl100k_base, as clients of OpenAI's models compute them, or, between 101 and 102 ([CLS] and
        [SEP]), of the model's own vocabulary. Of each input the first 254 word pieces are read, as
        sentence-transformers does with this model; the rest is left out without a word.
        on_cancel: is given a function to be called when the client goes, which ends the waiting and the work.
        Raises BadRequest for unknown token ids, Unavailable when too many are waiting or there is no model,
        Cancelled.
        """
        if not self._places.acquire(blocking=False):
            raise Unavailable(
                f"{MAX_JOBS} requests for embeddings are being worked on already; try again in a moment",
                code="overloaded",
            )
        try:
            job = EmbedJob(inputs)
            on_cancel(job.abandon)
            self._jobs.put(job)
            job.done.wait()
        finally:
            self._places.release()
        job.raise_failure()
        return job.result()

    def _own(self) -> None:
        _lower_priority()
        encoder = None
        while True:
            job = self._jobs.get()
            if job.abandoned:
                continue
            try:
                encoder = encoder or self._loaded()
                more = job.advance(encoder)
            except ProxyError as error:
                job.fail(error)
                continue
            except Exception:  # the edge of the worker thread: one odd input must not end it
                log.exception("Embedding failed")
                message = "the embedding model failed on this input; the log tells more"
                job.fail(ProxyError(message, code="internal_error"))
                continue
            if more:
                self._jobs.put(job)  # behind those who wait
            else:
                job.finish()

    def _loaded(self) -> "Encoder":
        try:
            return self._load_encoder()
        except (
            Exception
        ) as error:  # whatever a file, a library or its loader raises; the next question tries again
            log.exception("Embedding model not loaded: %s", error)
            raise Unavailable(
                "the embedding model could not be loaded; the log tells why", code="model_not_loaded"
            ) from error


def _lower_priority() -> None:
    """Have this thread, and those that MLX starts, run after all others. Only Linux has it per thread."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def _load_encoder() -> "Encoder":
    # Imported here: MLX must not exist before the fork, and finds its BLAS only if that is loaded first.
    from engine import blas, models_dir

    blas.ready_for_mlx()
    from engine.encoder import FOLDER, Encoder

    return Encoder(models_dir() / FOLDER)
