"""Pictures: to RGB on white once, then by the image language to a square, the same in training and serving."""

import io
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from trainworks.errors import DataError, LanguageError
from trainworks.photostock.preprocessing.pixels import Preprocessing, normalise, open_rgb, to_rgb

WHITE, BLACK, GREY = (255, 255, 255), (0, 0, 0), (128, 128, 128)


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width * height).integers(0, 256, (height, width, 3), dtype=np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def corners(image: Image.Image) -> list:
    """Top left, top right, bottom left."""
    right, bottom = image.width - 1, image.height - 1
    return [image.getpixel(at) for at in ((0, 0), (right, 0), (0, bottom))]


LANGUAGE = [
    "shortest(32) > center_crop(32)",
    "shortest(40) > center_crop(32)",
    "shortest(40) > shortest(32) > center_crop(32)",
    "squash(32)",
    "squash(40) > center_crop(32)",
    "pad(32)",
    "pad(32, black)",
    "shortest(64) > squash(32)",
]


@pytest.mark.parametrize("text", LANGUAGE)
@given(width=st.integers(1, 300), height=st.integers(1, 300))
@settings(max_examples=25, deadline=None)
def test_any_picture_becomes_the_promised_square(text, width, height):
    """Whatever the aspect, the result is uint8 (size, size, 3)."""
    preprocessing = Preprocessing(text)
    result = preprocessing.apply(Image.new("RGB", (width, height)))
    assert preprocessing.size == 32
    assert (result.shape, result.dtype) == ((32, 32, 3), np.uint8)


@pytest.mark.parametrize("text", LANGUAGE)
def test_a_plain_picture_stays_plain(text):
    """Resizing and cropping invent no colour at the edges."""
    result = Preprocessing(text).apply(Image.new("RGB", (50, 50), (200, 30, 90)))
    assert np.unique(result.reshape(-1, 3), axis=0).tolist() == [[200, 30, 90]]


@pytest.mark.parametrize("size", [(640, 427), (333, 500), (97, 31), (1001, 77), (128, 129), (100, 100)])
def test_the_middle_is_that_of_a_full_resize(size):
    """Computing only the middle gives what resizing everything and cropping gives, to one grey level."""
    picture, (width, height) = noise(*size), size
    scaled = int(128 * width / min(size)), int(128 * height / min(size))
    left, top = round((scaled[0] - 120) / 2), round((scaled[1] - 120) / 2)
    slow = picture.resize(scaled, Image.Resampling.BICUBIC).crop((left, top, left + 120, top + 120))
    fast = Preprocessing("shortest(128) > center_crop(120)").apply(picture)
    assert np.abs(fast.astype(int) - np.asarray(slow, int)).max() <= 1


@pytest.mark.slow
def test_pretrained_towers_get_the_pixels_they_know():
    """Resize and crop agree with torchvision's, with which the public CLIP weights were trained."""
    transforms = pytest.importorskip("torchvision.transforms")
    for size in [(640, 427), (333, 501), (97, 31)]:
        picture = noise(*size)
        theirs = transforms.CenterCrop(120)(transforms.Resize(128, transforms.InterpolationMode.BICUBIC)(picture))
        ours = Preprocessing("shortest(128) > center_crop(120)").apply(picture)
        assert np.abs(ours.astype(int) - np.asarray(theirs, int)).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
def test_every_step_resizes_as_it_is_told(name):
    """Alone, cropped, and padded: torchvision's resize with that interpolation, for towers that were trained with it."""
    transforms = pytest.importorskip("torchvision.transforms")
    picture, how = noise(300, 200), transforms.InterpolationMode(name)

    def resized(height, width):
        return np.asarray(transforms.Resize((height, width), how)(picture), int)

    assert np.abs(Preprocessing(f"squash(64, {name})").apply(picture) - resized(64, 64)).max() <= 1
    assert np.abs(Preprocessing(f"shortest(64, {name}) > center_crop(64)").apply(picture) - resized(64, 96)[:, 16:80]).max() <= 1
    assert np.abs(Preprocessing(f"pad(96, {name}, black)").apply(picture)[16:80] - resized(64, 96)).max() <= 1


@pytest.mark.parametrize("size", [(91, 128), (128, 91), (50, 200)])
def test_a_picture_is_resized_horizontally_first(size):
    """Though Pillow, from version 13 on, begins a tall one the other way, which is up to 17 levels away."""
    picture = noise(*size)
    first, second = (picture.resize(between, Image.Resampling.BICUBIC) for between in ((96, size[1]), (size[0], 96)))
    horizontally, vertically = (np.array(each.resize((96, 96), Image.Resampling.BICUBIC)) for each in (first, second))
    assert (Preprocessing("squash(96)").apply(picture) == horizontally).all()
    assert np.abs(horizontally.astype(int) - vertically).max() > 5


def test_an_extreme_aspect_costs_no_memory():
    """A thread 50,000 pixels long, enlarged in full, would take 150 GB; only its middle is computed."""
    result = Preprocessing("shortest(1024) > center_crop(1024)").apply(Image.new("RGB", (1, 50_000), "red"))
    assert (result == (255, 0, 0)).all()


def test_padding_centres_the_whole_picture():
    """A wide picture gets bars above and below, in the colour of the step, and loses nothing at the sides."""
    for colour, value in (("white", 255), ("black", 0), ("grey", 128)):
        result = Preprocessing(f"pad(32, {colour})").apply(Image.new("RGB", (64, 32), (10, 200, 10)))
        assert (result[:8] == value).all() and (result[24:] == value).all()
        assert (result[8:24] == (10, 200, 10)).all()


def test_squashing_keeps_every_side():
    """The left half of a wide picture is the left half of the square."""
    picture = Image.new("RGB", (200, 20), "white")
    picture.paste("black", (0, 0, 100, 20))
    result = Preprocessing("squash(20)").apply(picture)
    assert (result[:, :8] == 0).all() and (result[:, 12:] == 255).all()


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("shortest(224)", 0, r"does not end in a square; add > center_crop\(224\)"),
        ("center_crop(224)", 0, "picture of unknown size"),
        ("shortest(200) > center_crop(224)", 16, "picture of only 200 pixels"),
        ("pad(64) > center_crop(65)", 10, "only 64 pixels"),
        ("squash(15)", 0, "16 to 1024 pixels, got 15"),
        ("squash(1025)", 0, "16 to 1024 pixels, got 1025"),
        ("squash(224.0)", 0, "whole side"),
        ("squash(large)", 0, "whole side .* got 'large'"),
        ("squash", 0, "whole side .* got None"),
        ("squash(224, white)", 0, "takes nothing or some of bicubic, bilinear, lanczos, got 'white'"),
        ("pad(224, white, 3)", 0, "black, grey, bicubic, bilinear, lanczos, got 3"),
        ("pad(224, pink)", 0, "black, grey, bicubic, bilinear, lanczos, got 'pink'"),
        ("pad(224, white, grey)", 0, "one colour and one interpolation, got white, grey"),
        ("shortest(64) > center_crop(64, bilinear)", 15, "takes nothing more, got 'bilinear'"),
        ("squash(64) > resize(64)", 13, "unknown 'resize'"),
    ],
)
def test_a_language_mistake_is_named_with_its_position(text, position, says):
    """What does not give one fixed square is refused before any picture is read."""
    with pytest.raises(LanguageError, match=says) as error:
        Preprocessing(text)
    assert error.value.position == position


def test_a_preprocessing_travels_to_a_worker():
    """Loader workers get the same preprocessing by pickle."""
    preprocessing, picture = Preprocessing("shortest(40) > center_crop(32)"), noise(70, 50)
    assert (pickle.loads(pickle.dumps(preprocessing)).apply(picture) == preprocessing.apply(picture)).all()


def test_only_rgb_is_preprocessed():
    """Resizing before the conversion to RGB is what breaks transparency, so it is refused."""
    with pytest.raises(ValueError, match="to_rgb first"):
        Preprocessing("squash(32)").apply(Image.new("LA", (8, 8)))


def test_normalising_is_the_formula_of_the_field():
    """(x / 255 - mean) / std, channels first, float32."""
    pixels = np.array([[[[0, 255, 51]]]], np.uint8)
    result = normalise(pixels, mean=[0.5, 0.5, 0.2], std=[0.5, 0.25, 0.1])
    assert (result.shape, result.dtype, result.flags["C_CONTIGUOUS"]) == ((1, 3, 1, 1), np.float32, True)
    assert result.ravel() == pytest.approx([-1, 2, 0], abs=1e-6)
    assert pixels.ravel().tolist() == [0, 255, 51]


def test_normalising_no_picture_is_no_picture():
    """An empty batch keeps its shape."""
    assert normalise(np.empty((0, 8, 8, 3), np.uint8), [0, 0, 0], [1, 1, 1]).shape == (0, 3, 8, 8)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("RGBA", (2, 2), (0, 0, 0, 0)), WHITE),
        (Image.new("RGBA", (2, 2), (0, 0, 0, 128)), (127, 127, 127)),
        (Image.new("LA", (2, 2), (0, 0)), WHITE),
        (Image.new("1", (2, 2), 1), WHITE),
        (Image.new("L", (2, 2), 128), GREY),
        (Image.new("CMYK", (2, 2), (0, 0, 0, 255)), BLACK),
        (Image.new("I;16", (2, 2), 128 * 257), GREY),
        (Image.new("I", (2, 2), 128 * 257), GREY),
        (Image.new("I", (2, 2), 0), BLACK),
        (Image.new("F", (2, 2), 1.0), WHITE),
        (Image.new("F", (2, 2), float("nan")), BLACK),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_every_mode_becomes_the_colour_a_person_sees(image, expected):
    """Transparent is white, deep grey keeps its brightness."""
    assert to_rgb(image).mode == "RGB"
    assert corners(to_rgb(image)) == [expected] * 3


def test_a_palette_with_transparency_lies_on_white():
    """A GIF's or PNG's transparent index shows white, not the colour that happens to be stored under it."""
    image = Image.new("P", (2, 2), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    assert corners(to_rgb(image))[0] == (0, 0, 255)
    assert corners(open_rgb(encoded(image, transparency=1)))[0] == WHITE


def test_a_transparent_grey_lies_on_white():
    """A grey PNG's transparent value shows white at 8 and at 16 bits."""
    for mode, value in (("L", 7), ("I;16", 700)):
        image = Image.new(mode, (2, 2), value)
        assert corners(open_rgb(encoded(image)))[0] != WHITE
        assert corners(open_rgb(encoded(image, transparency=value)))[0] == WHITE


def test_floats_beyond_the_unit_range_are_stretched():
    """A measurement in any unit shows from black to white."""
    image = Image.fromarray(np.array([[-40.0, 60.0]], np.float32))
    assert [to_rgb(image).getpixel((x, 0)) for x in (0, 1)] == [BLACK, WHITE]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_upright(orientation):
    """Each of the eight EXIF orientations shows red top left and green top right."""
    upright = Image.new("RGB", (32, 16), "blue")
    upright.paste("red", (0, 0, 16, 8))
    upright.paste("lime", (16, 0, 32, 8))
    turn = Image.Transpose
    stored = {2: turn.FLIP_LEFT_RIGHT, 3: turn.ROTATE_180, 4: turn.FLIP_TOP_BOTTOM, 5: turn.TRANSPOSE}
    stored |= {6: turn.ROTATE_90, 7: turn.TRANSVERSE, 8: turn.ROTATE_270}
    image = upright.transpose(stored[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    result = open_rgb(encoded(image, exif=exif))
    assert result.size == (32, 16)
    assert corners(result) == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]


def test_an_animation_shows_its_first_frame():
    """Also where the caller had already wound on."""
    first, second = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    animation = Image.open(io.BytesIO(encoded(first, "GIF", save_all=True, append_images=[second])))
    animation.seek(1)
    assert corners(to_rgb(animation))[0] == (255, 0, 0)


def test_path_bytes_and_picture_are_the_same(tmp_path):
    """Three ways in, one result."""
    picture = noise(9, 7)
    (tmp_path / "a.png").write_bytes(encoded(picture))
    sources = [picture, tmp_path / "a.png", str(tmp_path / "a.png"), encoded(picture)]
    assert len({open_rgb(source).tobytes() for source in sources}) == 1


def test_the_callers_picture_is_left_alone():
    """The result is a copy."""
    picture = Image.new("RGB", (4, 4))
    open_rgb(picture).paste("red", (0, 0, 4, 4))
    assert corners(picture) == [BLACK] * 3


@pytest.mark.parametrize(
    ("picture", "says"),
    [
        (b"not a picture", "13 bytes: cannot be read as a picture"),
        (b"", "0 bytes"),
        (encoded(noise(64, 64))[:3000], "truncated"),
        ("nowhere/b.jpg", r"nowhere/b\.jpg: .*No such file"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(picture, says):
    """The message says which input and why."""
    with pytest.raises(DataError, match=says):
        open_rgb(picture)
