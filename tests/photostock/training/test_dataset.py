"""What training reads: every picture once an epoch, each with one of its texts, in an order that can be repeated."""

import numpy as np
import pandas as pd
import pytest
import torch

from trainworks.errors import DataError
from trainworks.photostock.curation import index
from trainworks.photostock.model.towers import build
from trainworks.photostock.preprocessing.text import Prompt
from trainworks.photostock.training import changes
from trainworks.photostock.training import dataset as data
from trainworks.photostock.training.knobs import Pairs, TrainConfig
from trainworks.training.ranks import ALONE, Rank


@pytest.fixture(scope="module")
def tokenizer():
    """The tokenizer of the default backbone."""
    return build("lite0-minilm", 32).tokenizer


def pairs(n, tokenizer, rank=ALONE, with_changes=False, **knobs):
    """A loader over *n* pictures whose pixels are all their own number."""
    rows = pd.DataFrame(
        {
            "id": [f"p{k}" for k in range(n)],
            "caption": [f"text {k}" for k in range(n)],
            "texts": [[f"text {k}", f"other {k}"] for k in range(n)],
            "tags": [["even", "small"] if k % 2 == 0 else [] for k in range(n)],
        }
    )
    pixels = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, 4, 4, 3))
    config = TrainConfig(**{"batch_size": 4, **knobs})
    pixels = pixels + 50 * np.arange(4, dtype=np.uint8)[:, None] * with_changes  # so that a mirrored picture is another
    changed = pixels + 1 if with_changes else None
    return data.PairLoader(rows, pixels, data.tokens(tokenizer), Prompt("{title}"), config, "tags" in config.loss, rank, changed)


def epoch_of(loader, tokenizer):
    """One epoch as (picture number, text) pairs."""
    seen = []
    for batch in loader:
        texts = [tokenizer.decode(ids) for ids in batch.text.tolist()]
        seen += list(zip(batch.image[:, 0, 0, 0].tolist(), texts, strict=True))
    return seen


def test_an_epoch_shows_every_picture_in_full_batches(tokenizer):
    """Ten pictures at four a batch are three batches; the last is filled up, nothing is left out."""
    loader = pairs(10, tokenizer)
    seen = epoch_of(loader, tokenizer)
    assert len(loader) == 3 and len(seen) == 12
    assert {number for number, _ in seen} == set(range(10))


def test_each_picture_meets_its_own_texts_and_all_of_them_in_time(tokenizer):
    """Text k belongs to picture k, and over some epochs both its texts come up."""
    loader = pairs(8, tokenizer)
    met = {pair for _ in range(12) for pair in epoch_of(loader, tokenizer)}
    assert met == {(k, f"{word} {k}") for k in range(8) for word in ("text", "other")}


def test_shuffled_pairs_are_wrong_pairs(tokenizer):
    """The control run: the same pictures and texts, hardly any of them together."""
    seen = epoch_of(pairs(40, tokenizer, pairs=Pairs.SHUFFLED), tokenizer)
    wrong = [number for number, text in seen if text.split()[1] != str(number)]
    assert len(wrong) > 35


def test_two_loaders_agree_and_epochs_differ(tokenizer):
    """Order and texts are functions of seed and epoch alone."""
    first, second, other = pairs(8, tokenizer), pairs(8, tokenizer), pairs(8, tokenizer, seed=2)
    one, two = epoch_of(first, tokenizer), epoch_of(first, tokenizer)
    assert one == epoch_of(second, tokenizer)
    assert one != two
    assert one != epoch_of(other, tokenizer)


@pytest.mark.parametrize("given", [0, 1, 2, 3, 5, 6])
def test_a_new_loader_goes_on_where_another_stopped(tokenizer, given):
    """After any number of batches, in the middle of an epoch and at its end: the rest is the same, and so are the pictures named."""
    loader, rest = pairs(10, tokenizer), pairs(10, tokenizer)
    batches = [batch for _ in range(3) for batch in loader]
    rest.load_state_dict({"given": given})
    goes_on = [batch for _ in range(3 - given // 3) for batch in rest]
    assert len(goes_on) == 9 - given
    for step, (batch, expected) in enumerate(zip(goes_on, batches[given:], strict=True), start=given):
        assert batch.image.equal(expected.image) and batch.text.equal(expected.text)
        assert rest.ids_of(step) == [f"p{number}" for number in batch.image[:, 0, 0, 0].tolist()]
    assert rest.state_dict() == loader.state_dict() == {"given": 9}


def test_a_batch_brings_one_tag_of_each_picture_that_has_any(tokenizer):
    """Which picture has which of the drawn tags counts all its tags, not only the one it drew; a picture without tags has none."""
    for batch in pairs(8, tokenizer, loss="clip + tags"):
        tags = [tokenizer.decode(ids) for ids in batch.tags.text.tolist()]
        assert tags == sorted(set(tags)) and set(tags) <= {"even", "small"}
        assert [row.all() for row in batch.tags.has.numpy()] == [number % 2 == 0 for number in batch.image[:, 0, 0, 0].tolist()]


@pytest.mark.parametrize("of", [1, 2])
def test_every_pair_comes_changed_too(tokenizer, of):
    """The same picture, mirrored where it is, and the same text with its typo; a part of the batch for each rank."""
    loaders = [pairs(10, tokenizer, Rank(number, of), with_changes=True, augment_image="flip") for number in range(of)]
    mirrored = set()
    for batch in (batch for _ in range(2) for loader in loaders for batch in loader):
        assert batch.changed.image.equal(batch.image + 1)
        mirrored |= set((batch.image[:, 0, 0, 0] >= 150).tolist())
        texts, changed = (tokenizer.decode_batch(part.text.tolist()) for part in (batch, batch.changed))
        assert changed == tokenizer.decode_batch([encoding.ids for encoding in tokenizer.encode_batch([*map(changes.text, texts)])])
        assert all(one != other for one, other in zip(texts, changed, strict=True))
    assert mirrored == {False, True}


@pytest.mark.parametrize("of", [1, 2, 4])
def test_the_parts_of_all_ranks_are_the_batches_of_one(tokenizer, of):
    """Pictures and texts in order; numbers of captions, which picture has which tag, and the pictures named are of the whole batch."""
    loaders = [pairs(10, tokenizer, rank=Rank(number, of), loss="tags", augment_image="flip") for number in range(of)]
    one_rank = pairs(10, tokenizer, loss="tags", augment_image="flip")
    for step, (expected, *parts) in enumerate(zip(one_rank, *loaders, strict=True)):
        assert torch.cat([part.image for part in parts]).equal(expected.image)
        assert torch.cat([part.text for part in parts]).equal(expected.text)
        assert {len(part.tags.text) for part in parts} == {-(-len(expected.tags.text) // of)}
        assert torch.cat([part.tags.text for part in parts])[: len(expected.tags.text)].equal(expected.tags.text)
        for loader, part in zip(loaders, parts, strict=True):
            assert part.caption.equal(expected.caption) and part.tags.has.equal(expected.tags.has)
            assert loader.ids_of(step) == one_rank.ids_of(step)


def test_texts_are_encoded_by_their_features(tokenizer):
    """Where the text tower is locked, a text is its row of features, in whatever order texts are encoded."""
    encode = data.from_features(["a", "b"], np.array([[1.0], [2.0]], np.float32))
    assert encode(["b", "a", "b"]).flatten().tolist() == [2, 1, 2]


def test_fewer_pictures_than_a_batch_is_an_error(tokenizer):
    """Zero batches would train nothing and look like success."""
    with pytest.raises(DataError, match=r"3 training pictures are fewer than --batch_size = 4: .*--batch_size 2"):
        pairs(3, tokenizer)


def test_a_missing_shard_is_named(shards, dataset):
    """A dataset and shards that do not belong together are refused."""
    with pytest.raises(DataError, match="not among the 0 given"):
        list(index.pictures(index.rows(dataset, "train"), []))
