"""Instructions as token numbers: byte-pair encoding over a closed list of words."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer as BpeTokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.trainers import BpeTrainer

from so_arm_policy.core.errors import BundleError, InputError

PAD, UNKNOWN = "[PAD]", "[UNK]"
MAX_BYTES = 16 << 20
MAX_CHARACTERS = 2000


def normalise(text: str) -> str:
    """Return `text` in lower case, single-spaced, without punctuation at its end."""
    return " ".join(text.lower().split()).rstrip(".!?,;: ")


def words_of(corpus: Iterable[str]) -> tuple[str, ...]:
    """Return every word of `corpus`, sorted: the `words` of a manifest."""
    return tuple(sorted({word for text in corpus for word in normalise(text).split()}))


def train_tokenizer(corpus: Iterable[str], path: Path, vocabulary: int = 512) -> None:
    """Learn byte pairs from `corpus` and write them to `path`; padding is token 0. Same corpus, same file."""
    tokenizer = BpeTokenizer(BPE(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    trainer = BpeTrainer(vocab_size=vocabulary, special_tokens=[PAD, UNKNOWN], show_progress=False)
    tokenizer.train_from_iterator(sorted({normalise(text) for text in corpus}), trainer)
    path.write_text(tokenizer.to_str(pretty=True), encoding="utf-8")


class Tokenizer:
    """Encodes the instructions one bundle understands."""

    def __init__(self, path: Path, words: Sequence[str], max_tokens: int) -> None:
        """Load the tokenizer at `path`, for instructions made of `words`. Raises BundleError."""
        self._bpe = _load(path)
        self._words = tuple(words)
        self._known = frozenset(words)
        self._max_tokens = max_tokens
        for word in self._words:
            if normalise(word) != word or " " in word:
                raise BundleError(f"{path}: got word {word!r}, expected one word in lower case")
            encoding = self._bpe.encode(word)
            if not encoding.ids or UNKNOWN in encoding.tokens or 0 in encoding.ids:
                raise BundleError(f"{path}: got tokens {encoding.tokens} for {word!r}, expected only learnt ones")

    @property
    def vocabulary(self) -> int:
        """Number of tokens, padding included."""
        return self._bpe.get_vocab_size()

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
        ids = self._bpe.encode(plain).ids
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
    return bpe
