"""What a folder must hold to be loaded as a model, checked before anything heavy is imported. Loads no torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sdbench.tasks.errors import UserError

PICKLE_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"})
# Any one of these lets AutoTokenizer build a tokenizer without a network.
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_READ_BYTES = 1 << 20


def check_model_folder(path: Path | str) -> Path:
    """The folder, if it holds a config, a tokenizer and safetensors weights, and nothing pickled.

    Raises:
        UserError: names what is missing or refused, and what to do.
    """
    folder = Path(path)
    if not folder.exists():
        raise UserError(f"model folder {str(path)!r} does not exist; give the path of a Hugging Face model folder")
    if not folder.is_dir():
        raise UserError(f"model {str(path)!r} is a file; give the folder that holds config.json and the weights")
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    if "config.json" not in names:
        raise UserError(f"model folder {str(path)!r} has no config.json; save the model there with save_pretrained()")
    pickled = [name for name in names if Path(name).suffix.lower() in PICKLE_SUFFIXES]
    if pickled:
        raise UserError(
            f"model folder {str(path)!r} holds a pickle, {pickled[0]!r}, which can run code when it is loaded; "
            "save the weights as safetensors and remove it"
        )
    if not any(name in names for name in TOKENIZER_FILES):
        raise UserError(
            f"model folder {str(path)!r} has no tokenizer ({', '.join(TOKENIZER_FILES)}); "
            "save one there with tokenizer.save_pretrained()"
        )
    if not any(name.endswith(".safetensors") for name in names):
        raise UserError(f"model folder {str(path)!r} has no *.safetensors weights; save them with save_pretrained()")
    return folder


def model_digest(path: Path | str) -> str:
    """Short hash of everything in a model folder that shapes its samples: JSON, tokenizer and weight files by content.

    Model cards and other text do not count, so that a note beside the weights makes no new model of them.
    """
    folder = check_model_folder(path)
    digest = hashlib.sha256()
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        shapes_samples = entry.suffix in {".json", ".safetensors", ".jinja"} or entry.name in TOKENIZER_FILES
        if not (entry.is_file() and (shapes_samples or entry.name == "merges.txt")):
            continue
        content = hashlib.sha256()
        with entry.open("rb") as stream:
            while block := stream.read(_READ_BYTES):
                content.update(block)
        digest.update(f"{entry.name}\x1f{content.hexdigest()}\x1e".encode())
    return digest.hexdigest()[:16]
