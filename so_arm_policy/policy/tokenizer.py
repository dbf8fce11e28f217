"""Instructions as token numbers: byte-pair encoding over a closed list of words.

The pairs are of bytes, after Sennrich et al., "Neural machine translation of rare words with subword units", 2016, and
Radford et al., "Language models are unsupervised multitask learners", 2019, so that any text has tokens and comes back
from them unchanged. Bundles made before that have pairs of characters inside words instead, and still load.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer as BpeTokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from so_arm_policy.core.errors import BundleError, InputError

PAD, UNKNOWN = "[PAD]", "[UNK]"
MAX_BYTES = 16 << 20
MAX_CHARACTERS = 2000


def normalise(text: str) -> str:
    """Return `text` in lower case, single-spaced, without punctuation at the end of words."""
    return " ".join(filter(None, (word.rstrip(".!?,;:") for word in text.lower().split())))


def _spoken(plain: str) -> str:
    """Put a blank before the first word too: then a word has the same tokens wherever it stands."""
    return f" {plain}"


def words_of(corpus: Iterable[str]) -> tuple[str, ...]:
    """Return every word of `corpus`, sorted: the `words` of a manifest."""
    return tuple(sorted({word for text in corpus for word in normalise(text).split()}))


def train_tokenizer(corpus: Iterable[str], path: Path, vocabulary: int = 1024) -> None:
    """Learn byte pairs from `corpus` and write them to `path`; padding is token 0. Same corpus, same file.

    vocabulary: the most tokens, padding and the 256 bytes included; fewer once every word is one token.
    """
    bpe = BpeTokenizer(BPE())
    bpe.pre_tokenizer = ByteLevel(add_prefix_space=False)
    bpe.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(
        vocab_size=vocabulary, special_tokens=[PAD], initial_alphabet=ByteLevel.alphabet(), show_progress=False
    )
    bpe.train_from_iterator(sorted({_spoken(normalise(text)) for text in corpus}), trainer)
    path.write_text(bpe.to_str(pretty=True), encoding="utf-8")


class Tokenizer:
    """Encodes the instructions one bundle understands."""

    def __init__(self, path: Path, words: Sequence[str], max_tokens: int) -> None:
        """Load the tokenizer at `path`, for instructions made of `words`. Raises BundleError."""
        self._bpe = _load(path)
        self._words = tuple(words)
        self._known = frozenset(words)
        self._max_tokens = max_tokens
        for word in self._words:
            if not word or normalise(word) != word or " " in word:
                raise BundleError(f"{path}: got word {word!r}, expected one word in lower case")
            encoding = self._bpe.encode(_spoken(word))
            if not encoding.ids or UNKNOWN in encoding.tokens or 0 in encoding.ids:
                raise BundleError(f"{path}: got tokens {encoding.tokens} for {word!r}, expected only learnt ones")

    @property
    def words(self) -> tuple[str, ...]:
        """Every word that an instruction may hold."""
        return self._words

    @property
    def vocabulary(self) -> int:
        """Number of tokens, padding included."""
        return self._bpe.get_vocab_size()

    def ids(self, text: str) -> list[int]:
        """Return the tokens of `text` as it is, without list of words, limit and padding. Raises InputError."""
        try:
            return self._bpe.encode(text).ids
        except (TypeError, UnicodeEncodeError) as error:
            raise InputError(f"text: got {text!r} ({error}), expected what can be written as UTF-8") from error

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of tokens, padding left out: what went into `ids`, byte for byte. Raises InputError.

        Of tokens from `encode`, the plain instruction after a blank. Of a bundle whose pairs are of characters, the
        tokens with blanks between.
        """
        real = [int(token) for token in ids if token != 0]
        wrong = [token for token in real if not 0 < token < self.vocabulary]
        if wrong:
            raise InputError(f"tokens: got {wrong}, expected 0..{self.vocabulary - 1}")
        return self._bpe.decode(real, skip_special_tokens=False)

    def encode(self, text: str) -> npt.NDArray[np.int64]:
        """Return `text` as (max_tokens,) int64, padded with 0. Raises InputError when empty, unknown or too long."""
        if len(text) > MAX_CHARACTERS:
            raise InputError(f"instruction: got {len(text)} characters, expected at most {MAX_CHARACTERS}")
        plain = normalise(text)
        if not plain:
            raise InputError(f"instruction: got {text!r}, expected words such as {list(self._words[:8])}")
        unknown = [word for word in dict.fromkeys(plain.split()) if word not in self._known]
        if unknown:
            raise InputError(f"instruction {text!r}: got unknown words {unknown}, expected some of {list(self._words)}")
        ids = self.ids(_spoken(plain))
        if len(ids) > self._max_tokens:
            raise InputError(f"instruction {text!r}: got {len(ids)} tokens, expected at most {self._max_tokens}")
        padded = np.zeros(self._max_tokens, dtype=np.int64)
        padded[: len(ids)] = ids
        return padded


def _load(path: Path) -> BpeTokenizer:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise BundleError(f"{path}: got {size} bytes, expected at most {MAX_BYTES}")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: got {error}, expected a tokenizer file") from error
    try:
        bpe = BpeTokenizer.from_str(text)
    except Exception as error:  # noqa: BLE001 - `tokenizers` raises plain Exception, nothing narrower
        raise BundleError(f"{path}: got {error}, expected a tokenizer file") from error
    if bpe.token_to_id(PAD) != 0:
        raise BundleError(f"{path}: got token {bpe.token_to_id(PAD)} for {PAD}, expected 0")
    bpe.encode_special_tokens = True  # "[PAD]" in a text is five characters, not padding
    return bpe
