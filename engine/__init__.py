"""The embedded models: heavy, optional, and never imported by the gunicorn master.

Importing this package costs nothing. `state`, `guard` and `cl100k` are for the request's path, `blas` comes
before any `import mlx.core`, `prepare` is run at set-up, `supervisor` and `serve` are programs of their own.
"""

import os
from pathlib import Path


def models_dir() -> Path:
    """Where prepared models and the BLAS live: HEADSTART_MODELS, or `models/` in the checkout."""
    return Path(os.environ.get("HEADSTART_MODELS") or Path(__file__).resolve().parent.parent / "models")
