"""Texts to token ids, by the one ``tokenizer.json`` that training, evaluation and serving read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tokenizers

from trainworks.errors import DataError

PER_TOKEN = 100
"""Characters that a token stands for at most: of a longer word BERT's tokenizers know nothing, and no vocabulary has a longer one."""


class Tokenizer:
    """A ``tokenizer.json`` that pads and truncates to one length, as stored in the file itself.

    Raises:
        DataError: the file does not parse, or does not pad and truncate to one length.
    """

    def __init__(self, path: Path | str):
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise DataError(f"{path}: not a tokenizer.json that this version of tokenizers reads ({error})") from error
        pads = (self._tokenizer.padding or {}).get("length")
        truncates = (self._tokenizer.truncation or {}).get("max_length")
        if not pads or pads != truncates:
            raise DataError(f"{path}: must pad and truncate to one context length; it pads to {pads} and truncates to {truncates}")
        self.context_length: int = pads
        """Tokens per text, padding included."""

    def __call__(self, texts: Sequence[str], *, trimmed: bool = False) -> np.ndarray:
        """Texts → int64 ``(n, context_length)``, or *trimmed* to the longest of them; an empty text is a row like any other.

        A text is cut before it is read: of megabytes all but the first tokens would be dropped after seconds.
        """
        encodings = self._tokenizer.encode_batch([self._readable(text) for text in texts])
        ids = np.array([encoding.ids for encoding in encodings], np.int64).reshape(len(encodings), self.context_length)
        if not trimmed:
            return ids
        longest = max((sum(encoding.attention_mask) for encoding in encodings), default=1)
        return ids[:, : max(longest, 1)]

    def _readable(self, text: str) -> str:
        """*text*, cut, and with halves of UTF-16 characters, which no tokenizer takes, joined or replaced."""
        if len(text) > (most := PER_TOKEN * self.context_length):
            text = text.lstrip()[:most]
        return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
