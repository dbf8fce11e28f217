"""Instructions as tokens."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_bundle import CORPUS

from so_arm_policy.core.errors import BundleError, InputError
from so_arm_policy.policy.tokenizer import Tokenizer, normalise, train_tokenizer, words_of


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    train_tokenizer(CORPUS, path)
    return path


@pytest.fixture(scope="module")
def tokenizer(path: Path) -> Tokenizer:
    return Tokenizer(path, words_of(CORPUS), 8)


def test_the_same_corpus_gives_the_same_file(path: Path, tmp_path: Path) -> None:
    train_tokenizer(reversed(CORPUS), tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


def test_instructions_differ_and_are_padded_with_zeros(tokenizer: Tokenizer) -> None:
    encoded = [tokenizer.encode(text) for text in CORPUS]
    assert len({tuple(tokens) for tokens in encoded}) == len(CORPUS)
    for tokens in encoded:
        assert tokens.shape == (8,)
        assert tokens.dtype == np.int64
        assert tokens[-1] == 0
        assert (tokens[:4] > 0).all()
        assert tokens.max() < tokenizer.vocabulary


@given(
    text=st.sampled_from(CORPUS),
    gap=st.sampled_from([" ", "  ", "\t", "\n "]),
    end=st.sampled_from(["", ".", "!", " ?", "...", ";\n"]),
    upper=st.booleans(),
)
def test_case_spaces_and_final_punctuation_do_not_matter(tokenizer: Tokenizer, text, gap, end, upper) -> None:
    written = gap + gap.join(text.upper().split() if upper else text.split()) + end
    assert (tokenizer.encode(written) == tokenizer.encode(text)).all()


@given(st.text())
def test_any_text_is_encoded_or_an_input_error(tokenizer: Tokenizer, text: str) -> None:
    try:
        tokens = tokenizer.encode(text)
    except InputError:
        return
    assert tokens.any()
    assert set(normalise(text).split()) <= set(words_of(CORPUS))


@pytest.mark.parametrize("text", ["", "   ", "\n", "...", "?!"])
def test_an_empty_instruction_is_refused(tokenizer: Tokenizer, text: str) -> None:
    with pytest.raises(InputError, match="instruction: got .*, expected words such as"):
        tokenizer.encode(text)


def test_every_unknown_word_is_listed_once(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match=r"got unknown words \['grab', 'purple'\], expected some of \['blue'"):
        tokenizer.encode("grab the purple purple cube")


def test_long_instructions_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="got 12 tokens, expected at most 8"):
        tokenizer.encode("touch the red cube " * 3)
    with pytest.raises(InputError, match="characters, expected at most"):
        tokenizer.encode("red " * 100_000)


@pytest.mark.parametrize("word", ["Red", "red cube", "", "zzz"])
def test_words_the_tokenizer_cannot_encode_are_refused(path: Path, word: str) -> None:
    with pytest.raises(BundleError, match="expected"):
        Tokenizer(path, ["touch", word], 8)


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b'{"version": "1.0", "model": {"type": "BPE"}}'])
def test_a_file_that_is_no_tokenizer(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "t.json").write_bytes(data)
    with pytest.raises(BundleError, match=r"t\.json: got .*expected a tokenizer file"):
        Tokenizer(tmp_path / "t.json", ["red"], 8)
    with pytest.raises(BundleError, match="No such file"):
        Tokenizer(tmp_path / "absent.json", ["red"], 8)
