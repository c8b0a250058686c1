"""Every backbone's tokenizer as one `tokenizers` file, so that serving needs no open_clip and no transformers.

The file holds everything: cleaning, the special tokens, truncation to the context length and padding.
"""

from pathlib import Path

import open_clip
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

CLEANING: dict[str, list[normalizers.Normalizer]] = {
    "_clean_whitespace": [],
    "_clean_lower": [normalizers.Lowercase()],
    "_clean_canonicalize": [
        normalizers.Replace("_", " "),
        normalizers.Replace(Regex(r"[!-/:-@\[-`{-~]"), ""),
        normalizers.Lowercase(),
    ],
}


def open_clip_tokenizer(backbone: str) -> tuple[Tokenizer, int]:
    """The tokenizer of an open_clip architecture and its context length.

    Raises:
        ValueError: the tokenizer cleans its text in a way that this file format cannot express.
    """
    source = open_clip.get_tokenizer(backbone)
    if isinstance(source, SimpleTokenizer):
        tokenizer, pad = _clip_bpe(source), 0
    elif isinstance(source, HFTokenizer) and not source.strip_sep_token:
        tokenizer, pad = Tokenizer.from_str(source.tokenizer.backend_tokenizer.to_str()), source.tokenizer.pad_token_id
    else:
        raise ValueError(f"the {type(source).__name__} of {backbone} has no equivalent in one tokenizer.json")
    own = [tokenizer.normalizer] if tokenizer.normalizer else []
    tokenizer.normalizer = normalizers.Sequence([*CLEANING[source.clean_fn.__name__], *_whitespace(), *own])
    return _fixed_length(tokenizer, source.context_length, pad), source.context_length


def bert_tokenizer(path: Path, context_length: int) -> Tokenizer:
    """The WordPiece tokenizer in *path*, for rows of *context_length* ids."""
    return _fixed_length(Tokenizer.from_file(str(path)), context_length, 0)


def _clip_bpe(source: SimpleTokenizer) -> Tokenizer:
    merges = sorted(source.bpe_ranks, key=source.bpe_ranks.__getitem__)
    tokenizer = Tokenizer(models.BPE(vocab=source.encoder, merges=merges, end_of_word_suffix="</w>"))
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(words, behavior="removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    start, end = "<start_of_text>", "<end_of_text>"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, source.sot_token_id), (end, source.eot_token_id)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _whitespace() -> list[normalizers.Normalizer]:
    return [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]


def _fixed_length(tokenizer: Tokenizer, context_length: int, pad: int) -> Tokenizer:
    tokenizer.enable_truncation(context_length)
    tokenizer.enable_padding(length=context_length, pad_id=pad, pad_token=tokenizer.id_to_token(pad) or "")
    return tokenizer
