"""A slice becomes a shard: every row is kept or counted, and the shard depends on the pictures alone."""

import hashlib
import io
import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import ExifTags, Image, ImageDraw, ImageEnhance, JpegImagePlugin, PngImagePlugin

from trainworks.errors import DataError
from trainworks.photostock.catalogue.slices import SCHEMA, write_slice
from trainworks.photostock.preparation.originals import MAX_BYTES
from trainworks.photostock.preparation.prepare import perceptual_hash, prepare
from trainworks.storage.manifest import sha256


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def drawing(seed: int, size: tuple[int, int] = (96, 64)) -> Image.Image:
    """Clip art: one to four coloured shapes on white."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (384, 256), "white")
    for _ in range(rng.integers(1, 5)):
        x, y = rng.integers(0, 300), rng.integers(0, 180)
        box = (x, y, x + rng.integers(40, 200), y + rng.integers(40, 150))
        shape = (ImageDraw.ImageDraw.ellipse, ImageDraw.ImageDraw.rectangle)[rng.integers(2)]
        shape(ImageDraw.Draw(image), tuple(map(int, box)), fill=tuple(rng.integers(0, 220, 3).tolist()))
    return image.resize(size, Image.Resampling.BICUBIC)


def row(id: str, data: bytes | None = None, **fields) -> dict:
    """A row of a slice; with *data*, as a catalogue in parquet gives it."""
    texts = dict.fromkeys(SCHEMA.names, "") | {"title": f"title of {id}", "licence": "CC0", "contributor": "ann"}
    fingerprint = "" if data is None else hashlib.sha256(data).hexdigest()
    return texts | {"id": id, "bytes": data, "tags": ["a", "b"], "repairs": [], "fingerprint": fingerprint} | fields


def photo(folder: Path, name: str, data: bytes) -> dict:
    """A row of a slice whose picture is the file *name* in *folder*."""
    (folder / name).write_bytes(data)
    return row(name, image=name, fingerprint=hashlib.sha256(data).hexdigest())


def shard(rows: list[dict], folder: Path, *, root: Path | str = "", threads: int | None = None, name: str = "shard") -> pa.Table:
    """The shard made of *rows*, stored at 32 pixels."""
    write_slice(pa.Table.from_pylist(rows, SCHEMA), folder / f"{name} slice")
    (folder / name).mkdir()
    prepare(folder / f"{name} slice", root or folder, folder / name, 32, threads)
    rows, pixels = (pq.read_table(folder / name / file) for file in ("rows.parquet", "pixels.parquet"))
    assert pixels["id"].equals(rows["id"]) and pixels.column_names == ["id", "pixels"] and "pixels" not in rows.column_names
    return rows.append_column("pixels", pixels["pixels"])


def mutated(rng: np.random.Generator, data: bytes) -> bytes:
    """*data* with a few bytes flipped, removed, doubled or overwritten, or cut off."""
    buffer = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        at, length = int(rng.integers(len(buffer) or 1)), int(rng.integers(1, 40))
        if (kind := rng.integers(5)) == 0 and buffer:
            buffer[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del buffer[at : at + length]
        elif kind == 2:
            buffer[at:at] = buffer[at : at + length]
        elif kind == 3:
            buffer[at : at + length] = rng.bytes(length)
        else:
            del buffer[at * 4 :]
    return bytes(buffer)


def test_a_shard_has_the_rows_of_its_slice_and_the_columns_of_the_picture(tmp_path):
    """In the slice's order, its columns untouched but for the bytes; rejected rows stay, with nothing where the picture would be."""
    rows = [row("kept", encoded(drawing(1))), row("gone", rejected="missing file", detail="'x.png'"), row("text", b"<html>")]
    table = shard(rows, tmp_path)
    assert table.column_names == [name for name in SCHEMA.names if name != "bytes"] + ["phash", "width", "height", "format", "pixels"]
    kept, gone, text = table.to_pylist()
    assert (kept["width"], kept["height"], kept["format"], kept["rejected"]) == (96, 64, "PNG", "")
    assert (gone["rejected"], gone["detail"]) == ("missing file", "'x.png'")
    assert text["rejected"] == "not an image" and "<html>" in text["detail"]
    for rejected in (gone, text):
        assert [rejected[name] for name in ("phash", "width", "height", "format", "pixels")] == [0, 0, 0, "", None]
    for before, after in zip(rows, (kept, gone, text), strict=True):
        for name in ("id", "title", "tags", "contributor", "licence", "group", "fingerprint", "repairs"):
            assert after[name] == before[name]
    assert [str(table.schema.field(name).type) for name in ("phash", "width", "pixels")] == ["uint64", "int32", "binary"]


def test_a_slice_without_rows_gives_a_shard_without_rows(tmp_path):
    """With all its columns."""
    assert shard([], tmp_path).num_rows == 0


def test_stored_pixels_are_a_jpeg_of_full_colour_and_nothing_else(tmp_path):
    """4:4:4 at quality 95, upright; no EXIF, profile, comment or text is left of what the file carried."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Artist] = "A. Nobody"
    data = encoded(drawing(1), "JPEG", exif=exif, comment=b"secret", icc_profile=b"profile", dpi=(300, 300), quality=95)
    (stored,) = shard([row("a", data)], tmp_path).to_pylist()
    image = Image.open(io.BytesIO(stored["pixels"]))
    assert (stored["width"], stored["height"], image.size, image.mode) == (64, 96, (32, 48), "RGB")
    assert isinstance(image, JpegImagePlugin.JpegImageFile) and JpegImagePlugin.get_sampling(image) == 0
    assert set(image.info) == {"jfif", "jfif_version", "jfif_unit", "jfif_density"} and image.info["jfif_density"] == (1, 1)
    reference = Image.open(io.BytesIO(encoded(image, "JPEG", quality=95)))
    assert image.quantization == reference.quantization
    turned = drawing(1).transpose(Image.Transpose.ROTATE_270).resize((32, 48), Image.Resampling.LANCZOS)
    assert np.abs(np.asarray(image, float) - np.asarray(turned, float)).mean() < 4


def test_a_picture_from_a_file_and_from_bytes_gives_the_same_pixels(tmp_path):
    """Wherever it came from, it is the same picture."""
    data = encoded(drawing(1))
    file, embedded = shard([photo(tmp_path, "a.png", data), row("b", data)], tmp_path).to_pylist()
    assert file["pixels"] == embedded["pixels"] and file["phash"] == embedded["phash"]


def test_a_file_changed_since_the_catalogue_was_read_is_rejected(tmp_path):
    """Its fingerprint, by which its slice was cached, would be a lie."""
    changed = photo(tmp_path, "a.png", encoded(drawing(1)))
    (tmp_path / "a.png").write_bytes(encoded(drawing(2)))
    assert shard([changed], tmp_path)["rejected"].to_pylist() == ["changed while reading"]


def test_only_files_below_the_root_are_read(tmp_path):
    """A link within the catalogue is followed; one that leads out, or a path that climbs out, is refused unread."""
    root = tmp_path / "catalogue"
    (root / "folder").mkdir(parents=True)
    inside = photo(root, "inside.png", encoded(drawing(1)))
    (tmp_path / "outside.png").write_bytes((root / "inside.png").read_bytes())
    (root / "within.png").symlink_to("inside.png")
    (root / "out.png").symlink_to(tmp_path / "outside.png")
    (root / "out").symlink_to(tmp_path)
    (root / "loop.png").symlink_to("loop.png")
    names = {
        "inside.png": "",
        "within.png": "",
        "out.png": "path leaves the catalogue's folder",
        "out/outside.png": "path leaves the catalogue's folder",
        "../outside.png": "path leaves the catalogue's folder",
        str(tmp_path / "outside.png"): "path leaves the catalogue's folder",
        "loop.png": "missing file",
        "none.png": "missing file",
        "folder": "not a file",
    }
    table = shard([inside | {"id": name, "image": name} for name in names], tmp_path, root=root)
    assert dict(zip(table["id"].to_pylist(), table["rejected"].to_pylist(), strict=True)) == names


def test_a_file_too_large_to_hold_is_rejected_unread(tmp_path):
    """A sparse file of half a gigabyte and a byte."""
    rows = [photo(tmp_path, "huge.png", b"")]
    with (tmp_path / "huge.png").open("r+b") as file:
        file.truncate(MAX_BYTES + 1)
    assert shard(rows, tmp_path)["rejected"].to_pylist() == ["file too large"]


def test_a_root_that_is_not_there_is_an_error_and_not_a_slice_of_missing_files(tmp_path):
    """Else a catalogue that was moved would seem to have lost all its pictures."""
    rows = [photo(tmp_path, "a.png", encoded(drawing(1)))]
    with pytest.raises(DataError, match="expected the catalogue's folder"):
        shard(rows, tmp_path, root=tmp_path / "moved")


def test_the_same_slice_gives_the_same_bytes_on_any_number_of_threads(tmp_path):
    """So that a shard may be cached by its content: more rows than one batch holds, damaged ones and their details among them."""
    rng = np.random.default_rng(1)
    pictures = [encoded(drawing(n), format) for n in range(60) for format in ("PNG", "JPEG", "TIFF", "GIF")]
    rows = [row(str(n), data if n % 3 else mutated(rng, data)) for n, data in enumerate(pictures)]
    digests = set()
    for name, threads in (("one", 1), ("again", 1), ("five", 5)):
        table = shard(rows, tmp_path, threads=threads, name=name)
        assert table["id"].to_pylist() == [entry["id"] for entry in rows]
        digests.add(tuple(sha256(tmp_path / name / file) for file in ("rows.parquet", "pixels.parquet")))
    assert len(digests) == 1


def test_warnings_of_pillow_are_logged_and_not_raised(tmp_path, caplog):
    """EXIF that breaks off makes Pillow warn, and under this suite's filter that would be an error: the picture is kept."""
    data = encoded(drawing(1), exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    with caplog.at_level(logging.WARNING):
        table = shard([row("a", data), row("b", data)], tmp_path)
    assert table["rejected"].to_pylist() == ["", ""]
    (record,) = caplog.records
    assert "2 times" in record.getMessage() and "Corrupt EXIF data" in record.getMessage()


def test_a_repair_of_the_picture_joins_those_of_its_text(tmp_path):
    """The card counts both alike."""
    data = encoded(drawing(1), exif=b"Exif\0\0no such thing")
    table = shard([row("a", data, repairs=["HASH tag removed"])], tmp_path)
    assert table["repairs"].to_pylist() == [["HASH tag removed", "unreadable EXIF ignored"]]


def test_of_a_thousand_damaged_pictures_every_one_is_kept_or_rejected(tmp_path):
    """No damage, however odd, stops a slice; all reasons stem from the published few."""
    rng = np.random.default_rng(0)
    exif, text = Image.Exif(), PngImagePlugin.PngInfo()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Artist] = 6, "A. Nobody"
    text.add_text("Comment", "words " * 20, zip=True)
    undamaged = [
        encoded(drawing(1), "JPEG", exif=exif),
        encoded(drawing(2), "JPEG", progressive=True),
        encoded(drawing(3), "PNG", pnginfo=text, exif=exif),
        encoded(drawing(4).convert("P"), "PNG", transparency=3),
        encoded(drawing(5), "PNG", save_all=True, append_images=[drawing(6)]),
        encoded(drawing(7), "GIF", save_all=True, append_images=[drawing(8)]),
        encoded(drawing(9), "WEBP", exif=exif),
        encoded(drawing(10).convert("RGBA"), "WEBP", lossless=True),
        encoded(drawing(11), "BMP"),
        encoded(drawing(12), "TIFF", exif=exif),
        encoded(drawing(13), "TIFF", compression="tiff_lzw"),
        encoded(drawing(14), "TIFF", compression="jpeg"),
    ]
    given = [mutated(rng, undamaged[n % len(undamaged)]) for n in range(1000)]
    table = shard([row(str(n), data) for n, data in enumerate(given)], tmp_path)
    reasons = table["rejected"].to_pylist()
    kept = [entry for entry in table.to_pylist() if not entry["rejected"]]
    assert len(reasons) == 1000 and 100 < len(kept) < 900
    assert all(entry["pixels"] and entry["width"] and entry["format"] for entry in kept)
    assert set(reasons) - {""} <= {"empty file", "not an image", "too many pixels", "too narrow", "too small"} | {
        "truncated",
        "metadata too large",
        "nothing visible",
        "cannot be decoded",
    }


def thumbnail(image: Image.Image) -> np.ndarray:
    return np.asarray(image.resize((16, 16), Image.Resampling.BICUBIC))


def distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Bits in which hashes differ."""
    return np.bitwise_count(one ^ other)


def test_hashes_are_the_signs_of_random_sums_of_gradients():
    """Against the definition, one bit at a time; the last number freezes it, since old shards must stay comparable."""
    picture = thumbnail(drawing(1))
    p = picture.astype(int).tolist()
    gradients = [p[y + 1][x][c] - p[y][x][c] for y in range(15) for x in range(16) for c in range(3)]
    gradients += [p[y][x + 1][c] - p[y][x][c] for y in range(16) for x in range(15) for c in range(3)]
    words = [int(word) for word in np.random.PCG64(0).random_raw(1440)]
    expected = 0
    for bit in range(64):
        shift = bit // 8 * 8 + 7 - bit % 8
        total = sum(g if word >> shift & 1 else -g for g, word in zip(gradients, words, strict=True))
        expected = expected << 1 | (total > 0)
    assert int(perceptual_hash(picture[None])[0]) == expected
    ramp = (np.arange(16 * 16 * 3) ** 2 % 251).astype(np.uint8).reshape(1, 16, 16, 3)
    assert perceptual_hash(ramp).tolist() == [12811659161030799914]


@given(arrays(np.uint8, (16, 16, 3), elements=st.integers(60, 120)), st.integers(-60, 15), st.sampled_from([1, 2]))
def test_brightness_and_contrast_do_not_change_a_hash(picture: np.ndarray, brighter: int, contrast: int):
    """As long as nothing is clipped: differences do not see an offset, signs do not see a factor."""
    changed = ((picture.astype(int) - 60) * contrast + 60 + brighter).astype(np.uint8)
    assert perceptual_hash(changed[None])[0] == perceptual_hash(picture[None])[0]


def test_a_negative_has_the_opposite_hash():
    """All 64 bits differ: what is dark on light is not what is light on dark."""
    picture = thumbnail(drawing(1))[None]
    assert distance(perceptual_hash(picture), perceptual_hash(255 - picture)) == 64


@given(st.lists(st.integers(0, 255), min_size=1, max_size=4))
def test_one_colour_all_over_hashes_to_zero(greys: list[int]):
    """Blank pictures are alike, whatever the colour, and no other picture has their hash by chance."""
    blank = np.broadcast_to(np.array(greys, np.uint8)[:, None, None, None], (len(greys), 16, 16, 3))
    assert perceptual_hash(blank).tolist() == [0] * len(greys)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(lambda image: image.resize((144, 96), Image.Resampling.LANCZOS), id="halved"),
        pytest.param(lambda image: image.resize((200, 200), Image.Resampling.BILINEAR), id="squashed"),
        pytest.param(lambda image: Image.open(io.BytesIO(encoded(image, "JPEG", quality=30))), id="JPEG of quality 30"),
        pytest.param(lambda image: Image.open(io.BytesIO(encoded(image, "WEBP", quality=50))), id="WebP of quality 50"),
        pytest.param(lambda image: ImageEnhance.Brightness(image).enhance(0.9), id="darker"),
        pytest.param(lambda image: ImageEnhance.Contrast(image).enhance(1.2), id="more contrast"),
    ],
)
def test_copies_are_near_and_other_drawings_are_far(changed):
    """Of 200 drawings on white, at least 95 % of the copies are within 4 bits and at most 1 in 1000 other drawings is."""
    images = [drawing(n, (288, 192)) for n in range(200)]
    hashes = perceptual_hash(np.stack([thumbnail(image) for image in images]))
    copies = perceptual_hash(np.stack([thumbnail(changed(image)) for image in images]))
    assert (distance(hashes, copies) <= 4).mean() >= 0.95
    others = distance(hashes[:, None], hashes[None])[~np.eye(200, dtype=bool)]
    assert (others <= 4).mean() <= 0.001
