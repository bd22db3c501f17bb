"""JSON as its standard has it, which is stricter than Python's own reader."""

import json
import math
from typing import Any, NoReturn


def loads(text: str | bytes) -> Any:
    """JSON as its standard has it: no NaN, no Infinity, no number beyond all floats. Raises ValueError."""
    return json.loads(text, parse_constant=_no_json, parse_float=_finite)


def _no_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value
