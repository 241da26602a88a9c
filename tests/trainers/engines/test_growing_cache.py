import torch
from transformers import LlamaConfig
from transformers.cache_utils import DynamicCache

from sdbench.trainers.engines.growing_cache import GrowingLayer, cache_bytes, growing_cache

CONFIG = LlamaConfig(hidden_size=16, num_attention_heads=2, num_hidden_layers=2, vocab_size=11)


def states(generator, rows, tokens):
    return torch.randn(rows, 2, tokens, 8, generator=generator), torch.randn(rows, 2, tokens, 8, generator=generator)


def test_holds_what_a_dynamic_cache_holds():
    generator = torch.Generator().manual_seed(0)
    ours, theirs = growing_cache(CONFIG), DynamicCache(config=CONFIG)
    assert all(type(layer) is GrowingLayer for layer in ours.layers)
    rows = 3
    for tokens, selection in [(5, [0, 0, 1, 2, 2]), (1, None), (40, [4, 1]), (1, None), (1, [1])]:
        for layer in range(2):
            keys, values = states(generator, rows, tokens)
            got, expected = ours.update(keys, values, layer), theirs.update(keys, values, layer)
            assert torch.equal(got[0], expected[0])
            assert torch.equal(got[1], expected[1])
        assert ours.get_mask_sizes(1, 0) == theirs.get_mask_sizes(1, 0)
        if selection is not None:
            ours.batch_select_indices(torch.tensor(selection))
            theirs.batch_select_indices(torch.tensor(selection))
            rows = len(selection)
    assert ours.get_seq_length() == theirs.get_seq_length() == 48


def test_bytes_of_what_is_held():
    cache = growing_cache(CONFIG)
    assert cache_bytes(cache) == 0
    for layer in range(2):
        cache.update(torch.zeros(3, 2, 5, 8), torch.zeros(3, 2, 5, 8), layer)
    assert cache_bytes(cache) == 2 * 2 * 3 * 2 * 5 * 8 * 4
