"""The same for ViT-B/32, a common size of CLIP, with random weights: the cost of an embedding does not depend on them."""

from collections.abc import Iterator

from benchmarks import serving
from benchmarks.harness import Row


def rows(quick: bool) -> Iterator[Row]:
    """As for the default backbone."""
    yield from serving.compared("ViT-B-32", "random", quick)
