import pytest
import torch
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from sdbench.tasks.sampling.settings import SamplingSettings
from sdbench.trainers.engines.choose import choose_tokens, filter_logits
from sdbench.trainers.engines.counter_random import uniform


def kept(settings, probabilities):
    logits = torch.tensor([probabilities]).log()
    return torch.isfinite(filter_logits(logits, settings))[0].tolist()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (SamplingSettings(), [True, True, True, True]),
        (SamplingSettings(top_k=2), [True, True, False, False]),
        (SamplingSettings(top_k=9), [True, True, True, True]),
        (SamplingSettings(top_p=0.5), [True, False, False, False]),
        (SamplingSettings(top_p=0.51), [True, True, False, False]),
        (SamplingSettings(top_p=0.01), [True, False, False, False]),
        (SamplingSettings(min_p=0.39), [True, True, False, False]),
        (SamplingSettings(min_p=0.99), [True, False, False, False]),
        # top_p acts on what top_k left: 0.5 and 0.3 become 0.625 and 0.375.
        (SamplingSettings(top_k=2, top_p=0.6), [True, False, False, False]),
    ],
)
def test_filters_by_hand(settings, expected):
    assert kept(settings, [0.5, 0.3, 0.15, 0.05]) == expected


def test_equal_logits_stay_together():
    assert kept(SamplingSettings(top_k=2), [0.4, 0.2, 0.2, 0.2]) == [True, True, True, True]
    assert kept(SamplingSettings(top_p=0.5), [0.4, 0.2, 0.2, 0.2]) == [True, True, True, True]
    assert kept(SamplingSettings(top_k=2, top_p=0.9), [0.4, 0.2, 0.2, 0.2]) == [True, True, True, True]


@pytest.mark.parametrize(
    "settings",
    [
        SamplingSettings(temperature=0.7, top_k=11, top_p=0.8, min_p=0.05),
        SamplingSettings(temperature=1.3, top_p=0.6),
        SamplingSettings(temperature=0.9, min_p=0.2),
        SamplingSettings(temperature=0.6, top_k=20, top_p=0.95),
    ],
)
def test_filters_as_transformers_does(settings):
    logits = torch.randn(50, 71, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2
    warpers = LogitsProcessorList([TemperatureLogitsWarper(settings.temperature)])
    if settings.top_k:
        warpers.append(TopKLogitsWarper(settings.top_k))
    if settings.top_p < 1:
        warpers.append(TopPLogitsWarper(settings.top_p))
    if settings.min_p:
        warpers.append(MinPLogitsWarper(settings.min_p))
    theirs = warpers(torch.zeros(50, 1, dtype=torch.long), logits.clone())
    assert torch.equal(torch.isfinite(filter_logits(logits / settings.temperature, settings)), torch.isfinite(theirs))


def test_repetition_penalty_as_transformers_does_and_only_on_seen_tokens():
    logits = torch.tensor([[2.0, -1.0, 1.9, 0.5]])
    seen = torch.tensor([[True, True, False, False]])
    ours = SamplingSettings(temperature=0, repetition_penalty=1.2)
    assert choose_tokens(logits, seeds_B=torch.tensor([0]), position=0, settings=ours, seen_BV=seen).tolist() == [2]
    theirs = RepetitionPenaltyLogitsProcessor(1.2)(torch.tensor([[0, 1]]), logits.clone())
    assert int(theirs.argmax()) == 2
    with pytest.raises(ValueError, match="seen_BV"):
        choose_tokens(logits, seeds_B=torch.tensor([0]), position=0, settings=ours)


def test_inverse_cdf_by_hand():
    seeds = torch.arange(200)
    logits = torch.tensor([0.2, 0.0, 0.5, 0.3]).log().expand(200, 4)
    chosen = choose_tokens(logits, seeds_B=seeds, position=5, settings=SamplingSettings())
    for draw, token in zip(uniform(seeds, 5).tolist(), chosen.tolist(), strict=True):
        assert token == (0 if draw < 0.2 else 2 if draw < 0.7 else 3)


def test_shares_follow_the_distribution():
    logits = torch.tensor([0.1, 0.2, 0.3, 0.4]).log()
    chosen = choose_tokens(
        logits.expand(40_000, 4), seeds_B=torch.arange(40_000), position=0, settings=SamplingSettings()
    )
    expected = torch.tensor([4000.0, 8000.0, 12000.0, 16000.0])
    chi_square = float(((torch.bincount(chosen, minlength=4) - expected) ** 2 / expected).sum())
    assert chi_square < 16.3  # 3 degrees of freedom, p = 0.001


def test_greedy_takes_the_first_of_equals():
    greedy = SamplingSettings(temperature=0)
    logits = torch.tensor([[1.0, 3.0, 3.0], [0.0, -1.0, -2.0]])
    assert choose_tokens(logits, seeds_B=torch.tensor([5, 6]), position=0, settings=greedy).tolist() == [1, 0]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_are_an_error(temperature, bad):
    logits = torch.tensor([[0.0, 1.0], [bad, 0.0]])
    with pytest.raises(FloatingPointError, match="not finite"):
        choose_tokens(
            logits, seeds_B=torch.tensor([1, 2]), position=0, settings=SamplingSettings(temperature=temperature)
        )
