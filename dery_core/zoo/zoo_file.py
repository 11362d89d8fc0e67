"""Zoo files as text, JSON or YAML: read without running into a trap, edited without losing comments.

Only a YAML file whose models stand in brackets on shared lines is written anew, without its comments.
"""

import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from dery_core.errors import DeryError, first_line
from dery_core.files import locked, read_text, write_text
from dery_core.values import read_json

MOST_BYTES = 2_000_000
"""Far more than a zoo of all of timm takes; a larger file is not one."""
_DEEPEST = 32
_YAML = (".yaml", ".yml")


def read_document(path: Path) -> dict[str, Any]:
    """The fields of a zoo file, `models` always among them, made of what JSON knows alone.

    DeryError for a file that is no zoo: too large, not JSON or YAML, of another version or without
    a list of models.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise DeryError(f"{path} is not a file: give the zoo file itself.")
    if os.path.isfile(path) and path.stat().st_size > MOST_BYTES:
        raise DeryError(f"{path} has more than {MOST_BYTES // 10**6} MB: that is no zoo file.")
    data = _parsed(read_text(path), path) if path.suffix in _YAML else read_json(path)
    if isinstance(data, dict):
        version = data.get("schema_version", 1)
        if version != 1:
            raise DeryError(
                f"{path}: field 'schema_version' is {version!r}, but this DeRy Studio reads version 1 of a "
                "zoo."
            )
    else:
        data = {"models": data}
    if "extends" in data:
        if not isinstance(data["extends"], str):
            raise DeryError(f"{path}: field 'extends' must be 'embedded' or the path of another zoo file.")
        data["models"] = data.get("models") or []
    if not isinstance(data.get("models"), list):
        raise DeryError(f"{path}: a zoo file holds a list of models, or an object with the list as 'models'.")
    return data


def add_entry(
    path: Path, entry: dict[str, Any], extends: str = "", check: Callable[[], object] = bool
) -> None:
    """Put a model at the end of the file; a new file extends `extends`, if that is given.

    `check` may raise what speaks against it; nobody changes the file between that and the writing.
    """
    with locked(path):
        check()
        if not path.exists():
            _write(path, {**({"extends": extends} if extends else {}), "models": [entry]})
            return
        document = read_document(path)
        wanted = {**document, "models": [*document["models"], entry]}
        _write(path, wanted, lambda text: _with_item(text, entry))


def remove_entry(path: Path, find: Callable[[], int]) -> None:
    """Take out of the file the model whose number, from 0, `find` tells; nobody changes the file
    between that and the writing."""
    with locked(path):
        row = find()
        document = read_document(path)
        models = [entry for i, entry in enumerate(document["models"]) if i != row]
        _write(path, {**document, "models": models}, lambda text: _without_item(text, row))


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML's plain values alone; 1e-5 is a number, though YAML 1.1 wants 1.0e-5."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def _parsed(text: str, path: Path) -> Any:
    try:
        _refuse_traps(text, path)
        # through JSON, so that dates and the like become text, as they are in a JSON zoo
        return json.loads(json.dumps(yaml.load(text, _Loader), default=str))
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise DeryError(f"{path} is not valid YAML ({line}{error.problem}).") from error
    except DeryError:
        raise
    except Exception as error:  # texts that don't fit their tag raise whatever their type raises
        raise DeryError(f"{path} holds YAML that can't be read ({first_line(error)}).") from error


def _refuse_traps(text: str, path: Path) -> None:
    """A few lines of aliases can stand for gigabytes, and deep nesting overflows the stack."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise DeryError(f"{path}: line {line} holds an alias (*{event.anchor}): write it out.")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise DeryError(f"{path}: line {line} is nested deeper than {_DEEPEST} levels.")


def _write(path: Path, wanted: dict[str, Any], edit: Any = None) -> None:
    """Write the document, by `edit` of the text where that gives what is wanted: it keeps comments."""
    if path.suffix not in _YAML:
        data = wanted["models"] if path.exists() and isinstance(read_json(path), list) else wanted
        write_text(path, json.dumps(data, indent=1) + "\n")
        return
    if edit is not None:
        text = edit(read_text(path))
        try:
            if _document(text, path) == json.loads(json.dumps(wanted)):
                write_text(path, text)
                return
        except DeryError:
            pass  # a style of writing that lines don't tell: the whole is written anew
    write_text(path, _dumped(wanted))


def _document(text: str, path: Path) -> Any:
    data = _parsed(text, path)
    return data if isinstance(data, dict) else {"models": data}


def _dumped(data: Any) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)


def _items(text: str) -> tuple[Sequence[yaml.Node], int, int]:
    """The models of a YAML zoo, the line behind the last of them, and how far they are indented."""
    root = yaml.compose(text, yaml.SafeLoader)
    if isinstance(root, yaml.MappingNode):
        root = next(value for key, value in root.value if key.value == "models")
    return root.value, root.end_mark.line + (root.end_mark.column > 0), root.start_mark.column


def _with_item(text: str, entry: dict[str, Any]) -> str:
    try:
        _, end, indent = _items(text)
    except (StopIteration, AttributeError):
        return text
    lines = text.splitlines()
    item = [" " * indent + line for line in _dumped([entry]).splitlines()]
    return "\n".join([*lines[:end], *item, *lines[end:]]) + "\n"


def _without_item(text: str, row: int) -> str:
    items, end, _ = _items(text)
    lines = text.splitlines()
    first = items[row].start_mark.line
    behind = items[row + 1].start_mark.line if row + 1 < len(items) else end
    # what stands just above the next model is about that one
    while behind > first + 1 and lines[behind - 1].lstrip()[:1] in ("", "#"):
        behind -= 1
    return "\n".join([*lines[:first], *lines[behind:]]) + "\n"
