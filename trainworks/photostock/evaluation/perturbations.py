"""Changes that must not matter to a search, and words that must: pictures and texts, each by a strength.

Every change is a pure function of what it changes and of a whole number, its strength: a measure where there is one
(degrees, per cent), else the seed of what is chosen. A text that has nothing to change comes back as it is.
"""

import io
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Generic, TypeVar

import numpy as np
from PIL import Image, ImageFilter, ImageOps

T = TypeVar("T")
SEEDS = range(1 << 10)


@dataclass(frozen=True)
class Change(Generic[T]):
    """A function of (thing, strength), the strengths it is tried with, and what it does, in words that may hold the strength."""

    apply: Callable[[T, int], T]
    strengths: Sequence[int]
    words: str


def flip(picture: Image.Image, _: int) -> Image.Image:
    """Left and right exchanged."""
    return ImageOps.mirror(picture)


def rotation(picture: Image.Image, degrees: int) -> Image.Image:
    """Turned anticlockwise within its frame; what comes into the corners is white."""
    return picture.rotate(degrees, Image.Resampling.BICUBIC, fillcolor="white")


def reencoding(picture: Image.Image, quality: int) -> Image.Image:
    """Through a JPEG of this *quality* (Pillow's, 1 to 95)."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    with Image.open(file) as opened:
        return opened.convert("RGB")


def rescaling(picture: Image.Image, percent: int) -> Image.Image:
    """Both sides at *percent* of what they were, bicubic with antialiasing."""
    width, height = (max(1, round(side * percent / 100)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def border(picture: Image.Image, percent: int) -> Image.Image:
    """A white border around it, *percent* of the shorter side wide."""
    return ImageOps.expand(picture, max(1, round(min(picture.size) * percent / 100)), "white")


def noise(picture: Image.Image, levels: int) -> Image.Image:
    """Gaussian noise with a standard deviation of *levels* of 255, by itself in every pixel and channel of every picture."""
    pixels = np.asarray(picture)
    drawn = np.random.default_rng(zlib.crc32(pixels.tobytes())).normal(0, levels, pixels.shape)
    return Image.fromarray(np.clip(np.rint(pixels + drawn), 0, 255).astype(np.uint8))


def blur(picture: Image.Image, permille: int) -> Image.Image:
    """A Gaussian blur whose standard deviation is *permille* thousandths of the shorter side."""
    return picture.filter(ImageFilter.GaussianBlur(min(picture.size) * permille / 1000))


def case(text: str, seed: int) -> str:
    """In upper or in lower case, or Each Word With A Capital."""
    return (str.upper, str.lower, str.title)[seed % 3](text)


def tag_order(text: str, seed: int) -> str:
    """What stands between commas, in another order."""
    tags = text.split(", ")
    Random(seed).shuffle(tags)
    return ", ".join(tags)


def plural(text: str, seed: int) -> str:
    """One noun of a small table in the plural where it was in the singular, or the other way round."""
    return _replaced(text, NUMBERS, seed)


def synonyms(text: str, seed: int) -> str:
    """One word of a small table by another that means the same."""
    return _replaced(text, SYNONYMS, seed)


def typos(text: str, seed: int) -> str:
    """In a word of at least four letters, one letter but the first left out, doubled, or exchanged with the next."""
    words = list(re.finditer(r"[^\W\d_]{4,}", text))
    if not words:
        return text
    random = Random(seed)
    word = random.choice(words)
    at = random.randrange(word.start() + 1, word.end() - 1)
    slips = (text[at + 1], text[at] * 2 + text[at + 1], text[at + 1] + text[at])
    return text[:at] + random.choice(slips) + text[at + 2 :]


def contrast(text: str, seed: int) -> str:
    """One attribute, such as a colour or a size, by another of its kind that *text* lacks, wherever it stands."""
    words = set(re.findall(r"\w+", text.casefold()))
    others = {word: tuple(sorted(set(other) - words)) for word, other in CONTRASTS.items()}
    return _replaced(text, others, seed)


def _replaced(text: str, table: Mapping[str, Sequence[str]], seed: int) -> str:
    """*text* with one word that *table* has, wherever it stands, by one of those it gives, in the same case."""
    known = sorted({word for word in re.findall(r"\w+", text.casefold()) if table.get(word)})
    if not known:
        return text
    random = Random(seed)
    word = random.choice(known)
    new = random.choice(table[word])

    def like(old: re.Match) -> str:
        return new.upper() if old[0].isupper() else new.capitalize() if old[0][0].isupper() else new

    return re.sub(rf"\b{word}\b", like, text, flags=re.IGNORECASE)


def _plural(noun: str) -> str:
    if re.search(r"(s|x|z|ch|sh)$", noun):
        return noun + "es"
    return re.sub(r"(?<![aeiou])y$", "ie", noun) + "s"


def _both_ways(pairs: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    turned: dict[str, tuple[str, ...]] = {}
    for one, other in pairs.items():
        turned[one] = (*turned.get(one, ()), other)
        turned[other] = (*turned.get(other, ()), one)
    return turned


_NOUNS = """animal apple arrow artist baby balloon ball banner beach berry bird boat book border bottle box boy bridge building bus
butterfly button cake camera candle car cartoon castle cat chair cherry church circle city cloud coin computer country cow cup
dancer desk dog door dragon drink drum duck eagle engine eye face factory fence finger fire flag flower forest frame frog fruit game
garden girl glass glove guitar hammer hat heart hill home horse house icon insect island jacket key king kitchen lake lamp
landscape leg letter line lion logo machine map market monkey monster mountain mug nation ocean office painting paper park party pattern
pen pencil person phone photo picture pig pilot plane planet plant plate portrait printer puppy queen rabbit region ring river road robot
rocket roof room rose school screen sea shape ship shirt shoe shop sign silhouette sketch skull snake spider square star state stone store
story street student sun sunset sword symbol table tank teacher tiger tool tower toy tractor train tree triangle truck umbrella vegetable
village violin wall watch wheel window wing winter worker"""
_IRREGULAR = {"child": "children", "foot": "feet", "knife": "knives", "leaf": "leaves", "man": "men", "mouse": "mice", "woman": "women"}
NUMBERS = _both_ways({noun: _plural(noun) for noun in _NOUNS.split()} | _IRREGULAR)
"""Noun → its other number."""

SYNONYMS = _both_ways(
    {
        **{"airplane": "plane", "autumn": "fall", "baby": "infant", "beverage": "drink", "bicycle": "bike", "big": "large"},
        **{"bunny": "rabbit", "car": "automobile", "cash": "money", "clothes": "clothing", "couch": "sofa", "drawing": "sketch"},
        **{"emblem": "logo", "forest": "woods", "gift": "present", "happy": "cheerful", "house": "home", "icon": "pictogram"},
        **{"infinite": "endless", "internet": "web", "kid": "child", "lady": "woman", "laptop": "notebook", "little": "small"},
        **{"movie": "film", "mug": "cup", "ocean": "sea", "photo": "photograph", "picture": "image", "police": "cops"},
        **{"road": "street", "rock": "stone", "sad": "unhappy", "ship": "boat", "shop": "store", "soccer": "football"},
        **{"telephone": "phone", "television": "tv", "trash": "garbage", "truck": "lorry", "usa": "america", "world": "earth"},
    }
)
"""Word → words that mean the same in a search."""

_KINDS = (
    ("red", "blue", "green", "yellow", "black", "white", "purple", "pink", "brown", "grey"),
    ("two", "three", "four", "five"),
    *(("big", "small"), ("large", "small"), ("large", "little"), ("young", "old"), ("man", "woman"), ("boy", "girl"), ("male", "female")),
    *(("open", "closed"), ("empty", "full"), ("happy", "sad"), ("hot", "cold"), ("day", "night"), ("summer", "winter"), ("left", "right")),
)
CONTRASTS = {word: tuple({other for kind in _KINDS if word in kind for other in kind} - {word}) for kind in _KINDS for word in kind}
"""Attribute → the others of its kind."""

PICTURES: dict[str, Change[Image.Image]] = {
    "flip": Change(flip, (0,), "mirrored"),
    "rotation": Change(rotation, (*range(-10, 0), *range(1, 11)), "turned by {}°"),
    "reencoding": Change(reencoding, range(60, 96), "JPEG of quality {}"),
    "rescaling": Change(rescaling, (*range(50, 96), *range(105, 151)), "resized to {} %"),
    "border": Change(border, range(1, 11), "white border of {} %"),
    "noise": Change(noise, range(2, 17), "noise of {} levels in 255"),
    "blur": Change(blur, range(2, 11), "blurred by {} ‰ of its side"),
}
TEXTS: dict[str, Change[str]] = {
    "case": Change(case, range(3), "in another case"),
    "tag_order": Change(tag_order, SEEDS, "tags in another order"),
    "plural": Change(plural, SEEDS, "in another number"),
    "synonyms": Change(synonyms, SEEDS, "a synonym"),
    "typos": Change(typos, SEEDS, "a typo"),
}
