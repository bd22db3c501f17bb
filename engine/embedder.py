"""Texts in, sentence embeddings out: the embedded MiniLM, asked by many and owned by one thread.

The thread takes turns between those who ask, a slice of a few dozen milliseconds each, so that a large job neither holds up a small one nor, when its client
has gone, itself. It runs below the priority of everything else: requests being classified go first. As in classifier.py nothing of MLX exists before the
fork, nor before the first question: whoever never asks for an embedding pays nothing; who does, some 125 MB. It computes while the classifier's thread does,
which MLX bears since each thread has a stream of its own (0.31.2) as long as no array is shared; seen on a CPU, never run on Metal.

It knows nothing of HTTP or of any API's fields beyond the name `input`, by which it blames.
"""

import logging
import os
import sys
import threading
from queue import SimpleQueue

from errors import BadRequest, Cancelled, ProxyError, Unavailable

MAX_JOBS = 32  # at once; beyond it a client is told to come back
PORTION = 64  # inputs tokenized in one go, among which those of similar length are put together
SLICE_TOKENS = 256  # padding included, in one forward pass: some 80 ms of a CPU's core
NICENESS = 10  # of 19

_CLOSE = object()

log = logging.getLogger(__name__)


class _Job:
    """What one client wants embedded, how far it is, and the answer on its way back."""

    def __init__(self, inputs):
        self.inputs = inputs
        self.ended = threading.Event()
        self.abandoned = False
        self.error = None
        self.vectors = []
        self.tokens = 0
        self._read = 0  # how many of the inputs have been tokenized
        self._slices = []  # (positions, sentences) still to be computed

    def wake(self):
        self.abandoned = True
        self.ended.set()

    def advance(self, encoder):
        """Do a bounded piece of the work; whether there is more. Raises BadRequest for token ids that mean nothing."""
        if not self._slices and self._read < len(self.inputs):
            self._read_portion(encoder)
            return True
        if self._slices:
            positions, sentences = self._slices.pop()
            self.vectors.append((positions, encoder.embed_sentences(sentences)))
        return bool(self._slices) or self._read < len(self.inputs)

    def _read_portion(self, encoder):
        begin, self._read = self._read, min(self._read + PORTION, len(self.inputs))
        sentences = {position: self._sentence(encoder, position) for position in range(begin, self._read)}
        self.tokens += sum(map(len, sentences.values()))
        slices = [[]]
        for position in sorted(sentences, key=lambda position: len(sentences[position])):
            if slices[-1] and (len(slices[-1]) + 1) * len(sentences[position]) > SLICE_TOKENS:
                slices.append([])
            slices[-1].append(position)
        self._slices = [(positions, [sentences[position] for position in positions]) for positions in slices]

    def _sentence(self, encoder, position):
        """The encoder's input for one of the inputs."""
        given = self.inputs[position]
        if isinstance(given, str):
            return encoder.sentence(given)
        # Imported late, as all of the engine.
        from engine import cl100k
        from engine.encoder import CLS, MAX_SENTENCE_TOKENS, SEP

        # No text begins with 101 in cl100k_base, the second or later byte of a character: these ids are of the model's own vocabulary.
        own = given[0] == CLS and given[-1] == SEP
        known = encoder.vocabulary if own else cl100k.TOKENS
        unknown = next((token for token in given if not 0 <= token < known), None)
        if unknown is not None:
            name = f"input[{position}]" if len(self.inputs) > 1 else "input"
            raise BadRequest(
                f"'{name}' has the token id {unknown}, but token ids must be those of {'this model' if own else 'cl100k_base'}, 0 to {known - 1}; "
                "send the text itself (LangChain: check_embedding_ctx_length=False)",
                param=name,
            )
        return (
            [*given[:-1][: MAX_SENTENCE_TOKENS - 1], SEP] if own else encoder.sentence(cl100k.text_of(given))
        )

    def answer(self):
        """(vectors, tokens) once all is computed."""
        import numpy as np  # here and not above: its BLAS counts its threads when imported, and engine.blas says how many there may be

        vectors = np.empty((len(self.inputs), self.vectors[0][1].shape[1]), np.float32)
        for positions, computed in self.vectors:
            vectors[positions] = computed
        return vectors, self.tokens


class Embedder:
    """The embedded encoder and its thread."""

    def __init__(self, load_encoder=None):
        """load_encoder: called in the owner thread at the first question; returns an engine.encoder.Encoder. None: the one that comes along."""
        self._load_encoder = load_encoder or _load_encoder
        self._places = threading.Semaphore(MAX_JOBS)
        self._jobs = SimpleQueue()
        threading.Thread(target=self._own, name="embedder", daemon=True).start()

    def embed(self, inputs, on_cancel=lambda cancel: None):
        """(vectors, tokens): an array (inputs, 384) of float32, each row of length 1, and how many tokens were read, [CLS] and [SEP] included.

        inputs: at least one; texts (an empty one has an embedding too) or lists of token ids, not empty. The ids are of cl100k_base, as clients of OpenAI's
        models compute them, or, between 101 and 102 ([CLS] and [SEP]), of the model's own vocabulary. Of each input the first 254 word pieces are read, as
        sentence-transformers does with this model; the rest is left out without a word.
        on_cancel: takes a function to be called when the client has gone; it ends the waiting and the work.
        Raises BadRequest for unknown token ids, Unavailable when too many are waiting or there is no model, Cancelled.
        """
        if not self._places.acquire(blocking=False):
            raise Unavailable(
                f"{MAX_JOBS} requests for embeddings are being worked on already; try again in a moment",
                code="overloaded",
            )
        try:
            job = _Job(inputs)
            on_cancel(job.wake)
            self._jobs.put(job)
            job.ended.wait()
        finally:
            self._places.release()
        if job.abandoned:
            raise Cancelled("hung up")
        if job.error:
            raise job.error
        return job.answer()

    def close(self):
        """Let go of the model once those who ask now have their answers. To be called when nobody will ask any more."""
        self._jobs.put(_CLOSE)

    def _own(self):
        _step_back()
        encoder, closing = None, False
        while not closing or not self._jobs.empty():
            job = self._jobs.get()
            if job is _CLOSE:
                closing = True
                continue
            if job.abandoned:
                continue
            try:
                encoder = encoder or self._loaded()
                more = job.advance(encoder)
            except ProxyError as error:
                job.error, more = error, False
            except Exception:  # the edge of the worker thread: one odd input must not end it
                log.exception("Embedding failed")
                job.error, more = (
                    ProxyError(
                        "the embedding model failed on this input; the log tells more", code="internal_error"
                    ),
                    False,
                )
            if more:
                self._jobs.put(job)  # behind those who wait
            else:
                job.ended.set()

    def _loaded(self):
        try:
            return self._load_encoder()
        except (
            Exception
        ) as error:  # whatever a file, a library or its loader may raise; the next question tries again
            log.exception("Embedding model not loaded: %s", error)
            raise Unavailable(
                "the embedding model could not be loaded; the log tells why", code="model_not_loaded"
            ) from error


def _step_back():
    """Have this thread, and those that MLX starts for it, run after everybody else's. Only on Linux has a thread a priority of its own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def _load_encoder():
    # Imported here and not above: MLX must not exist before the fork, and finds its BLAS only if that is loaded first.
    from engine import blas, models_dir

    blas.ready_for_mlx()
    from engine.encoder import FOLDER, Encoder

    return Encoder(models_dir() / FOLDER)
