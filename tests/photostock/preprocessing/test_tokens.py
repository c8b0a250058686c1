"""Texts become token ids of one length, and nothing but tokenizer.json decides how."""

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from trainworks.errors import DataError
from trainworks.photostock.preprocessing.tokens import Tokenizer

PAD, UNKNOWN = 0, 1


def save(path, pad=6, truncate=6):
    words = tokenizers.Tokenizer(WordLevel({"<pad>": PAD, "<unk>": UNKNOWN, "red": 2, "bicycle": 3}, unk_token="<unk>"))
    words.pre_tokenizer = Whitespace()
    if pad:
        words.enable_padding(length=pad, pad_token="<pad>")
    if truncate:
        words.enable_truncation(truncate)
    words.save(str(path))
    return path


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return Tokenizer(save(tmp_path_factory.mktemp("tokens") / "tokenizer.json"))


def test_texts_become_rows_of_ids(tokenizer):
    """Short texts are padded, long ones cut, unknown words have an id."""
    ids = tokenizer(["red bicycle", "red " * 9, "blue"])
    assert ids.dtype == np.int64
    assert ids.tolist() == [[2, 3, 0, 0, 0, 0], [2] * 6, [UNKNOWN, 0, 0, 0, 0, 0]]
    assert tokenizer.context_length == 6


def test_rows_may_end_where_the_longest_does(tokenizer):
    """For encoders that read no padding; a row has at least one column."""
    assert tokenizer(["red bicycle red", "blue"], trimmed=True).tolist() == [[2, 3, 2], [UNKNOWN, 0, 0]]
    assert tokenizer(["", ""], trimmed=True).tolist() == [[PAD], [PAD]]


def test_a_long_text_is_cut_before_it_is_read(tokenizer):
    """To what its first tokens are read from; blanks at its start do not count."""
    assert tokenizer([" " * 9000 + "red " * 9000]).tolist() == [[2] * 6]
    assert tokenizer(["red \ud83d\ude00 bicycle", "red \ud83d bicycle"]).tolist() == [[2, UNKNOWN, 3, 0, 0, 0]] * 2


def test_an_empty_text_is_a_row_of_padding(tokenizer):
    """A picture without a caption is no error."""
    assert tokenizer([""]).tolist() == [[PAD] * 6]


def test_no_text_is_no_row(tokenizer):
    """An empty batch keeps its width."""
    assert tokenizer([]).shape == (0, 6)


@given(texts=st.lists(st.text(max_size=40), max_size=5))
def test_a_text_does_not_depend_on_its_neighbours(tokenizer, texts):
    """Any unicode, alone or in a batch, gives the same row each time."""
    alone = [tokenizer([text])[0].tolist() for text in texts]
    assert tokenizer(texts).tolist() == alone


@pytest.mark.parametrize(("pad", "truncate"), [(None, 6), (6, None), (5, 6)])
def test_a_tokenizer_without_one_length_is_refused(tmp_path, pad, truncate):
    """Rows of several lengths would not make an array, or not the one the encoder takes."""
    with pytest.raises(DataError, match=f"pads to {pad} and truncates to {truncate}"):
        Tokenizer(save(tmp_path / "tokenizer.json", pad, truncate))


@pytest.mark.parametrize("content", ["", "{}", "[1"])
def test_what_is_no_tokenizer_is_refused(tmp_path, content):
    """The message names the file."""
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(DataError, match=r"tokenizer\.json: not a tokenizer"):
        Tokenizer(tmp_path / "tokenizer.json")
