"""``--set a.b=v``: one value of a recipe replaced before the recipe is validated."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sdbench.tasks.errors import UserError

_PLAIN_STRING = re.compile(r"[\w./~-]+")
_KEY = re.compile(r"[\w-]+(\.[\w-]+)*")


def parse_override(text: str) -> tuple[tuple[str, ...], Any]:
    """Key path and value of ``a.b=v``.

    The value is TOML (``3``, ``1e-4``, ``true``, ``[0, 1]``, ``"text"``); a plain word or path that is no TOML is
    taken as a string, so that shells need no double quoting.

    Raises:
        UserError: there is no ``=``, the key is no dotted path, or the value is neither.
    """
    key, equals, value = text.partition("=")
    key, value = key.strip(), value.strip()
    if not equals or not _KEY.fullmatch(key):
        raise UserError(f"--set {text!r} is not of the form section.key=value; for example --set evaluation.k=4")
    try:
        parsed = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        parsed = {}
    if set(parsed) == {"value"}:
        return tuple(key.split(".")), parsed["value"]
    if _PLAIN_STRING.fullmatch(value):
        return tuple(key.split(".")), value
    raise UserError(f"--set {key}: {value!r} is not a TOML value; write a number, true, [..] or '\"text\"'")


def apply_overrides(
    data: dict[str, Any], overrides: Iterable[str], *, options: Mapping[tuple[str, str], Any] | None = None
) -> dict[str, Any]:
    """A copy of the recipe's data with every override applied, later ones on top.

    Args:
        data: the recipe's data.
        overrides: texts of the form ``a.b=v``.
        options: values that options of their own set, such as ``--seed``.

    Raises:
        UserError: an override is malformed, its path runs through a value that is no table, or an option sets it too.
    """
    result = _copy_tables(data)
    for path, value in (options or {}).items():
        _put(result, path, value)
    for text in overrides:
        path_of_text, value = parse_override(text)
        if options and path_of_text in options:
            raise UserError(f"--set {'.'.join(path_of_text)} is also set by an option of its own; give one of them")
        _put(result, path_of_text, value)
    return result


def _put(table: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for depth, part in enumerate(path[:-1], start=1):
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise UserError(f"--set {'.'.join(path)}: {'.'.join(path[:depth])} is a value, not a table")
    table[path[-1]] = value


def _copy_tables(data: dict[str, Any]) -> dict[str, Any]:
    return {key: _copy_tables(value) if isinstance(value, dict) else value for key, value in data.items()}
