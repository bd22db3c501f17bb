"""`make schema`: config.schema.json, by which editors complete and check config.yaml while it is written, and
beside it the settings' page in docs/ (`settings.reference`).

It is generated from the settings' classes and says what types, limits and names can say. What refers to
something else in the file (a route's providers, for instance) is checked when the file is loaded.
"""

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from settings import reference
from settings.fields import fields_of, is_required
from settings.model import Config
from settings.reader import VARIABLE
from wire import JsonObject

FILE = Path(__file__).with_name("config.schema.json")

_VARIABLE = {"$ref": "#/$defs/Variable"}
_SCALARS = {int: "integer", float: "number", bool: "boolean"}


def schema() -> JsonObject:
    """The JSON Schema (draft 2020-12) of config.yaml. The settings are in the order of their classes."""
    sections: JsonObject = {}
    whole = _section(Config, sections)
    variable = {
        "description": "${NAME} or ${NAME:-default}, from the environment or from .env",
        "type": "string",
        "pattern": VARIABLE,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Headstart's config.yaml",
        **whole,
        "$defs": {"Variable": variable, **sections},
    }


def _section(cls: type, sections: JsonObject) -> JsonObject:
    """The schema of a class of settings. sections: where those of the classes it uses are put."""
    hints = typing.get_type_hints(cls)
    fields = fields_of(cls)
    required = [field.name for field in fields if is_required(field)]
    return {
        "type": "object",
        "properties": {field.name: _property(field, hints[field.name], sections) for field in fields},
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _property(field: dataclasses.Field[Any], hint: Any, sections: JsonObject) -> JsonObject:
    described = {"description": field.metadata["doc"], **_type(hint, field.metadata, sections)}
    if field.default is not dataclasses.MISSING:
        described["default"] = field.default
    elif field.default_factory is not dataclasses.MISSING and not field.metadata["names"]:
        value = field.default_factory()
        described["default"] = {} if dataclasses.is_dataclass(value) else value
    return described


def _type(hint: Any, limits: Mapping[str, Any], sections: JsonObject) -> JsonObject:
    """The schema of a type. limits: the metadata of the setting it belongs to."""
    if isinstance(hint, types.UnionType):
        kinds = [_type(arg, limits, sections) for arg in typing.get_args(hint) if arg is not type(None)]
        described = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        return _or_null(described) if type(None) in typing.get_args(hint) else described
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        if hint.__name__ not in sections:
            sections[hint.__name__] = _section(hint, sections)
        return {"$ref": f"#/$defs/{hint.__name__}"}
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is dict:
        names = list(limits["names"] or ())
        fixed = {"propertyNames": {"enum": names}, "required": names} if names else {}
        return {"type": "object", **fixed, "additionalProperties": _type(args[1], _NO_LIMITS, sections)}
    if origin is list:
        return {"type": "array", "items": _type(args[0], _NO_LIMITS, sections)}
    if hint is typing.Any:
        return {}
    return _scalar(hint, limits)


_NO_LIMITS = dict.fromkeys(("choices", "names", "minimum", "maximum"))


def _scalar(hint: type, limits: Mapping[str, Any]) -> JsonObject:
    """A text, which may be written as a number, or a number or a choice, which may be a variable as well."""
    if limits["choices"]:
        return {"anyOf": [{"enum": list(limits["choices"])}, _VARIABLE]}
    if hint is str:
        return {"type": ["string", "number"]}
    bounds = {name: limits[name] for name in ("minimum", "maximum") if limits[name] is not None}
    return {"anyOf": [{"type": _SCALARS[hint], **bounds}, _VARIABLE]}


def _or_null(schema: JsonObject) -> JsonObject:
    if "anyOf" in schema:
        return {"anyOf": [*schema["anyOf"], {"type": "null"}]}
    if "type" in schema:
        kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        return {**schema, "type": [*kinds, "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def text() -> str:
    """What config.schema.json holds."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
    reference.FILE.write_text(reference.text(), encoding="utf-8")
