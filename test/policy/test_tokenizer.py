"""Instructions as tokens."""

import json
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import tokenizers.models
import tokenizers.pre_tokenizers
import tokenizers.trainers
from hypothesis import given
from hypothesis import strategies as st
from tiny_bundle import CORPUS

from so_arm_policy.core.errors import BundleError, InputError
from so_arm_policy.policy.tokenizer import Tokenizer, normalise, train_tokenizer, words_of

BUNDLES = Path(__file__).parents[2] / "bundles"


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
def test_case_spaces_and_punctuation_after_words_do_not_matter(tokenizer: Tokenizer, text, gap, end, upper) -> None:
    written = gap + (end + gap).join(text.upper().split() if upper else text.split()) + end
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
def test_words_the_tokenizer_cannot_encode_are_refused(path: Path, of_characters: Path, word: str) -> None:
    with pytest.raises(BundleError, match="expected"):
        Tokenizer(of_characters, ["touch", word], 8)
    if word != "zzz":  # bytes spell anything
        with pytest.raises(BundleError, match="expected"):
            Tokenizer(path, ["touch", word], 8)


@given(st.text() | st.text("[PAD]UNK ") | st.sampled_from(["[PAD]", " [UNK] ", "\r\n\x00", "日本 🤖 naïve e\u0301"]))
def test_any_text_comes_back_from_its_tokens_unchanged(tokenizer: Tokenizer, text: str) -> None:
    tokens = tokenizer.ids(text)
    assert 0 not in tokens
    assert tokenizer.decode(tokens) == text
    assert tokenizer.decode([*tokens, 0, 0]) == text


def test_the_instruction_can_be_read_from_its_tokens(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("Touch  the RED cube!")) == " touch the red cube"


def test_every_word_of_the_corpus_is_one_token_wherever_it_stands(tokenizer: Tokenizer) -> None:
    alone = {word: tokenizer.encode(word) for word in words_of(CORPUS)}
    assert all((tokens[1:] == 0).all() for tokens in alone.values())
    for text in CORPUS:
        assert tokenizer.encode(text)[:4].tolist() == [alone[word][0] for word in text.split()]


def test_what_cannot_be_text_or_tokens_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="expected what can be written as UTF-8"):
        tokenizer.ids("\ud800")
    with pytest.raises(InputError, match=r"got \[100000, -1\], expected 0\.\.\d+"):
        tokenizer.decode([5, 100_000, -1])


@pytest.fixture(scope="module")
def of_characters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer as the first bundles had: pairs of characters, inside words, with a token for the unknown."""
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="[UNK]"))
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    trainer = tokenizers.trainers.BpeTrainer(special_tokens=["[PAD]", "[UNK]"], show_progress=False)
    bpe.train_from_iterator(CORPUS, trainer)
    path = tmp_path_factory.mktemp("old") / "tokenizer.json"
    bpe.save(str(path))
    return path


def test_tokenizers_of_the_first_bundles_still_work(of_characters: Path) -> None:
    tokenizer, library = (
        Tokenizer(of_characters, words_of(CORPUS), 8),
        tokenizers.Tokenizer.from_file(str(of_characters)),
    )
    for text in CORPUS:
        tokens = tokenizer.encode(f" {text.title()}.")
        assert tokens.tolist() == [*library.encode(text).ids, 0, 0, 0, 0]
        assert tokenizer.decode(tokens) == text
    with pytest.raises(InputError, match="unknown words"):
        tokenizer.encode("touch the zebra")


@pytest.mark.parametrize("manifest", sorted(BUNDLES.glob("*/manifest.json")), ids=lambda path: path.parent.name)
def test_shipped_bundles_read_back_what_they_are_told(manifest: Path) -> None:
    entries = json.loads(manifest.read_text())
    tokenizer = Tokenizer(manifest.with_name("tokenizer.json"), entries["words"], entries["max_tokens"])
    for word in entries["words"]:
        assert tokenizer.decode(tokenizer.encode(word)).strip() == word


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b'{"version": "1.0", "model": {"type": "BPE"}}'])
def test_a_file_that_is_no_tokenizer(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "t.json").write_bytes(data)
    with pytest.raises(BundleError, match=r"t\.json: got .*expected a tokenizer file"):
        Tokenizer(tmp_path / "t.json", ["red"], 8)
    with pytest.raises(BundleError, match="No such file"):
        Tokenizer(tmp_path / "absent.json", ["red"], 8)
