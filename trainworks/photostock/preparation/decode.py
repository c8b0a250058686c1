"""Encoded bytes of any origin to an upright RGB picture of the stored size, or the reason why there is none.

Reasons are few and stable, so that they can be counted; the particulars stand in the detail:
``empty file`` · ``not an image`` · ``unsupported format …`` · ``too many pixels`` · ``too narrow`` · ``too small`` · ``truncated`` ·
``metadata too large`` · ``nothing visible`` · ``cannot be decoded``.
"""

import io
import re
import threading
import zlib
from contextlib import nullcontext
from dataclasses import dataclass
from math import ceil

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from trainworks.photostock.preprocessing.pixels import DEPTHS, load, to_rgb
from trainworks.photostock.rejected import Rejected

FORMATS = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "WEBP": (b"RIFF",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "BMP": (b"BM",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
"""Pillow's formats that are decoded, and how their files start. The list is closed: EPS, for one, would start Ghostscript."""

UNSUPPORTED = {
    "AVIF": rb".{4}ftypavi(?:f|s)",
    "HEIC": rb".{4}ftyp(hei|hev|mif1|msf1)",
    "JPEG 2000": rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51",
    "JPEG XL": rb"\xff\x0a|\x00\x00\x00\x0cJXL ",
    "video": rb".{4}ftyp|\x1a\x45\xdf\xa3",
    "Photoshop": rb"8BPS",
    "PDF": rb"%PDF",
    "PostScript": rb"%!PS",
    "icon": rb"\x00\x00[\x01\x02]\x00",
    "SVG": rb"\s*(<\?xml[^>]*>)?\s*((<!--.*?-->|<!DOCTYPE svg[^>]*>)\s*)*<svg",
}
"""Formats that are not decoded, and how their files start: a person then knows what to convert."""

STRAY = b"\r\n\t \xef\xbb\xbf"
"""Blank bytes and marks that programs write before a picture."""

MAX_PIXELS = 178_956_970
"""Width times height. Pillow's own hard limit, hence true without changing its globals; the largest camera back has 151 million."""

LARGE_PIXELS = 16_000_000
"""Width times height above which pictures are decoded one at a time, whatever the number of threads, to bound memory."""

MAX_ASPECT = 10
"""Longer side over shorter. Beyond it the centre square shows less than a tenth of the picture; the widest usual banner is 8 : 1."""

MIN_SIDE = 16
"""Pixels of the shorter side. Below it nothing is left to recognise; the smallest icons in use have 16."""

REDUCING_GAP = 3
"""A box filter before Lanczos stops at this multiple of the stored size: 55 dB or better against Lanczos alone, on line art."""

JPEG_GAP = 1.15
"""For a JPEG this multiple, and it is decoded at 1/2, 1/4 or 1/8 down to it: 51 dB on photographs against decoding and filtering in full.

The JPEG of quality 95 that is stored takes 38 to 47."""

_large_image_lock = threading.Lock()


@dataclass(frozen=True)
class DecodedImage:
    """RGB pixels, upright, free of metadata; and the facts of the file they came from."""

    pixels: Image.Image
    width: int
    """Upright, before resizing; in pixels, as is the height."""
    height: int
    format: str
    """As decoded, whatever the file's name says."""
    repairs: tuple[str, ...]


def decode(data: bytes, stored_size: int) -> DecodedImage:
    """Decode *data* in full: the first frame, upright, on white, its shorter side at most *stored_size* pixels.

    Format, size and aspect are checked from the header, before anything is decompressed.

    Raises:
        Rejected: with the reason and its particulars. Nothing else leaves Pillow, whatever *data* holds,
            but warnings that the caller has turned into errors.
    """
    try:
        image, repairs = _open(data)
        width, height = image.size
        target = _target_size(width, height, stored_size)
        drafted = image.draft(None, (ceil(JPEG_GAP * target[0]), ceil(JPEG_GAP * target[1])))
        with _large_image_lock if image.width * image.height > LARGE_PIXELS else nullcontext():
            try:
                return _shrunk(image, width, height, target, drafted[1] if drafted else None, repairs)
            finally:
                image.close()
    except (Rejected, Warning):
        raise
    except Image.DecompressionBombError as error:
        raise Rejected("too many pixels", str(error)) from error
    except Exception as error:  # decoders raise nearly anything on a damaged file
        raise Rejected(_reason(error, data), f"{type(error).__name__}: {error}") from error


def _open(data: bytes) -> tuple[Image.Image, tuple[str, ...]]:
    """*data* as a Pillow image, not yet decompressed, whose header says that it may be; and the names of the repairs that this took."""
    if not data:
        raise Rejected("empty file", "it has 0 bytes")
    repairs: tuple[str, ...] = ()
    if not (formats := _formats(data)) and (formats := _formats(stripped := data.lstrip(STRAY))):
        data, repairs = stripped, ("stray bytes before the picture ignored",)
    if not formats:
        expected = f"it starts with {data[:16]!r}; expected one of {', '.join(FORMATS)}"
        known = next((name for name, start in UNSUPPORTED.items() if re.match(start, data[:4096], re.DOTALL)), "")
        raise Rejected(f"unsupported format {known}" if known else "not an image", expected)
    try:
        image = _checked(data, formats)
    except (UnidentifiedImageError, SyntaxError) as error:
        if formats != ["PNG"] or (mended := without_damaged_extras(data)) == data:
            why = "the rest of its header makes no sense" if isinstance(error, UnidentifiedImageError) else error
            raise Rejected("cannot be decoded", f"it starts like a {formats[0]}, but {why}") from error
        image, repairs = _checked(mended, formats), (*repairs, "damaged extras of a PNG left out")
    return image, repairs


def _formats(data: bytes) -> list[str]:
    return [name for name, starts in FORMATS.items() if data.startswith(starts)]


def _checked(data: bytes, formats: list[str]) -> Image.Image:
    """*data* as a Pillow image of one of *formats*, of a size and shape that are decoded."""
    image = Image.open(io.BytesIO(data), formats=formats)
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise Rejected("too many pixels", f"{width} × {height}; at most {MAX_PIXELS:,} are decoded")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise Rejected("too narrow", f"{width} × {height}; the longer side may be {MAX_ASPECT} times the shorter")
    if min(width, height) < MIN_SIDE:
        raise Rejected("too small", f"{width} × {height}; the shorter side must have {MIN_SIDE} pixels")
    if image.format == "PNG":  # whose decoder passes over the checksums of its data
        Image.open(io.BytesIO(data), formats=formats).verify()
    return image


def without_damaged_extras(data: bytes) -> bytes:
    """A PNG without those of its chunks that are no picture, such as its texts, and whose checksum is wrong; viewers pass over them."""
    kept, at = [data[:8]], 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        is_extra = bool(data[at + 4] & 0x20)
        if not is_extra or end > len(data) or zlib.crc32(data[at + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big"):
            kept.append(data[at:end])
        at = end
    return b"".join([*kept, data[at:]])


def _shrunk(
    image: Image.Image,
    width: int,
    height: int,
    target: tuple[int, int],
    box: tuple[int, int, float, float] | None,
    repairs: tuple[str, ...],
) -> DecodedImage:
    """*image*, of *width* × *height* pixels before it is turned upright, decoded and resized to *target*.

    *box* is a JPEG's: what of the decoded pixels is picture, since a part of a block at its edge is decoded as a whole pixel.
    """
    format = str(image.format)
    is_deep = isinstance(image, ImageFile.ImageFile) and bool(image.tile) and ";16" in str(image.tile[0].args)
    load(image)
    repairs += _drop_unreadable_exif(image) + _deepened(image)
    if box:  # before it is turned, which moves the edges and would copy more
        image = image.resize(target, Image.Resampling.LANCZOS, box, JPEG_GAP)
    rgb = to_rgb(image)
    if rgb.size != image.size:  # turned by 90°
        width, height, target = height, width, target[::-1]
    pixels = rgb.resize(target, Image.Resampling.LANCZOS, reducing_gap=REDUCING_GAP)  # a copy if it has that size
    if image.has_transparency_data and pixels.getextrema() == ((255, 255),) * 3:
        raise Rejected("nothing visible", "every pixel is transparent or white")
    if is_deep and 0 < np.asarray(pixels).max() < 16:
        raise Rejected("nothing visible", "its colours are in the lowest of 16 bits; store them in all 16, or in 8")
    pixels.info.clear()
    return DecodedImage(pixels, width, height, format, repairs)


def _target_size(width: int, height: int, stored_size: int) -> tuple[int, int]:
    """The size at which the shorter side is *stored_size*; never larger than the picture."""
    scale = min(1.0, stored_size / min(width, height))
    return round(width * scale), round(height * scale)


def _drop_unreadable_exif(image: Image.Image) -> tuple[str, ...]:
    """Read the EXIF of a loaded *image*; where that fails Pillow goes on with none, and the picture is not turned."""
    try:
        image.getexif()
    except Exception:  # decoders raise nearly anything on a damaged file
        return ("unreadable EXIF ignored",)
    return ()


def _deepened(image: Image.Image) -> tuple[str, ...]:
    """Whether a loaded *image* is grey of 10 to 14 bits in 16, which `to_rgb` scales."""
    is_scaled = image.mode.startswith("I") and 0 < np.asarray(image).max() <= DEPTHS[-2]
    return ("grey of fewer than 16 bits scaled",) if is_scaled else ()


def _reason(error: Exception, data: bytes) -> str:
    message = str(error).lower()
    if "truncated" in message or (data.startswith(b"RIFF") and len(data) < 8 + int.from_bytes(data[4:8], "little")):
        return "truncated"
    if "decompressed data too large" in message or "too much memory" in message:  # PNG text or profile
        return "metadata too large"
    return "cannot be decoded"
