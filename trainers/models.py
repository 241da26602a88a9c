"""Loading a policy: weights and tokenizer of a local model folder, safetensors only, no code from the folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from sdbench.tasks.errors import UserError
from sdbench.trainers.model_folder import check_model_folder

_DTYPES: dict[str, torch.dtype] = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def load_policy(
    path: Path | str, *, dtype: str = "float32", device: str = "cpu"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model (in eval mode, on the device) and the tokenizer of a folder.

    Args:
        path: a folder that ``check_model_folder`` accepts.
        dtype: ``float64``, ``float32``, ``bfloat16`` or ``float16``.
        device: a torch device, for example ``cpu`` or ``cuda``.

    Raises:
        UserError: the folder, the dtype or the device cannot be used, or the weights do not fill the model.
    """
    folder = check_model_folder(path)
    if dtype not in _DTYPES:
        raise UserError(f"dtype {dtype!r} is not known; choose one of {', '.join(_DTYPES)}")
    try:
        place = torch.device(device)
    except RuntimeError:
        raise UserError(f"device {device!r} is not a torch device; choose cpu or cuda") from None
    if place.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device {device!r} is not there: torch sees no CUDA device; choose cpu")
    tokenizer = load_tokenizer(folder)
    model = _load_model(folder, dtype=_DTYPES[dtype])
    model.to(place).eval()
    return model, tokenizer


def check_loadable(path: Path | str) -> None:
    """Refuse a folder whose model ``load_policy`` would refuse; of the weights only names and shapes are read.

    Raises:
        UserError: as ``load_policy``, but for dtype and device.
    """
    _load_model(check_model_folder(path), dtype=torch.float32, device_map="meta")


def _load_model(folder: Path, **options: Any) -> Any:
    try:
        with _no_progress_bar():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                trust_remote_code=False,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                **options,
            )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"model folder {str(folder)!r} cannot be loaded by transformers ({reason}); "
            "give a causal LM that needs no code of its own"
        ) from error
    model, report = loaded
    # Weights that the file lacks would be drawn at random: a model, but not the user's.
    if report["missing_keys"]:
        raise UserError(
            f"model folder {str(folder)!r} lacks the weights of {sorted(report['missing_keys'])[0]!r}; "
            "save the whole model with save_pretrained()"
        )
    return model


def load_tokenizer(path: Path | str) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder alone.

    Raises:
        UserError: the folder is none that ``check_model_folder`` accepts, or its tokenizer cannot be loaded.
    """
    folder = check_model_folder(path)
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise UserError(
            f"the tokenizer of model folder {str(path)!r} cannot be loaded ({' '.join(str(error).split())[:300]}); "
            "save one there with tokenizer.save_pretrained()"
        ) from error


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    # The front door draws its own progress; transformers' bar would be written across it.
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
