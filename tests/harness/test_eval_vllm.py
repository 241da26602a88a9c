"""`sdbench eval` of a small random Qwen3 on the real benchmarks at hand, by hf and by the real vLLM, to one board."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]
DATA = Path(os.environ.get("SDBENCH_DATA_DIR", Path(__file__).parents[3] / "shared" / "data"))
POSITIONS = 256


@pytest.fixture(scope="module")
def qwen_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

    if not (DATA / "qwen3_tokenizer").is_dir():
        pytest.skip(f"no Qwen3 tokenizer in {DATA}: set SDBENCH_DATA_DIR")
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=151_936,
            hidden_size=64,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=32,
            max_position_embeddings=POSITIONS,
            tie_word_embeddings=True,
            eos_token_id=151_645,
            bos_token_id=None,
        )
    )
    folder = tmp_path_factory.mktemp("qwen3") / "random-qwen3"
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(DATA / "qwen3_tokenizer", local_files_only=True).save_pretrained(folder)
    return folder


def evaluate(folder: Path, out: Path, *, engine: str, k: int) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-c",
        "import sys; from sdbench.harness.cli import main; sys.exit(main())",
        "eval",
        str(folder),
    ]
    command += ["--suite", "math12", "--tasks", "available", "--limit", "2", "--k", str(k)]
    command += ["--engine", engine, "--out", str(out)]
    environment = os.environ | {"SDBENCH_DATA_DIR": str(DATA)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=1500)


def test_both_engines_score_the_real_benchmarks(qwen_folder: Path, tmp_path: Path) -> None:
    found = {}
    for engine in ("hf", "vllm"):
        done = evaluate(qwen_folder, tmp_path / engine, engine=engine, k=2)
        assert done.returncode == 0, done.stderr
        assert "random-qwen3" in done.stdout
        found[engine] = json.loads((tmp_path / engine / "models/random-qwen3/results.json").read_text())
    ours, theirs = found["vllm"], found["hf"]
    assert ours["settings"] == {**theirs["settings"], "engine": "vllm"}
    assert len(ours["tasks"]) >= 8
    for one, other in zip(ours["tasks"], theirs["tasks"], strict=True):
        assert one["task"] == other["task"]
        assert len(one["problems"]) == 2
        for problem, same in zip(one["problems"], other["problems"], strict=True):
            # A prompt fits for both or for neither; all else a random model draws is noise.
            assert [o == "unfit" for o in problem["outcomes"]] == [o == "unfit" for o in same["outcomes"]]
            assert len(problem["outcomes"]) == 2
    board = json.loads((tmp_path / "vllm/leaderboard.json").read_text())
    assert [row["condition"] for row in board["rows"]] == ["random-qwen3"]


def test_more_samples_are_drawn_on_top_of_the_stored(qwen_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    samples = out / "models/random-qwen3/samples/samples.jsonl"
    assert evaluate(qwen_folder, out, engine="vllm", k=1).returncode == 0
    before = samples.read_bytes()
    other = evaluate(qwen_folder, out, engine="hf", k=1)
    assert other.returncode == 2
    assert "engine is vllm there and hf here" in other.stderr
    assert samples.read_bytes() == before
