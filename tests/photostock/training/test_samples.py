"""What the model saw is kept to the pixel, and can be looked at as one picture."""

import numpy as np

from trainworks.photostock.training.samples import Sample, read, write


def pictures(count: int, size: int = 8) -> list[np.ndarray]:
    return list(np.random.default_rng(count).integers(0, 256, (count, size, size, 3), np.uint8))


def test_samples_come_back_as_they_were_kept(tmp_path):
    """Ids, texts and every pixel, in the same order."""
    kept = [Sample(f"p{i}", f"« {i} » 🦊", pixels) for i, pixels in enumerate(pictures(5))]
    write(kept, tmp_path)
    read_back = read(tmp_path)
    assert [sample[:2] for sample in read_back] == [sample[:2] for sample in kept]
    assert all((a.pixels == b.pixels).all() for a, b in zip(read_back, kept, strict=True))


def test_a_folder_without_samples_has_none(tmp_path):
    """A checkpoint that kept none still has a report."""
    assert read(tmp_path) == []
