"""The critics by name."""

from __future__ import annotations

from collections.abc import Callable

from sdbench.tasks.errors import UserError, suggestion
from sdbench.trainers.critic.critic import Critic
from sdbench.trainers.critic.symbolic import SymbolicCritic
from sdbench.trainers.feedback.types import ContextWriter

_CRITICS: dict[str, Callable[[ContextWriter], Critic]] = {
    SymbolicCritic.name: lambda writer: SymbolicCritic(writer=writer),
}


def critic_names() -> tuple[str, ...]:
    """Every known critic."""
    return tuple(_CRITICS)


def make_critic(name: str, *, writer: ContextWriter) -> Critic:
    """The critic of this name, writing its critiques with ``writer``.

    Raises:
        UserError: no such critic; the message suggests one.
    """
    if name not in _CRITICS:
        raise UserError(f"no critic {name!r}; {suggestion(name, _CRITICS)}")
    return _CRITICS[name](writer)
