"""Saving: the state that a killed training goes on from, and the finished checkpoint; each whole or not at all."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sdbench.tasks.errors import UserError
from sdbench.trainers.models import load_policy

PROVENANCE_FILE = "sdbench_provenance.json"
ADAPTER_FOLDER = "adapter"
_HEADER_KEY = "sdbench"


def save_state(path: Path, *, tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and a JSON header into one safetensors file, replacing the file as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    plain = {name: value.detach().contiguous() for name, value in tensors.items()}
    save_file(plain, temporary, metadata={_HEADER_KEY: json.dumps(header, allow_nan=False)})
    temporary.replace(path)


def load_state(path: Path, *, device: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and header of a state file."""
    return load_file(path, device=device), read_state_header(path)


def read_state_header(path: Path) -> dict[str, Any]:
    """The header of a state file alone."""
    with safe_open(path, framework="pt") as stream:
        header: dict[str, Any] = json.loads(stream.metadata()[_HEADER_KEY])
    return header


def save_checkpoint(folder: Path, *, model: Any, tokenizer: Any, provenance: Mapping[str, Any]) -> None:
    """Write a Hugging Face folder that plain transformers loads, with its provenance.

    Adapters are saved in a folder of their own and merged into the weights; a peft model is of no use afterwards. The
    folder is made under another name and renamed, its provenance written last.
    """
    building = _new_building(folder)
    whole = model
    if hasattr(model, "merge_and_unload"):
        model.save_pretrained(building / ADAPTER_FOLDER)
        whole = model.merge_and_unload()
    whole.save_pretrained(building)
    _finish(building, folder, tokenizer=tokenizer, provenance=provenance)


def save_step_checkpoint(folder: Path, *, model: Any, tokenizer: Any, provenance: Mapping[str, Any]) -> None:
    """Write the weights of a training that goes on: a Hugging Face folder or, of adapters, these alone (peft's format).

    Merging adapters would round the base they lie on, so that is left to ``load_step_checkpoint``.
    """
    building = _new_building(folder)
    model.save_pretrained(building / ADAPTER_FOLDER if hasattr(model, "merge_and_unload") else building)
    _finish(building, folder, tokenizer=tokenizer, provenance=provenance)


def load_step_checkpoint(folder: Path, *, base: Path, dtype: str, device: str) -> tuple[Any, Any]:
    """Model and tokenizer of a folder that ``save_step_checkpoint`` wrote; adapters are merged into ``base``.

    Raises:
        UserError: a folder cannot be loaded.
    """
    if not (folder / ADAPTER_FOLDER).is_dir():
        return load_policy(folder, dtype=dtype, device=device)
    from peft import PeftModel

    model, tokenizer = load_policy(base, dtype=dtype, device=device)
    with warnings.catch_warnings():
        # As in ``local.policy.add_adapters``: peft reads attributes that transformers has renamed.
        warnings.simplefilter("ignore", FutureWarning)
        adapted = PeftModel.from_pretrained(model, str(folder / ADAPTER_FOLDER))
    return adapted.merge_and_unload().eval(), tokenizer


def _new_building(folder: Path) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = folder.with_name(f".{folder.name}.building")
    if building.exists():
        shutil.rmtree(building)
    building.mkdir()
    return building


def _finish(building: Path, folder: Path, *, tokenizer: Any, provenance: Mapping[str, Any]) -> None:
    tokenizer.save_pretrained(building)
    text = json.dumps(provenance, indent=1, sort_keys=True, allow_nan=False)
    (building / PROVENANCE_FILE).write_text(text + "\n", encoding="utf-8")
    building.rename(folder)


def read_provenance(folder: Path) -> dict[str, Any] | None:
    """The provenance of a finished checkpoint, None where there is no folder yet.

    Raises:
        UserError: the folder is something else.
    """
    if not folder.exists():
        return None
    path = folder / PROVENANCE_FILE
    if not path.is_file():
        raise UserError(f"{str(folder)!r} exists and is no checkpoint of sdbench: remove it or write elsewhere")
    provenance: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return provenance
