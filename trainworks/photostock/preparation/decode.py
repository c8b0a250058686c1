"""Encoded bytes of any origin to an upright RGB picture of the stored size, or the reason why there is none.

Reasons are few and stable, so that they can be counted; the particulars stand in the detail:
``empty file`` · ``not an image`` · ``too many pixels`` · ``too narrow`` · ``too small`` · ``truncated`` ·
``metadata too large`` · ``nothing visible`` · ``cannot be decoded``.
"""

import io
import threading
from contextlib import nullcontext
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from trainworks.photostock.preprocessing.pixels import to_rgb
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

MAX_PIXELS = 178_956_970
"""Width times height. Pillow's own hard limit, hence true without changing its globals; the largest camera back has 151 million."""

LARGE_PIXELS = 16_000_000
"""Width times height above which pictures are decoded one at a time, whatever the number of threads, to bound memory."""

MAX_ASPECT = 10
"""Longer side over shorter. Beyond it the centre square shows less than a tenth of the picture; the widest usual banner is 8 : 1."""

MIN_SIDE = 16
"""Pixels of the shorter side. Below it nothing is left to recognise; the smallest icons in use have 16."""

REDUCING_GAP = 3
"""Shortcuts (a JPEG decoded at 1/2, 1/4 or 1/8; a box filter before Lanczos) stop at this multiple of the stored size.

Measured against decoding and filtering in full: 51 dB or better on photographs, 40 on line art, as near as quality 95 stores it."""

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
        image = _open(data)
        width, height = image.size
        target = _target_size(width, height, stored_size)
        image.draft(None, (REDUCING_GAP * target[0], REDUCING_GAP * target[1]))
        with _large_image_lock if image.width * image.height > LARGE_PIXELS else nullcontext():
            try:
                return _shrunk(image, width, height, target)
            finally:
                image.close()
    except (Rejected, Warning):
        raise
    except Image.DecompressionBombError as error:
        raise Rejected("too many pixels", str(error)) from error
    except Exception as error:  # decoders raise nearly anything on a damaged file
        raise Rejected(_reason(error, data), f"{type(error).__name__}: {error}") from error


def _open(data: bytes) -> Image.Image:
    """*data* as a Pillow image, not yet decompressed, whose header says that it may be."""
    if not data:
        raise Rejected("empty file", "it has 0 bytes")
    formats = [name for name, starts in FORMATS.items() if data.startswith(starts)]
    if not formats:
        raise Rejected("not an image", f"it starts with {data[:16]!r}; expected one of {', '.join(FORMATS)}")
    try:
        image = Image.open(io.BytesIO(data), formats=formats)
    except UnidentifiedImageError:
        raise Rejected("cannot be decoded", f"it starts like a {formats[0]}, but the rest of its header makes no sense") from None
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


def _shrunk(image: Image.Image, width: int, height: int, target: tuple[int, int]) -> DecodedImage:
    """*image*, of *width* × *height* pixels before it is turned upright, decoded and resized to *target*."""
    image.load()
    repairs = _drop_unreadable_exif(image)
    rgb = to_rgb(image)
    if rgb.size != image.size:  # turned by 90°
        width, height, target = height, width, target[::-1]
    pixels = rgb.resize(target, Image.Resampling.LANCZOS, reducing_gap=REDUCING_GAP)  # a copy if it has that size
    if image.has_transparency_data and pixels.getextrema() == ((255, 255),) * 3:
        raise Rejected("nothing visible", "every pixel is transparent or white")
    pixels.info.clear()
    return DecodedImage(pixels, width, height, str(image.format), repairs)


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


def _reason(error: Exception, data: bytes) -> str:
    message = str(error).lower()
    if "truncated" in message or (data.startswith(b"RIFF") and len(data) < 8 + int.from_bytes(data[4:8], "little")):
        return "truncated"
    if "decompressed data too large" in message or "too much memory" in message:  # PNG text or profile
        return "metadata too large"
    return "cannot be decoded"
