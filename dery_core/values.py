"""Values that flow between the rooms: frozen dataclasses that save themselves as JSON.

>>> @dataclass(frozen=True)
... class Point(Value):
...     x: float
...     y: float = 0.0
>>> Point.from_dict({"x": 1})
Point(x=1.0, y=0.0)
"""

import copy
import dataclasses
import json
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, Union, get_args, get_origin, get_type_hints

from dery_core.errors import DeryError
from dery_core.files import read_text, write_text


@dataclass(frozen=True)
class Value:
    """Base of the saved values. Unknown, missing or ill-typed fields raise a DeryError
    that names the file, the field and the value."""

    schema_version: ClassVar[int] = 1

    def to_dict(self) -> dict[str, Any]:
        fields = {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}
        return {"schema_version": self.schema_version, **fields}

    @classmethod
    def from_dict(cls, data: Any, where: str = "") -> Self:
        where = where or cls.__name__
        if not isinstance(data, dict):
            raise DeryError(f"{where}: expected a {cls.__name__} object, found {_shown(data)}.")
        version = data.get("schema_version", cls.schema_version)
        if version != cls.schema_version:
            raise DeryError(
                f"{where}: field 'schema_version' is {_shown(version)}, but this DeRy Studio "
                f"reads version {cls.schema_version} of a {cls.__name__}."
            )
        hints = get_type_hints(cls)
        fields = {f.name: f for f in dataclasses.fields(cls)}
        unknown = sorted(set(data) - set(fields) - {"schema_version"})
        if unknown:
            raise DeryError(f"{where}: unknown field '{unknown[0]}' in a {cls.__name__}.")
        values = {}
        for name, field in fields.items():
            if name in data:
                values[name] = _decode(hints[name], data[name], f"{where}: field '{name}'")
            elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                raise DeryError(f"{where}: field '{name}' of a {cls.__name__} is missing.")
        try:
            return cls(**values)
        except DeryError as error:
            raise DeryError(f"{where}: {error}") from error

    def save(self, path: Path) -> None:
        """Write the value to `path` as JSON, atomically."""
        write_text(path, json.dumps(self.to_dict(), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a value from a JSON file; DeryError when it isn't one."""
        return cls.from_dict(read_json(path), str(path))


def read_json(path: Path) -> Any:
    """Parsed JSON of a file; DeryError when it is missing or isn't JSON."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DeryError(f"{path} is not valid JSON (line {error.lineno}: {error.msg}).") from error
    except (ValueError, RecursionError) as error:
        # Numbers of thousands of digits, brackets nested as deep.
        raise DeryError(f"{path} holds JSON that can't be read ({error}).") from error


def _plain(value: Any) -> Any:
    """A field as `dataclasses.asdict` has it, but what is a Value inside says itself what it saves."""
    if isinstance(value, Value):
        return {key: part for key, part in value.to_dict().items() if key != "schema_version"}
    if isinstance(value, tuple | list):
        # Not of the value's own type: a named tuple's takes its fields one by one.
        return (tuple if isinstance(value, tuple) else list)(map(_plain, value))
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return copy.deepcopy(value)


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _decode(hint: Any, value: Any, where: str) -> Any:
    """`value`, as json gives it, turned into what the type hint asks for."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _decode(next(a for a in args if a is not type(None)), value, where)
    if origin is Literal:
        if value in args:
            return value
        raise DeryError(f"{where} is {_shown(value)}; it must be one of {', '.join(map(str, args))}.")
    if isinstance(hint, type) and issubclass(hint, Value):
        return hint.from_dict(value, where)
    if origin is tuple and isinstance(value, list | tuple):
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_decode(args[0], v, f"{where}[{i}]") for i, v in enumerate(value))
        if len(args) == len(value):
            return tuple(_decode(a, v, where) for a, v in zip(args, value, strict=True))
    if origin is dict and isinstance(value, dict):
        return {str(k): _decode(args[1], v, f"{where}['{k}']") for k, v in value.items()}
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as error:
            raise DeryError(f"{where} is {_shown(value)}, more than a float holds.") from error
    if isinstance(hint, type) and type(value) is hint:
        return value
    name = getattr(hint, "__name__", str(hint)) if origin is None else str(hint)
    raise DeryError(f"{where} is {_shown(value)}, but a {name} is needed.")
