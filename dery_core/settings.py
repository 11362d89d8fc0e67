"""Settings of an architecture as people write them.

>>> parse_settings("img_size=32, depths=[2, 2], bias=False")
{'img_size': 32, 'depths': [2, 2], 'bias': False}
"""

import json
import re
from contextlib import suppress
from typing import Any

from dery_core.errors import DeryError

_NAME = re.compile(r"(?:^|[\s,;]+)([A-Za-z_]\w*)\s*=\s*")
_WORDS = {"True": True, "False": False, "None": None}


def parse_settings(text: str) -> dict[str, Any]:
    """Settings by name, out of a JSON object or of `name=value` with spaces or commas between; none for
    no text.

    A value is JSON, one of Python's True, False and None, or a word. DeryError for anything else.
    """
    with suppress(ValueError):
        if isinstance(settings := json.loads(text), dict):
            return settings
    before, *parts = _NAME.split(text.strip().rstrip(",;"))
    names, values = parts[::2], parts[1::2]
    if before or len(set(names)) < len(names):
        raise _refused(text)
    return {name: _value(value, text) for name, value in zip(names, values, strict=True)}


def _value(value: str, text: str) -> Any:
    if value in _WORDS:
        return _WORDS[value]
    with suppress(ValueError):
        return json.loads(value)
    if not re.fullmatch(r"[\w.+-]+", value):
        raise _refused(text)
    return value


def _refused(text: str) -> DeryError:
    return DeryError(
        f"'{' '.join(text.split())}' is neither name=value, like img_size=32, nor a JSON object like "
        '{"img_size": 32}.'
    )
