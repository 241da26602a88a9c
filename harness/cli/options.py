"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sdbench.trainers.plugins import Plugin

PluginOption = Annotated[
    list[str] | None,
    typer.Option("--plugin", metavar="MODULE", help="A module or .py file that registers feedback types. Repeatable."),
]


def whole_number(text: str) -> int:
    """The value of an option that counts, or a usage error that names it."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a whole number") from None


def load_plugins(modules: Sequence[str] | None) -> list[Plugin]:
    """Import each plug-in, in order.

    Raises:
        UserError: one does not import, or registers a name that is taken.
    """
    if not modules:
        return []
    from sdbench.trainers.plugins import load_plugin

    return [load_plugin(module) for module in modules]
