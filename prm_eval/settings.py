"""Settings out of a YAML file: every key is a field of a dataclass, every value of the field's type.

Invariant: a key that no field has, or a value of another type, is one clear error that names the key;
nothing is converted but whole numbers, and texts that are numbers, to floats.
"""

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union

import yaml

from prm_eval.errors import BadOption, UnknownName, UsageError


def read_settings(path: Path, what: str) -> dict[str, Any]:
    """The mapping that a YAML file holds. Raises UsageError that calls the file no `what`."""
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path} is no {what}: {' '.join(str(error).split())}") from error
    if not isinstance(given, dict):
        raise UsageError(f"{path} is no {what}: expected `key: value` lines")
    return given


def build(kind: Any, given: Mapping[Any, Any], what: str, prefix: str = "") -> Any:
    """An instance of the dataclass `kind`; `what` is what errors call a key.

    Field types may be str, int, float, bool, Literal, other dataclasses, lists and dicts of these, Any,
    and unions with None. Raises UnknownName for a key, BadOption for a value or a missing key.
    """
    hints = typing.get_type_hints(kind)
    own = fields(kind)
    names = [field.name for field in own]
    for key in given:
        if key not in names:
            raise UnknownName(what, f"{prefix}{key}", [f"{prefix}{name}" for name in names])
    for field in own:
        if field.name not in given and field.default is MISSING and field.default_factory is MISSING:
            raise BadOption(f"{what} {prefix}{field.name} is missing")
    return kind(**{
        key: _value(what, f"{prefix}{key}", value, hints[key]) for key, value in given.items()
    })  # fmt: skip


def _value(what: str, name: str, value: Any, kind: Any) -> Any:
    members = typing.get_args(kind) if typing.get_origin(kind) in (Union, types.UnionType) else (kind,)
    for member in members:
        if member is Any or (member is type(None) and value is None):
            return value
        if is_dataclass(member) and isinstance(value, dict):
            return build(member, value, what, f"{name}.")
        if typing.get_origin(member) is Literal and value in typing.get_args(member):
            return value
        if member is float and (number := _number(value)) is not None:
            return number
        if typing.get_origin(member) is list and isinstance(value, list):
            return [_value(what, name, item, typing.get_args(member)[0]) for item in value]
        if typing.get_origin(member) is dict and isinstance(value, dict):
            inner = typing.get_args(member)[1]
            return {str(key): _value(what, f"{name}.{key}", item, inner) for key, item in value.items()}
        if member in (int, str, bool) and type(value) is member:
            return value
    raise BadOption(f"{what} {name}: {value!r} is not {' or '.join(map(_words, members))}")


def _number(value: Any) -> float | None:
    """A number; YAML reads 1e-5, without a point, as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _words(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(typing.get_args(kind))
    if typing.get_origin(kind) is list:
        return "a list"
    if typing.get_origin(kind) is dict or is_dataclass(kind):
        return "settings"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(kind, "null")
