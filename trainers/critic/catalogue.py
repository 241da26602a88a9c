"""The critics by name: those of the package, and those that plug-ins register. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from sdbench.tasks.errors import UserError, suggestion
from sdbench.trainers.critic.critic import Critic
from sdbench.trainers.critic.symbolic import SymbolicCritic
from sdbench.trainers.feedback.types import ContextWriter


class CriticFactory(Protocol):
    """A critic's class, or a function: makes the critic that writes its critiques with ``writer``."""

    def __call__(self, *, writer: ContextWriter) -> Critic:
        """Make the critic."""
        ...


_Factory = TypeVar("_Factory", bound=CriticFactory)

_registered: dict[str, CriticFactory] = {SymbolicCritic.name: SymbolicCritic}


def register_critic(name: str) -> Callable[[_Factory], _Factory]:
    """Register a critic under a name that ``[critic] name`` of a recipe can give.

    Raises:
        UserError: the name is taken.
    """

    def register(factory: _Factory) -> _Factory:
        if name in _registered:
            raise UserError(f"the critic {name!r} is registered already; give the new one another name")
        _registered[name] = factory
        return factory

    return register


def critic_names() -> tuple[str, ...]:
    """Every known critic."""
    return tuple(_registered)


def critic_factory(name: str) -> CriticFactory:
    """What makes the critic of this name.

    Raises:
        UserError: no such critic; the message suggests one.
    """
    if name not in _registered:
        raise UserError(f"no critic {name!r}; {suggestion(name, _registered)}")
    return _registered[name]


def make_critic(name: str, *, writer: ContextWriter) -> Critic:
    """The critic of this name, writing its critiques with ``writer``.

    Raises:
        UserError: no such critic; the message suggests one.
    """
    return critic_factory(name)(writer=writer)


@contextmanager
def critic_registrations_undone(*, on_error_only: bool) -> Iterator[None]:
    """Forget what is registered within: always (tests), or only when it ends in an error (plug-ins)."""
    before = dict(_registered)
    failed = True
    try:
        yield
        failed = False
    finally:
        if failed or not on_error_only:
            _registered.clear()
            _registered.update(before)
