"""The phase map of run folders: which of them are levels of one recipe, and the curves that they recorded."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sdbench.harness.recipes.rates import flatten
from sdbench.harness.run_directory import RunDirectory
from sdbench.leaderboards.curves import SeedCurve, read_curve
from sdbench.leaderboards.phase import PhaseMap, build_phase
from sdbench.tasks.errors import UserError


def level_of(directory: RunDirectory) -> str | None:
    """The level that a run is of; None where its recipe has no ``[phase]``."""
    phase = directory.resolved_recipe().get("phase")
    return None if phase is None else str(phase["level"])


def phase_of(directories: Sequence[RunDirectory]) -> PhaseMap | None:
    """The map over those of these folders that are levels of one recipe; None where none is.

    Levels come in the recipe's order. A condition that has no finished training is named in its level's notes.

    Raises:
        UserError: two folders are the same level, levels differ in more than that, or a record is damaged.
    """
    found: dict[str, RunDirectory] = {}
    for directory in directories:
        level = level_of(directory)
        if level is None:
            continue
        if level in found:
            raise UserError(f"{directory.root} and {found[level].root} are both level {level!r}; study one of them")
        found[level] = directory
    if not found:
        return None
    _check_alike(found)
    order: list[str] = list(next(iter(found.values())).resolved_recipe()["phase"]["levels"])
    return build_phase({level: _curves(found[level]) for level in order if level in found})


def _curves(directory: RunDirectory) -> dict[str, list[SeedCurve]]:
    curves: dict[str, list[SeedCurve]] = {name: [] for name in directory.resolved_recipe()["conditions"]}
    for name, seed, path in directory.curve_files():
        curves[name].append(read_curve(path, condition=name, training_seed=seed))
    return curves


def _check_alike(levels: Mapping[str, RunDirectory]) -> None:
    """Levels are one map only if nothing else differs between them; conditions may lack, and are named."""
    first = next(iter(levels.values()))
    for directory in levels.values():
        shared = {*directory.resolved_recipe()["conditions"]} & {*first.resolved_recipe()["conditions"]}
        here, there = _settings(directory, shared), _settings(first, shared)
        for key in dict.fromkeys((*here, *there)):
            if here.get(key) != there.get(key):
                raise UserError(
                    f"{directory.root} and {first.root} are levels of different runs: {key} is {here.get(key)!r} and "
                    f"{there.get(key)!r}; study them apart"
                )


def _settings(directory: RunDirectory, conditions: Collection[str]) -> dict[str, Any]:
    """What levels have in common, by dotted path."""
    recipe = directory.resolved_recipe()
    shared = {key: value for key, value in recipe.items() if key not in ("phase", "recipe")}
    shared["problems"] = {key: value for key, value in recipe["problems"].items() if key != "hiddenness"}
    shared["conditions"] = {name: spec for name, spec in recipe["conditions"].items() if name in conditions}
    shared["hash of the base"] = directory.manifest()["hashes"]["base"]
    return dict(flatten(shared))
