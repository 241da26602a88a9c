from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from sdbench.trainers.nano_base.pretrain import (
    PretrainRun,
    PretrainSettings,
    block_batches,
    completion_loss,
    learning_rate,
    main,
)
from sdbench.trainers.nano_base.tokenizer import build_tokenizer

SMALL = PretrainSettings(
    steps=20,
    second_stage_step=16,
    batch_tokens=2000,
    warmup_steps=4,
    first_schedule_steps=20,
    hidden_size=32,
    intermediate_size=48,
    layers=1,
    heads=1,
)


def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    PretrainRun(settings=SMALL, out=tmp_path / "whole").train()
    PretrainRun(settings=SMALL, out=tmp_path / "halves").train(until_step=11)
    PretrainRun(settings=SMALL, out=tmp_path / "halves").train()
    whole = load_file(tmp_path / "whole/model/model.safetensors")
    halves = load_file(tmp_path / "halves/model/model.safetensors")
    assert whole.keys() == halves.keys()
    assert all(torch.equal(whole[name], halves[name]) for name in whole)
    with pytest.raises(ValueError, match="other settings"):
        PretrainRun(settings=PretrainSettings(steps=21), out=tmp_path / "whole").train()


def test_the_folder_loads_with_the_auto_classes(tmp_path: Path) -> None:
    PretrainRun(settings=SMALL, out=tmp_path).train(until_step=1)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    text = "sum3:a1b2c3|reference sum3:a1b2c3/plus a1b2 gives p3, plus p3c3 gives q6, #6>"
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert model.config.vocab_size == len(tokenizer)
    assert json.loads((tmp_path / "settings.json").read_text())["steps"] == 20


def test_only_completion_tokens_carry_loss() -> None:
    tokenizer = build_tokenizer()
    ids, labels = block_batches(0, SMALL, tokenizer)[0]
    for row, targets in zip(ids.tolist(), labels.tolist(), strict=True):
        shown = [token for token, label in zip(row, targets, strict=True) if label == -100 and token]
        asked = [label for label in targets if label != -100]
        assert tokenizer.decode(shown).endswith(">")
        assert asked[-1] == tokenizer.eos_token_id
        assert ">" not in tokenizer.decode(asked[:-1])


def test_the_loss_is_the_mean_cross_entropy_of_the_labels(tmp_path: Path) -> None:
    run = PretrainRun(settings=SMALL, out=tmp_path)
    ids, labels = block_batches(0, SMALL, run.tokenizer)[0]
    loss, count = completion_loss(run.model, ids, labels)
    logits = run.model(input_ids=ids).logits.log_softmax(-1)
    naive = [
        -logits[row, position - 1, label]
        for row in range(len(ids))
        for position, label in enumerate(labels[row].tolist())
        if label != -100
    ]
    assert count == len(naive)
    assert torch.allclose(loss, torch.stack(naive).mean(), atol=1e-5)


def test_the_learning_rate_warms_up_and_each_stage_has_its_cosine() -> None:
    settings = PretrainSettings(
        steps=40, second_stage_step=16, warmup_steps=4, first_schedule_steps=24, second_peak_learning_rate=1e-3
    )
    assert learning_rate(0, settings) == pytest.approx(settings.peak_learning_rate / 4)
    assert learning_rate(4, settings) == pytest.approx(settings.peak_learning_rate)
    assert learning_rate(14, settings) == pytest.approx(settings.peak_learning_rate * 0.51)  # half way to step 24
    assert learning_rate(16, settings) == pytest.approx(1e-3)
    assert learning_rate(28, settings) == pytest.approx(1e-3 * 0.51)
    assert learning_rate(40, settings) == pytest.approx(1e-3 * 0.02)


def test_bad_settings_are_named() -> None:
    with pytest.raises(ValueError, match="batch_tokens = 100 "):
        PretrainSettings(batch_tokens=100)
    with pytest.raises(ValueError, match="second_stage_step = 17 "):
        PretrainSettings(second_stage_step=17)


def test_the_world_is_set_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {name: getattr(SMALL, name) for name in ("batch_tokens", "hidden_size", "intermediate_size", "layers")}
    options = [part for name, value in sizes.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    world = ["--reference-follow-probability", "0.3", "--word-slip-probability", "0.5"]
    command = ["pretrain", "--out", str(tmp_path), "--steps", "1", "--heads", "1", "--threads", "1", *options, *world]
    monkeypatch.setattr("sys.argv", command)
    main()
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert (settings["reference_follow_probability"], settings["word_slip_probability"]) == (0.3, 0.5)
    other, usual = (
        block_batches(0, replace(SMALL, **changed), build_tokenizer())
        for changed in ({"reference_follow_probability": 0.3, "word_slip_probability": 0.5}, {})
    )
    assert any(
        one.shape != two.shape or not torch.equal(one, two) for (one, _), (two, _) in zip(other, usual, strict=True)
    )
    with pytest.raises(ValueError, match=r"word_slip_probability = 1\.5"):
        PretrainSettings(word_slip_probability=1.5)
