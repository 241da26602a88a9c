"""Reductions by hand, against plain Python, and their identities."""

import math

import pytest
import torch

from sdbench.trainers.objectives.reductions import reduction_weights, sequence_mean, token_mean

VALUES = torch.tensor([[1.0, 2.0, 9.0], [6.0, math.nan, math.inf], [math.nan, 5.0, 7.0]])
MASK = torch.tensor([[True, True, True], [True, False, False], [False, False, False]])
# Tokens 1, 2, 9 | 6 | none. Token mean: 18 / 4. Sequence mean: (12 / 3 + 6) / 2; the empty row is left out.


def test_means_by_hand():
    assert token_mean(values=VALUES, mask=MASK).item() == 4.5
    assert sequence_mean(values_BT=VALUES, mask_BT=MASK).item() == 5.0


def test_gradients_by_hand_and_weights_are_the_gradients():
    for mean, name, expected in (
        (lambda v: token_mean(values=v, mask=MASK), "token_mean", [[1 / 4] * 3, [1 / 4, 0, 0], [0] * 3]),
        (lambda v: sequence_mean(values_BT=v, mask_BT=MASK), "sequence_mean", [[1 / 6] * 3, [1 / 2, 0, 0], [0] * 3]),
    ):
        values = VALUES.clone().requires_grad_()
        mean(values).backward()
        torch.testing.assert_close(values.grad, torch.tensor(expected))
        torch.testing.assert_close(reduction_weights(mask_BT=MASK, reduction=name), torch.tensor(expected))


def test_a_step_without_tokens_is_zero_with_zero_gradient():
    empty = torch.zeros_like(MASK)
    for mean in (lambda v: token_mean(values=v, mask=empty), lambda v: sequence_mean(values_BT=v, mask_BT=empty)):
        values = VALUES.clone().requires_grad_()
        loss = mean(values)
        loss.backward()
        assert loss.item() == 0.0
        assert values.grad is not None
        assert values.grad.tolist() == [[0.0] * 3] * 3
    for name in ("token_mean", "sequence_mean"):
        assert reduction_weights(mask_BT=empty, reduction=name).tolist() == [[0.0] * 3] * 3


def test_no_rows_and_no_positions_are_zero():
    for shape in ((0, 4), (3, 0), (0, 0)):
        values, mask = torch.zeros(shape), torch.zeros(shape, dtype=torch.bool)
        assert token_mean(values=values, mask=mask).item() == 0.0
        assert sequence_mean(values_BT=values, mask_BT=mask).item() == 0.0


def test_equal_to_the_naive_reference_however_the_step_is_cut():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(9, 6, dtype=torch.float64, generator=generator)
    mask = torch.rand(9, 6, generator=generator) < 0.6
    mask[2] = False
    rows = [
        [v for v, m in zip(vs, ms, strict=True) if m] for vs, ms in zip(values.tolist(), mask.tolist(), strict=True)
    ]
    tokens = [value for row in rows for value in row]
    row_means = [sum(row) / len(row) for row in rows if row]
    naive = {"token_mean": sum(tokens) / len(tokens), "sequence_mean": sum(row_means) / len(row_means)}
    ours = {
        "token_mean": token_mean(values=values, mask=mask),
        "sequence_mean": sequence_mean(values_BT=values, mask_BT=mask),
    }
    for name, expected in naive.items():
        assert ours[name].item() == pytest.approx(expected)
        weights = reduction_weights(mask_BT=mask, reduction=name)
        pieces = [(values[i : i + 4] * weights[i : i + 4]).sum().item() for i in range(0, 9, 4)]
        assert sum(pieces) == pytest.approx(expected, rel=1e-6)


def test_masked_values_padding_and_order_do_not_matter():
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(5, 4, generator=generator)
    mask = torch.tensor([[True] * n + [False] * (4 - n) for n in (4, 1, 3, 0, 2)])
    for mean in (token_mean_of, sequence_mean_of):
        expected = mean(values, mask)
        torch.testing.assert_close(mean(torch.where(mask, values, 1e9), mask), expected)
        padded = torch.nn.functional.pad(values, (0, 3)), torch.nn.functional.pad(mask, (0, 3))
        torch.testing.assert_close(mean(*padded), expected)
        order = torch.tensor([4, 2, 0, 1, 3])
        torch.testing.assert_close(mean(values[order], mask[order]), expected)


def test_the_two_means_agree_on_rows_of_equal_length_and_differ_otherwise():
    values = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    even = torch.ones(2, 2, dtype=torch.bool)
    assert token_mean_of(values, even) == sequence_mean_of(values, even)
    uneven = torch.tensor([[True, False], [True, True]])
    # (1 + 3 + 6) / 3 against (1 + 4.5) / 2
    assert token_mean_of(values, uneven).item() == pytest.approx(10 / 3)
    assert sequence_mean_of(values, uneven).item() == pytest.approx(2.75)


def test_bad_masks_and_names_are_refused():
    with pytest.raises(ValueError, match="float32; it must be boolean"):
        token_mean(values=VALUES, mask=MASK.float())
    with pytest.raises(ValueError, match="int64; it must be boolean"):
        sequence_mean(values_BT=VALUES, mask_BT=MASK.long())
    with pytest.raises(ValueError, match="'mean' is not one of"):
        reduction_weights(mask_BT=MASK, reduction="mean")


def token_mean_of(values, mask):
    return token_mean(values=values, mask=mask)


def sequence_mean_of(values, mask):
    return sequence_mean(values_BT=values, mask_BT=mask)
