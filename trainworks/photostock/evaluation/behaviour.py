"""What the encoders that ship must do whatever their pictures and words: checks over the test gallery.

Most checks ask for the same: a change that means nothing to a person may not change what a search finds. A changed input
*keeps its answers* if at least ``OVERLAP`` of the ``TOP`` first answers of the one it came from are among its own, and the
cosine of the two embeddings is at least ``SIMILARITY``. Pictures are answered by the distinct captions, texts by the
pictures of the gallery. A check takes at most ``CASES`` pictures, each once: its interval supposes independent cases.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from trainworks import behaviour
from trainworks.behaviour import Case, drawn, pick
from trainworks.photostock.curation import index
from trainworks.photostock.evaluation import another_process, perturbations, ranking
from trainworks.photostock.evaluation.checks import BEHAVIOUR
from trainworks.photostock.evaluation.perturbations import Change
from trainworks.photostock.preprocessing.pixels import open_rgb
from trainworks.photostock.search import Encoders
from trainworks.progress import Bar

T = TypeVar("T")
CASES = 64
"""Most cases of a check."""

TOP = 10
"""First answers that are compared; half the gallery where that is fewer."""

OVERLAP, SIMILARITY = 0.5, 0.9
"""Least share of the first answers that stay, and least cosine, for a changed input to keep its answers."""

ROUNDING = 1e-5
"""Differences up to this say nothing: an embedding's in any component, a score's as a whole."""

_ALPHABET = "abc XYZ 019 .,;-_#()'\"\\/\n\t äßéñ жд 山空 🙂"
"""What a text that nobody foresaw is made of."""


@dataclass(frozen=True)
class Gallery:
    """The test split through *encoders*: P pictures in order of id, and the texts that belong to them.

    Attributes:
        texts: the titles and the tags, each with its picture's position; every text once
        images: the pictures' embeddings, float32 (P, D)
        captions: those of the distinct captions, float32 (C, D)
    """

    encoders: Encoders
    ids: list[str]
    titles: list[str]
    tags: list[list[str]]
    pictures: list[bytes]
    texts: list[tuple[int, str]]
    images: np.ndarray
    captions: np.ndarray

    @classmethod
    def load(cls, encoders: Encoders, dataset: Path, shards: list[Path]) -> "Gallery":
        """The test split of *dataset*, whose pictures are in *shards*, embedded once for all checks."""
        rows = index.rows(dataset, "test")
        pictures = [picture for _, picture in sorted(index.pictures(rows, shards))]
        titles, tags = rows["title"].fillna("").tolist(), [list(own) for own in rows["tags"]]
        owners: dict[str, int] = {}
        for position, own in enumerate(zip(titles, map(", ".join, tags), strict=True)):
            for text in filter(None, own):
                owners.setdefault(text, position)
        texts = [(position, text) for text, position in owners.items()]
        captions = encoders.texts(list(dict.fromkeys(rows["caption"])))
        return cls(encoders, rows["id"].tolist(), titles, tags, pictures, texts, encoders.images(pictures), captions)

    def shown(self, position: int) -> dict[str, str | Image.Image]:
        """A picture and its title, as a person is shown them."""
        return {"title": self.titles[position] or self.ids[position], "picture": open_rgb(self.pictures[position])}


def behave(encoders: Path, dataset: Path, shards: list[Path], out: Path) -> None:
    """Write ``behaviour.json`` to *out*, and its examples' pictures: each check of ``checks.BEHAVIOUR``, in its order.

    *encoders* is the folder of export, or a bundle. The same files give the same numbers.
    """
    gallery = Gallery.load(Encoders.load(encoders), dataset, shards)
    criterion = {"top": TOP, "overlap": OVERLAP, "similarity": SIMILARITY, "rounding": ROUNDING}
    behaviour.write(_run(checks(encoders), gallery), BEHAVIOUR, criterion, out)


def checks(encoders: Path) -> dict[str, Callable[[Gallery], list[Case]]]:
    """Each check of the bundle *encoders* by name: from the gallery to its cases."""
    return {
        "consistency": partial(consistency, encoders),
        **{name: partial(picture_invariance, change) for name, change in perturbations.PICTURES.items()},
        **{name: partial(text_invariance, change) for name, change in perturbations.TEXTS.items()},
        "contrast": contrast,
        "monotonicity": monotonicity,
        "int8_agreement": partial(int8_agreement, encoders),
    }


def _run(checks: dict[str, Callable[[Gallery], list[Case]]], gallery: Gallery) -> Iterator[tuple[str, list[Case]]]:
    for name in Bar(BEHAVIOUR, "behaviour"):
        yield name, checks[name](gallery)


def consistency(bundle: Path, gallery: Gallery) -> list[Case]:
    """An input has one embedding, whatever it comes with: within ``ROUNDING`` in every component.

    Pictures and texts, a quarter of these arbitrary characters, are embedded alone, all together, all together in the
    opposite order, and in another process, which loads *bundle* for itself.
    """
    positions = drawn(pick(range(len(gallery.ids))), CASES // 2, int)
    known = drawn(pick([text for _, text in gallery.texts]), CASES // 4, str) if gallery.texts else []
    texts = [*known, *drawn(st.lists(pick(_ALPHABET)).map("".join), CASES - CASES // 2 - len(known), str)]
    pictures = [gallery.pictures[position] for position in positions]
    there = another_process.embed(bundle, pictures, texts)
    seen = [(gallery.ids[position], gallery.shown(position)) for position in positions]
    read: list[tuple[str, dict[str, str | Image.Image]]] = [("a text", {"before": text}) for text in texts]
    return [*_repeated(gallery.encoders.images, pictures, there[0], seen), *_repeated(gallery.encoders.texts, texts, there[1], read)]


def _repeated(
    embed: Callable[[Any], np.ndarray], inputs: Sequence[Any], elsewhere_ND: np.ndarray, shown: Sequence[tuple[str, Mapping[str, Any]]]
) -> list[Case]:
    """A case of each of N *inputs*: how far its embedding alone is from the furthest of its others; *shown* are ids and what to show."""
    alone = np.concatenate([embed([thing]) for thing in inputs])
    ways = {"among others": embed(inputs), "in another order": embed(inputs[::-1])[::-1], "in another process": elsewhere_ND}
    differences = {way: np.abs(embedded - alone).max(axis=1).tolist() for way, embedded in ways.items()}
    cases = []
    for k, (id, example) in enumerate(shown):
        way = max(ways, key=lambda way: differences[way][k])
        difference = differences[way][k]
        cases.append(Case(id, f"alone and {way}", ROUNDING - difference, {"difference": difference}, example))
    return cases


def picture_invariance(change: Change[Image.Image], gallery: Gallery) -> list[Case]:
    """Pictures that *change* changed keep their answers."""
    chosen = drawn(_tried(range(len(gallery.ids)), change.strengths), CASES, lambda pair: pair[0])
    changed = [change.apply(open_rgb(gallery.pictures[position]), strength) for position, strength in chosen]
    positions = [position for position, _ in chosen]
    margins, numbers = kept(gallery.images[positions], gallery.encoders.images(changed), gallery.captions)
    words = [change.words.format(str(strength).replace("-", "−")) for _, strength in chosen]
    return [
        Case(gallery.ids[position], what, margin, number, {**gallery.shown(position), "changed": picture})
        for position, what, margin, number, picture in zip(positions, words, margins, numbers, changed, strict=True)
    ]


def text_invariance(change: Change[str], gallery: Gallery) -> list[Case]:
    """Texts that *change* changed keep their answers."""
    chosen = _changed(gallery.texts, change)
    if not chosen:
        return []
    before, after = [text for _, text, _ in chosen], [text for _, _, text in chosen]
    embedded = gallery.encoders.texts([*before, *after])
    margins, numbers = kept(embedded[: len(chosen)], embedded[len(chosen) :], gallery.images)
    return [
        Case(gallery.ids[position], change.words, margin, number, {"before": old, "after": new})
        for (position, old, new), margin, number in zip(chosen, margins, numbers, strict=True)
    ]


def contrast(gallery: Gallery) -> list[Case]:
    """A picture scores lower, by more than ``ROUNDING``, for a title or tags of its own with one attribute swapped.

    ``red car`` becomes ``blue car``; the attributes are those of ``transforms.CONTRASTS``, in texts that have one.
    """
    chosen = _changed(gallery.texts, Change(perturbations.contrast, perturbations.SEEDS, "its words, and another attribute"))
    return _scored(gallery, chosen, "its words, and with another attribute", lambda own, swapped: own - swapped - ROUNDING)


def monotonicity(gallery: Gallery) -> list[Case]:
    """A picture scores no lower, but for ``ROUNDING``, when one more of its tags joins a query of some of its tags."""
    several = [position for position, tags in enumerate(gallery.tags) if len(tags) > 1]
    if not several:
        return []
    chosen = []
    for position, seed in drawn(_tried(several, perturbations.SEEDS), CASES, lambda pair: pair[0]):
        random = Random(seed)
        tags = random.sample(gallery.tags[position], len(gallery.tags[position]))
        some = random.randrange(1, len(tags))
        chosen.append((position, ", ".join(tags[:some]), ", ".join(tags[: some + 1])))
    return _scored(gallery, chosen, "one more true tag", lambda fewer, more: more - fewer + ROUNDING)


def int8_agreement(bundle: Path, gallery: Gallery) -> list[Case]:
    """Titles and tags keep their answers when the 8-bit text encoder of *bundle* embeds them; no case where it has none."""
    if not gallery.texts or not (bundle / "text_encoder.int8.onnx").exists():
        return []
    chosen = drawn(pick(gallery.texts), CASES, lambda pair: pair[0])
    texts = [text for _, text in chosen]
    margins, numbers = kept(gallery.encoders.texts(texts), Encoders.load(bundle, int8=True).texts(texts), gallery.images)
    return [
        Case(gallery.ids[position], "in 8 bits", margin, number, {"before": text})
        for (position, text), margin, number in zip(chosen, margins, numbers, strict=True)
    ]


def kept(before_ND: np.ndarray, after_ND: np.ndarray, gallery_GD: np.ndarray) -> tuple[list[float], list[dict[str, float]]]:
    """How well each of N changed inputs keeps its answers among G: its margin, below 0 where it does not, and both numbers.

    ``overlap`` is the share of the ``TOP`` first answers, or of G // 2, that stay; ``similarity`` is the cosine of the two embeddings.
    """
    k = max(1, min(TOP, len(gallery_GD) // 2))
    pairs = zip(ranking.top(before_ND, gallery_GD, k)[0], ranking.top(after_ND, gallery_GD, k)[0], strict=True)
    overlaps = [len(np.intersect1d(before, after)) / k for before, after in pairs]
    cosines = (before_ND * after_ND).sum(axis=1).tolist()
    numbers = [{"overlap": overlap, "similarity": cosine} for overlap, cosine in zip(overlaps, cosines, strict=True)]
    return [min(overlap - OVERLAP, cosine - SIMILARITY) for overlap, cosine in zip(overlaps, cosines, strict=True)], numbers


def _tried(things: Sequence[T], strengths: Sequence[int]) -> st.SearchStrategy[tuple[T, int]]:
    """One of *things* with one of *strengths*."""
    return pick(range(len(things) * len(strengths))).map(lambda k: (things[k // len(strengths)], strengths[k % len(strengths)]))


def _changed(texts: Sequence[tuple[int, str]], change: Change[str]) -> list[tuple[int, str, str]]:
    """At most CASES (position, text, changed text), one of each picture, of the *texts* that *change* changes at all."""
    able = [(place, text) for place, text in texts if any(change.apply(text, strength) != text for strength in change.strengths[:8])]
    if not able:
        return []
    tried = _tried(able, change.strengths).map(lambda pair: (*pair[0], change.apply(pair[0][1], pair[1])))
    return drawn(tried.filter(lambda case: case[1] != case[2]), CASES, lambda case: case[0])


def _scored(gallery: Gallery, chosen: Sequence[tuple[int, str, str]], words: str, margin: Callable[[float, float], float]) -> list[Case]:
    """A case of each picture and two texts: how its score changes from the first to the second."""
    if not chosen:
        return []
    images = gallery.images[[position for position, _, _ in chosen]]
    embedded = gallery.encoders.texts([first for _, first, _ in chosen] + [second for _, _, second in chosen])
    before, after = ((part * images).sum(axis=1).tolist() for part in np.split(embedded, 2))
    return [
        Case(
            gallery.ids[position],
            words,
            margin(old, new),
            {"score_before": old, "score_after": new, "difference": new - old},
            {**gallery.shown(position), "before": first, "after": second},
        )
        for (position, first, second), old, new in zip(chosen, before, after, strict=True)
    ]
