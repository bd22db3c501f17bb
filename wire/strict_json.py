"""JSON as the standard has it: no NaN, no Infinity, and no number beyond all floats."""

import json
import math
from typing import Any, NoReturn


def loads(raw: bytes | str) -> Any:
    """The value of a JSON text. Raises ValueError (json.JSONDecodeError where it is no JSON), RecursionError."""
    return json.loads(raw, parse_constant=_no_constant, parse_float=_finite)


def _no_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _finite(text: str) -> float:
    """A number with a fraction or an exponent; one beyond all floats would be passed on as `Infinity`."""
    value = float(text)
    if math.isinf(value):
        raise ValueError("a number is too large")
    return value
