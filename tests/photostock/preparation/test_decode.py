"""What becomes of a picture's bytes: an upright RGB picture on white, or one of nine reasons."""

import io
import os
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageDraw, ImageOps, PngImagePlugin

from trainworks.photostock.preparation import decode as module
from trainworks.photostock.preparation.decode import decode
from trainworks.photostock.rejected import Rejected

WHITE, BLACK, RED = (255, 255, 255), (0, 0, 0), (255, 0, 0)


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def disc(mode: str, ground, ink, size: tuple[int, int] = (48, 48)) -> Image.Image:
    """A disc of *ink* in the middle of *ground*: its corner and its centre show what became of both."""
    image = Image.new(mode, size, ground)
    ImageDraw.Draw(image).ellipse((size[0] // 4, size[1] // 4, size[0] * 3 // 4, size[1] * 3 // 4), fill=ink)
    return image


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """A smooth random photograph."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def palette(transparency: int | bytes) -> bytes:
    """A red disc (colour 1) on black (colour 0), of which *transparency* says how far each is seen."""
    image = disc("P", 0, 1)
    image.putpalette([*BLACK, *RED])
    return encoded(image, transparency=transparency)


def reason(data: bytes) -> str:
    with pytest.raises(Rejected) as rejection:
        decode(data, 160)
    assert rejection.value.detail
    return rejection.value.reason


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_listed_format_is_decoded_and_named(format: str):
    """The format comes from the bytes: nobody asks for a file name, so that a wrong one does no harm."""
    picture = decode(encoded(disc("RGB", WHITE, RED), format), 32)
    assert (picture.format, picture.width, picture.height, picture.pixels.size) == (format, 48, 48, (32, 32))
    assert np.allclose(picture.pixels.getpixel((16, 16)), RED, atol=4)
    assert np.allclose(picture.pixels.getpixel((1, 1)), WHITE, atol=4)


@pytest.mark.parametrize(
    ("data", "ground", "ink"),
    [
        pytest.param(encoded(disc("RGBA", (0, 0, 0, 0), (255, 0, 0, 255))), WHITE, RED, id="RGBA"),
        pytest.param(encoded(disc("RGBA", (0, 0, 0, 0), (255, 0, 0, 128))), WHITE, (255, 127, 127), id="RGBA half seen"),
        pytest.param(encoded(disc("LA", (0, 0), (0, 255))), WHITE, BLACK, id="LA"),
        pytest.param(encoded(disc("RGB", BLACK, RED), transparency=BLACK), WHITE, RED, id="RGB, black transparent"),
        pytest.param(encoded(disc("L", 0, 100), transparency=0), WHITE, (100, 100, 100), id="L, black transparent"),
        pytest.param(palette(0), WHITE, RED, id="palette, one colour transparent"),
        pytest.param(palette(bytes([0, 128])), WHITE, (255, 127, 127), id="palette, alpha per colour"),
        pytest.param(encoded(disc("RGBA", (0, 0, 0, 0), RED), "WEBP", lossless=True), WHITE, RED, id="WEBP with alpha"),
        pytest.param(encoded(disc("1", 1, 0)), WHITE, BLACK, id="1 bit"),
        pytest.param(encoded(disc("CMYK", (0, 0, 0, 0), (0, 255, 255, 0)), "JPEG", quality=95), WHITE, RED, id="CMYK as Adobe writes it"),
        pytest.param(encoded(disc("CMYK", (0, 0, 0, 0), (0, 255, 255, 0)), "TIFF"), WHITE, RED, id="CMYK"),
        pytest.param(encoded(disc("LAB", (255, 128, 128), (0, 128, 128)), "TIFF"), WHITE, BLACK, id="LAB"),
        pytest.param(encoded(disc("I;16", 65535, 0x8000)), WHITE, (128, 128, 128), id="16-bit grey"),
        pytest.param(encoded(disc("I;16", 1000, 0x8000), transparency=1000), WHITE, (128, 128, 128), id="16-bit grey, one transparent"),
        pytest.param(encoded(disc("I", 65535, 0x8000), "TIFF"), WHITE, (128, 128, 128), id="32-bit integers within 16 bits"),
        pytest.param(encoded(disc("F", 1.0, 0.5), "TIFF"), WHITE, (128, 128, 128), id="floats of 0 to 1"),
        pytest.param(encoded(disc("F", 900.0, -100.0), "TIFF"), WHITE, BLACK, id="floats of any range"),
    ],
)
def test_every_mode_becomes_rgb_on_white(data: bytes, ground, ink):
    """Neither black behind a drawing nor white in place of deep grey."""
    pixels = decode(data, 160).pixels
    assert pixels.mode == "RGB"
    assert np.allclose(pixels.getpixel((1, 1)), ground, atol=3)
    assert np.allclose(pixels.getpixel((24, 24)), ink, atol=3)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (1, None),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_pictures_stand_upright_and_carry_no_metadata(format: str, orientation: int, stored: Image.Transpose | None):
    """However the camera was held, the red corner is top left and the picture 96 wide."""
    upright = Image.new("RGB", (96, 64), "white")
    upright.paste("red", (0, 0, 48, 32))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Artist] = "A. Nobody"
    picture = decode(encoded(upright if stored is None else upright.transpose(stored), format, exif=exif), 32)
    assert (picture.width, picture.height, picture.pixels.size) == (96, 64, (48, 32))
    assert np.allclose(picture.pixels.getpixel((8, 8)), RED, atol=8)
    assert np.allclose(picture.pixels.getpixel((40, 24)), WHITE, atol=8)
    assert not picture.pixels.info and not picture.pixels.getexif()


def test_unreadable_exif_is_a_repair_and_no_reason_to_reject():
    """The picture is kept as it lies, and the card can count how often that happened."""
    picture = decode(encoded(noise(64, 48), exif=b"Exif\0\0no such thing"), 32)
    assert picture.repairs == ("unreadable EXIF ignored",)
    assert decode(encoded(noise(64, 48)), 32).repairs == ()


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_kept(format: str):
    """Red, then green, then blue: red."""
    frames = [disc("RGB", colour, WHITE) for colour in ("red", "green", "blue")]
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:])
    assert np.allclose(decode(data, 160).pixels.getpixel((1, 1)), RED, atol=8)


@given(width=st.integers(16, 400), height=st.integers(16, 400), stored_size=st.integers(32, 128))
@settings(max_examples=50, deadline=None)
def test_the_shorter_side_has_the_stored_size_unless_it_was_smaller(width: int, height: int, stored_size: int):
    """Never enlarged, never squashed by more than rounding."""
    if max(width, height) > 10 * min(width, height):
        return
    pixels = decode(encoded(Image.new("RGB", (width, height), "red"), "BMP"), stored_size).pixels
    assert min(pixels.size) == min(stored_size, width, height)
    assert abs(pixels.width * height - pixels.height * width) <= max(width, height) / 2


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("size", [(1600, 1200), (1001, 777), (517, 517)])
def test_jpegs_decoded_small_look_like_jpegs_decoded_in_full(size: tuple[int, int], orientation: int):
    """The shortcut through the DCT costs less than JPEG itself does, 50 dB at least, wherever a part of a block at the edge has gone."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = encoded(noise(*size), "JPEG", quality=95, exif=exif)
    quick = decode(data, 100).pixels
    full = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    slow = full.resize(quick.size, Image.Resampling.LANCZOS)
    error = np.square(np.asarray(quick, float) - np.asarray(slow, float)).mean()
    assert 10 * np.log10(255**2 / error) > 50


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"/>'
PHOTO = {format: encoded(noise(96, 64), format) for format in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"", "empty file", id="no bytes"),
        pytest.param(b"<!DOCTYPE html><title>404</title>", "not an image", id="a page of HTML"),
        pytest.param(SVG, "unsupported format SVG", id="SVG"),
        pytest.param(
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n", "unsupported format PostScript", id="EPS, which would start a process"
        ),
        pytest.param(encoded(noise(64, 64), "PPM"), "not an image", id="a format off the list"),
        pytest.param(b"RIFF\x04\0\0\0WAVE", "cannot be decoded", id="a sound"),
        pytest.param(encoded(Image.new("RGB", (1, 1))), "too small", id="1 × 1"),
        pytest.param(encoded(Image.new("RGB", (100, 15))), "too small", id="15 pixels high"),
        pytest.param(encoded(Image.new("RGB", (20_000, 2))), "too narrow", id="20 000 × 2"),
        pytest.param(encoded(Image.new("RGB", (16, 161))), "too narrow", id="just beyond 10 : 1"),
        pytest.param(encoded(disc("RGBA", (9, 9, 9, 0), (255, 0, 0, 0))), "nothing visible", id="fully transparent"),
        pytest.param(encoded(disc("LA", (0, 0), (255, 255))), "nothing visible", id="white on transparent"),
        pytest.param(palette(bytes([0, 0])), "nothing visible", id="palette fully transparent"),
        *(pytest.param(data[:share], "truncated", id=f"{format} cut at {share}") for format, data in PHOTO.items() for share in (-9, -300)),
        pytest.param(PHOTO["JPEG"][:3] + b"\xff" * 300, "cannot be decoded", id="JPEG of nothing but a start"),
    ],
)
def test_what_is_no_usable_picture_is_rejected_with_its_reason(data: bytes, expected: str):
    """A reason to count by, and particulars that are never empty."""
    assert reason(data) == expected


def test_a_single_flipped_bit_in_a_png_is_noticed():
    """Pillow decodes it to other pixels without a word; the checksum of the chunk knows better."""
    data = bytearray(PHOTO["PNG"])
    data[len(data) // 2] ^= 1
    assert reason(bytes(data)) == "cannot be decoded"


def test_the_smallest_and_the_narrowest_that_pass_are_kept():
    """16 pixels and 10 : 1 are in, pixel for pixel."""
    pixels = decode(encoded(Image.new("RGB", (16, 160), "red")), 160).pixels
    assert pixels.size == (16, 160) and pixels.getcolors() == [(16 * 160, RED)]


def test_an_opaque_white_picture_is_visible():
    """Only transparency can hide a picture: a white one is what it says."""
    assert decode(encoded(Image.new("RGB", (64, 64), "white")), 32).pixels.size == (32, 32)


def test_text_that_inflates_a_thousandfold_is_rejected():
    """Eight megabytes of zeros in a PNG text chunk of eight kilobytes."""
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "\0" * 8_000_000, zip=True)
    data = encoded(noise(64, 48), pnginfo=text)
    assert len(data) < 30_000 and reason(data) == "metadata too large"


def bomb(side: int) -> bytes:
    """A valid 1-bit PNG of side × side pixels, all black."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + -(-side // 8)) * 100) for _ in range(side // 100)) + packer.flush()
    header = side.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_bomb_of_900_megapixels_is_rejected_from_its_header(tmp_path):
    """113 kB that would fill gigabytes cost less than 20 MB and are judged by what the header says."""
    (tmp_path / "bomb.png").write_bytes(bomb(30_000))
    assert (tmp_path / "bomb.png").stat().st_size < 150_000
    script = f"""
import resource
from pathlib import Path
from trainworks.photostock.rejected import Rejected
from trainworks.photostock.preparation.decode import decode
data = Path({str(tmp_path / "bomb.png")!r}).read_bytes()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode(data, 160)
except Rejected as rejection:
    print(rejection.reason)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True)
    reason, megabytes = done.stdout.split("\n")[:2]
    assert reason == "too many pixels" and int(megabytes) < 20


def test_the_limit_on_pixels_holds_where_pillow_has_none(monkeypatch):
    """Somebody else in the process may have lifted Pillow's own limit."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    monkeypatch.setattr(module, "MAX_PIXELS", 10_000)
    assert reason(encoded(Image.new("1", (101, 100)))) == "too many pixels"


def test_large_pictures_are_decoded_one_at_a_time(tmp_path):
    """Six threads on 20-megapixel pictures need no more memory than one."""
    (tmp_path / "large.png").write_bytes(bomb(4_500))
    script = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from trainworks.photostock.preparation.decode import decode
data = Path(sys.argv[1]).read_bytes()
with ThreadPoolExecutor(int(sys.argv[2])) as pool:
    list(pool.map(lambda _: decode(data, 160), range(6)))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    counted = os.environ | {"MALLOC_ARENA_MAX": "1"}  # what is in use, not what the allocator keeps ready for each thread
    program = [sys.executable, "-c", script, tmp_path / "large.png"]
    one, six = (int(subprocess.check_output([*program, threads], env=counted)) for threads in ("1", "6"))
    assert six < one + 40


def chunk(name: bytes, content: bytes, damaged: bool = False) -> bytes:
    """A chunk of a PNG, its checksum right or wrong."""
    checksum = zlib.crc32(name + content) ^ damaged
    return len(content).to_bytes(4, "big") + name + content + checksum.to_bytes(4, "big")


def png(depth: int, colour: int, rows: bytes, key: bytes = b"", side: int = 16) -> bytes:
    """A PNG of *side* × *side* pixels written by hand, whose tRNS is *key*."""
    header = side.to_bytes(4, "big") * 2 + bytes([depth, colour, 0, 0, 0])
    transparent = chunk(b"tRNS", key) if key else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + transparent + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("name", [b"tEXt", b"eXIf", b"iCCP", b"prVt"])
@pytest.mark.parametrize("behind", [False, True])
def test_a_wrong_checksum_beside_the_picture_costs_what_it_covers_only(name, behind):
    """Before the picture's data or behind it; one of the picture's own chunks costs the picture."""
    whole = encoded(disc("RGB", WHITE, RED))
    at = whole.index(b"IEND") - 4 if behind else 33
    picture = decode(whole[:at] + chunk(name, b"Comment\0x", damaged=True) + whole[at:], 48)
    assert picture.repairs == ("damaged extras of a PNG left out",) and picture.pixels.getpixel((24, 24)) == RED
    at = whole.index(b"IDAT") + 8
    assert reason(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]) == "cannot be decoded"


@pytest.mark.parametrize(
    ("depth", "colour", "pixel", "key"),
    [
        *((depth, 0, b"\x55" if depth > 1 else b"\0", bytes([0, 0x55 & (2**depth - 1) if depth > 1 else 0])) for depth in (1, 2, 4, 8)),
        (16, 0, b"\x12\x34", b"\x12\x34"),
        (8, 2, b"\1\2\3", b"\0\1\0\2\0\3"),
        (16, 2, b"\x41\0\x42\0\x43\0", b"\x41\0\x42\0\x43\0"),
    ],
)
def test_the_transparent_colour_of_a_png_is_meant_in_its_own_depth(depth, colour, pixel, key):
    """Grey of 1 to 16 bits and colours of 8 and 16: every pixel is of that colour, so nothing is to be seen."""
    bits = depth * (3 if colour == 2 else 1)
    row = b"\0" + pixel * max(1, 16 * bits // 8 // len(pixel))
    assert reason(png(depth, colour, row * 16, key)) == "nothing visible"
    assert decode(png(depth, colour, row * 16), 16).pixels.size == (16, 16)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_grey_of_fewer_bits_in_16_is_as_bright_as_it_was_taken(bits):
    """Cameras and scanners store 10 to 14 bits so; white is white, and it is said."""
    white = 2**bits - 1
    picture = decode(encoded(disc("I;16", white, white // 2), "TIFF"), 48)
    assert picture.pixels.getpixel((1, 1)) == WHITE and abs(picture.pixels.getpixel((24, 24))[0] - 127) <= 1
    assert picture.repairs == (("grey of fewer than 16 bits scaled",) if bits < 16 else ())


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"\0\0\0 ftypavif", "AVIF"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\0\0\0\x18ftypmif1", "HEIC"),
        (b"\0\0\0\x18ftypisom", "video"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x0a", "JPEG XL"),
        (b"%PDF-1.7", "PDF"),
        (b"8BPS", "Photoshop"),
    ],
)
def test_a_format_that_is_not_decoded_is_named(start, name):
    """By what the file is, whatever its suffix says: a person then knows what to convert."""
    assert reason(start + b"\0" * 64) == f"unsupported format {name}"


def test_stray_bytes_before_a_picture_are_ignored():
    """Blank lines that a web page sent first; the rest is decoded as it is."""
    picture = decode(b"\r\n" + encoded(disc("RGB", WHITE, RED), "JPEG"), 48)
    assert picture.format == "JPEG" and picture.repairs == ("stray bytes before the picture ignored",)


def test_colours_in_the_lowest_of_16_bits_are_rejected():
    """Of 12 bits in 16 Pillow leaves a sixteenth: nearly black, which no repair brings back."""
    dark, light = (png(16, 2, (b"\0" + (value << 4).to_bytes(2, "big") * 48) * 16) for value in (0xFF, 0xFFF))
    assert reason(dark) == "nothing visible" and decode(light, 16).pixels.getpixel((8, 8)) == WHITE
