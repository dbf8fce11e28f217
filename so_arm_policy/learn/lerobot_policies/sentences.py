"""The tokenizer of an imported bundle: of a language model where the policy reads, else of the words it may be told."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from so_arm_policy.core.errors import InputError
from so_arm_policy.learn.datasets.lerobot_format import read_json
from so_arm_policy.policy.tokenizer import PAD, Tokenizer, normalise, train_tokenizer, words_of

NAME = "tokenizer.json"


def write_tokenizer(
    path: Path, instructions: Sequence[str], language_model: Path | None, longest: int
) -> npt.NDArray[np.int64]:
    """Write the tokenizer of a bundle that is told `instructions`. Returns the tokens of the first, (longest,).

    Raises InputError, also for an instruction of more than `longest` tokens.
    """
    if language_model is None:
        train_tokenizer(instructions, path)
    else:
        write_language_tokenizer(language_model, instructions, path)
    tokenizer = Tokenizer(path, words_of(instructions), longest)
    return [tokenizer.encode(text) for text in instructions][0]


def write_language_tokenizer(folder: Path, instructions: Sequence[str], path: Path) -> None:
    """Write the tokenizer of the language model in `folder` so that a bundle's tokenizer can be it.

    A bundle reads plain words after a blank and calls its padding token 0. Here an instruction becomes what LeRobot
    tokenizes: one of `instructions` as it was written, anything else as it is, with the newline that SmolVLA ends on.
    Raises InputError.
    """
    said = _object(folder / NAME)
    first = _rename_first(folder / NAME, said)
    steps = [_exactly(f" {normalise(text)}", text) for text in instructions]
    own = [said["normalizer"]] if said.get("normalizer") else []
    said["normalizer"] = {
        "type": "Sequence",
        "normalizers": [*steps, _replace({"Regex": "^ "}, ""), _replace({"Regex": r"\z"}, "\n"), *own],
    }
    said["padding"] = said["truncation"] = None
    after = json.dumps(said.get("post_processor")).replace(json.dumps(first), json.dumps(PAD))
    said["post_processor"] = json.loads(after)
    path.write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")


def _rename_first(path: Path, said: dict[str, Any]) -> str:
    """Give token 0 the name that bundles give their padding. Returns the name that it had."""
    vocabulary = said["model"]["vocab"]
    names = [name for name, number in vocabulary.items() if number == 0]
    added = [token for token in said.get("added_tokens", []) if token.get("id") == 0]
    if not added or not all(token.get("special") for token in added):
        raise InputError(f"{path}: got token 0 {names}, expected a special one that no instruction has")
    first = str(added[0]["content"])
    said["model"]["vocab"] = {PAD if number == 0 else name: number for name, number in vocabulary.items()}
    for token in added:
        token["content"] = PAD
    return first


def _exactly(plain: str, text: str) -> dict[str, Any]:
    escaped = "".join(c if c.isalnum() or c == " " else f"\\{c}" for c in plain)
    return _replace({"Regex": rf"\A{escaped}\z"}, f" {text}")


def _replace(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def _object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path}: got no such file, expected the language model's tokenizer (--vlm)")
    said = read_json(path)
    vocabulary = said.get("model", {}).get("vocab") if isinstance(said.get("model"), dict) else None
    if not isinstance(vocabulary, dict):
        raise InputError(f"{path}: got no model.vocab, expected a tokenizer of byte pairs")
    return said
