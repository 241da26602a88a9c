import torch

from sdbench.trainers.engines.counter_random import uniform

# The first outputs of the published splitmix64 from state 1234567.
REFERENCE = [
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
]


def test_is_splitmix64():
    for position, output in enumerate(REFERENCE):
        assert float(uniform(torch.tensor([1234567]), position)) == (output >> 11) / 2**53


def test_largest_seed_and_far_position_stay_in_range():
    draws = uniform(torch.tensor([0, 1, 2**63 - 1]), 2**40)
    assert draws.dtype == torch.float64
    assert bool(((draws >= 0) & (draws < 1)).all())
    assert len(set(draws.tolist())) == 3


def test_rows_do_not_depend_on_their_neighbours():
    seeds = torch.arange(1000)
    assert torch.equal(uniform(seeds, 7)[500:510], uniform(seeds[500:510], 7))


def test_is_uniform_over_seeds_and_over_positions():
    over_seeds = uniform(torch.arange(20_000), 3)
    over_positions = torch.cat([uniform(torch.tensor([42]), position) for position in range(2_000)])
    for draws in (over_seeds, over_positions):
        counts = torch.histc(draws.float(), bins=20, min=0, max=1)
        chi_square = float(((counts - len(draws) / 20) ** 2 / (len(draws) / 20)).sum())
        assert chi_square < 43.8  # 19 degrees of freedom, p = 0.001
        assert abs(float(torch.corrcoef(torch.stack([draws[1:], draws[:-1]]))[0, 1])) < 0.07
