"""Encoder and decoder together, on a task that only works when attention, masks, positions and cache all do."""

import itertools

import pytest
import torch

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.learn.blocks import BlockOptions
from so_arm_policy.learn.encoder_decoder import BOS, EOS, PAD, EncoderDecoder, EncoderDecoderConfig, StackConfig

ADJECTIVES = ("red", "green", "blue", "yellow", "small", "large", "old", "new")
NOUNS = ("car", "cube", "bowl", "plate", "can", "brick", "arm")
WORDS = ("[PAD]", "[BOS]", "[EOS]", *ADJECTIVES, *NOUNS)
NUMBER = {word: i for i, word in enumerate(WORDS)}
EVERY_KIND = [
    ("learned", BlockOptions()),
    ("sinusoidal", BlockOptions(norm="layer")),
    ("rotary", BlockOptions(groups=2, feed="swiglu")),
]


def numbers(*words: str) -> list[int]:
    return [NUMBER[word] for word in words]


def pairs() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Pairs to train on, and held-out ones, of which every word is in some other pair."""
    every = list(itertools.product(ADJECTIVES, NOUNS))
    held_out = [(a, n) for i, (a, n) in enumerate(every) if i % 5 == 2]
    return [pair for pair in every if pair not in held_out], held_out


def sequences(of: list[tuple[str, str]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Sources "red car [EOS] [PAD]" and targets "[BOS] car red [EOS]"."""
    sources = [[*numbers(a, n), EOS, PAD] for a, n in of]
    targets = [[BOS, *numbers(n, a), EOS] for a, n in of]
    return torch.tensor(sources), torch.tensor(targets)


def small(positions: str, options: BlockOptions) -> EncoderDecoder:
    stack = StackConfig(width=32, heads=4, layers=2, options=options)
    return EncoderDecoder(EncoderDecoderConfig(vocabulary=len(WORDS), length=8, positions=positions, stack=stack))


@pytest.mark.parametrize(("positions", "options"), EVERY_KIND)
def test_learns_to_swap_adjective_and_noun_in_pairs_it_never_saw(positions, options):
    torch.manual_seed(0)
    assert len(WORDS) == 18
    network = small(positions, options)
    training, held_out = pairs()
    source, target = sequences(training)
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=0.1)
    for _ in range(120):
        optimiser.zero_grad()
        network.loss(source, target).backward()
        optimiser.step()
    source, target = sequences(held_out)
    got = network.generate(source, 4)
    wanted = torch.cat([target[:, 1:], torch.full((len(held_out), 1), PAD)], dim=1)
    assert torch.equal(got, wanted)


@pytest.mark.parametrize(("positions", "options"), EVERY_KIND)
def test_one_token_at_a_time_from_a_cache_gives_what_all_at_once_does(positions, options):
    torch.manual_seed(1)
    network, batch, length = small(positions, options), 3, 6
    source, target = torch.randint(3, 18, (batch, 4)), torch.randint(3, 18, (batch, length))
    source[0, 2:] = PAD
    keys_values, mask = network.encode(source)
    decoder, tokens = network.decoder, network.target_place(network.words(target))
    whole = decoder(tokens, keys_values, mask)
    for fixed in (False, True):
        cache = decoder.empty_cache(batch, length if fixed else 0)
        for place in range(length):
            at = torch.tensor(place) if fixed else None
            one, cache = decoder.step(tokens[:, place : place + 1], keys_values, cache, at, mask)
            assert torch.allclose(one, whole[:, place : place + 1], atol=1e-5)
        assert cache.shape == decoder.empty_cache(batch, length).shape


@pytest.mark.parametrize(("positions", "options"), EVERY_KIND)
def test_more_padding_and_later_tokens_change_nothing(positions, options):
    torch.manual_seed(2)
    network = small(positions, options)
    source, target = sequences(pairs()[1])
    longer = torch.cat([source, torch.full((len(source), 4), PAD)], dim=1)
    assert torch.allclose(network(source, target), network(longer, target), atol=1e-5)
    later = target.clone()
    later[:, 2:] = NUMBER["arm"]
    assert torch.allclose(network(source, target)[:, :2], network(source, later)[:, :2], atol=1e-5)
    assert not torch.allclose(network(source, target)[:, 2:], network(source, later)[:, 2:], atol=1e-3)


def test_nothing_but_padding_follows_the_end():
    torch.manual_seed(3)
    network = small("learned", BlockOptions())
    with torch.no_grad():
        network.out.bias[EOS] = 100.0
    assert network.generate(sequences(pairs()[1])[0], 4).tolist() == [[EOS, PAD, PAD, PAD]] * len(pairs()[1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: small("spiral", BlockOptions()), "got 'spiral', expected one of .*'rotary'"),
        (lambda: small("none", BlockOptions(norm="batch")), r"norm: got 'batch', expected one of \['layer', 'rms'\]"),
        (lambda: small("none", BlockOptions(feed="relu")), r"got 'relu', expected one of \['gelu', 'swiglu'\]"),
        (lambda: small("none", BlockOptions(groups=3)), "got 3 groups, expected a divisor of 4 heads"),
        (lambda: EncoderDecoderConfig(vocabulary=3, length=8), "got 3 tokens"),
    ],
)
def test_options_that_do_not_exist_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
