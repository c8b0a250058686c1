"""Stored pictures as training reads them."""

from trainworks.photostock.curation import index
from trainworks.photostock.preprocessing.pixels import Preprocessing, open_rgb
from trainworks.photostock.training import changes
from trainworks.photostock.training.pixel_array import pixel_array


def test_the_pixel_array_holds_the_stored_pictures(shards, dataset, tmp_path):
    """Row by row what preprocessing makes of the stored JPEG, whichever shard it lies in."""
    rows = index.rows(dataset, "train")
    preprocessing = Preprocessing("squash(32)")
    array = pixel_array(rows, shards, preprocessing, tmp_path / "pixels")
    assert array.shape == (len(rows), 32, 32, 3)
    assert list(rows["id"]) == sorted(rows["id"])
    for position, stored in index.pictures(rows, shards):
        assert (array[position] == preprocessing.apply(open_rgb(stored))).all()


def test_a_change_is_made_of_the_stored_picture(shards, dataset, tmp_path):
    """By the picture's id, before preprocessing; another file than the pictures as they are."""
    rows = index.rows(dataset, "val")
    preprocessing = Preprocessing("squash(32)")
    array = pixel_array(rows, shards, preprocessing, tmp_path / "changed", changes.picture)
    for position, stored in index.pictures(rows, shards):
        assert (array[position] == preprocessing.apply(changes.picture(rows["id"][position], open_rgb(stored)))).all()
