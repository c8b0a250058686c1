"""The embedded sample: small, free to pass on, credited, as messy as a catalogue is; and the program that makes it."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from trainworks.errors import DataError
from trainworks.photostock.catalogue import make_sample
from trainworks.photostock.catalogue.make_sample import PUBLIC_DOMAIN, choose, make
from trainworks.photostock.catalogue.repairs import caption_title, repair

SAMPLE = Path(make_sample.__file__).parents[1] / "sample"
FREE = min(PUBLIC_DOMAIN)


@pytest.fixture(scope="module")
def rows():
    """The sample's catalogue."""
    return [json.loads(line) for line in (SAMPLE / "catalogue.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def pictures(rows):
    """The sample's pictures by path, decoded."""
    return {row["image"]: Image.open(SAMPLE / row["image"]).convert("RGB") for row in rows}


def test_it_is_small(rows):
    """It travels in the repository and the wheel: at most 2 MB, 600 to 1000 pictures."""
    assert sum(path.stat().st_size for path in SAMPLE.rglob("*") if path.is_file()) <= 2_000_000
    assert 600 <= len(rows) <= 1000


def test_every_row_has_its_picture_and_every_picture_its_row(rows, pictures):
    """Each decodes, at most 128 pixels long; the folder holds no other file."""
    assert {f"images/{path.name}" for path in (SAMPLE / "images").iterdir()} == set(pictures)
    assert len(pictures) == len({row["id"] for row in rows}) == len(rows)
    assert all(16 < max(picture.size) <= 128 for picture in pictures.values())


def test_it_is_public_domain_and_credits_everybody(rows):
    """Whoever drew a picture is named in CREDITS.md with the number of pictures."""
    assert {row["licence"] for row in rows} <= PUBLIC_DOMAIN
    text = (SAMPLE / "CREDITS.md").read_text(encoding="utf-8")
    credited = {re.sub(r"\\(.)", r"\1", name): int(count) for name, count in re.findall(r"^\| (.+) \| (\d+) \|$", text, re.M)}
    assert credited == Counter(" ".join(row["contributor"].split()) for row in rows)


def test_a_split_by_contributor_is_possible_and_matters(rows):
    """Many contributors with few pictures fill two galleries of 100; the largest has a tenth and more of all."""
    counts = Counter(row["contributor"] for row in rows)
    assert len(counts) >= 120
    assert sum(count for count in counts.values() if count <= 10) >= 300
    assert max(counts.values()) >= len(rows) / 10


def test_it_has_the_mess_of_a_catalogue(rows, pictures):
    """Equal pictures under two names, series under one title, HASH and empty tags, entities, nothing where a description should be."""
    copies = Counter(picture.tobytes() for picture in pictures.values())
    assert 0.02 * len(rows) <= sum(count - 1 for count in copies.values()) <= 0.06 * len(rows)
    repairs = Counter(name for row in rows for name in repair(row)[1])
    assert repairs.keys() >= {"HASH tag removed", "empty tag removed", "HASH text emptied", "HTML entity decoded", "white space collapsed"}
    assert repairs["HASH tag removed"] >= 50
    titles = Counter(repair(row)[0]["title"] for row in rows)
    renamed = Counter(caption_title(row["title"], row["image"], titles[row["title"]], row["contributor"])[1] for row in rows)
    assert 50 <= renamed["shared title taken from the file name"] <= len(rows) / 4
    assert 200 <= sum(not row["description"] for row in rows) <= len(rows) - 200


def test_it_can_be_learnt_from(rows):
    """Most rows have two tags and more after repair, and a title of their own."""
    assert sum(len(repair(row)[0]["tags"]) >= 2 for row in rows) > 0.75 * len(rows)
    assert len({row["title"] for row in rows}) > 0.75 * len(rows)


def toy(count, **fields):
    """*count* rows of as many contributors, each with two tags and pixels of its own."""
    rows = [
        {"id": f"food/{n}/x{n}", "image": f"png/x{n}.png", "title": f"t{n}", "tags": ["a", f"b{n}"], "contributor": f"c{n}"} | fields
        for n in range(count)
    ]
    return rows, {row["id"]: str(n).encode() for n, row in enumerate(rows)}


def test_the_choice_does_not_depend_on_the_order_of_the_catalogue():
    """Made again from the same library, the sample has the same pictures."""
    rows, pixels = toy(1000)
    assert choose(rows, pixels) == choose(rows[::-1], pixels)
    assert len(choose(rows, pixels)) == make_sample.SIZE


def test_no_contributor_folder_or_file_name_takes_the_sample_over():
    """Beyond its limit each gives way to others; of one file name the sample has one picture."""
    rows, _ = toy(1200)
    for n, row in enumerate(rows):
        if n < 200:
            row["contributor"] = "Ann"
        elif n < 400:
            row["id"] = f"food/one/x{n}"
        elif n < 500:
            row["image"] = "png/other/X.png"
    chosen = choose(rows, {row["id"]: str(n).encode() for n, row in enumerate(rows)})
    assert Counter(row["contributor"] for row in chosen)["Ann"] <= make_sample.PER_CONTRIBUTOR
    assert sum(row["id"].startswith("food/one/") for row in chosen) <= make_sample.PER_FOLDER
    assert sum(row["image"] == "images/X.webp" for row in chosen) <= 1


def test_too_small_a_library_is_refused():
    """The message says how many pictures fit, and how many are needed."""
    with pytest.raises(DataError, match=r"700 of 700 pictures fit.*needs 800"):
        choose(*toy(700))


def test_the_sample_is_made_of_small_pictures_with_raw_metadata(tmp_path, monkeypatch):
    """On white, under the original name; what is not free, blank, a dot or a ribbon is left out."""
    for name, value in {"TWINS": 0, "SERIES": 1, "DESCRIBED": 2, "SIZE": 3}.items():
        monkeypatch.setattr(make_sample, name, value)
    drawings = {
        "food/apple_ann_01": Image.new("RGBA", (512, 256)),
        "food/pear": Image.new("LA", (40, 40)),
        "food/plum": Image.new("L", (100, 90)),
        "food/gpl": Image.new("RGB", (64, 64)),
        "food/blank": Image.new("RGBA", (64, 64)),
        "food/dot": Image.new("RGB", (31, 30)),
        "food/ribbon": Image.new("RGB", (640, 64)),
        "logos/brand": Image.new("RGB", (64, 64)),
    }
    source, target, rows = tmp_path / "openclipart", tmp_path / "sample", []
    for name, drawing in drawings.items():
        if name != "food/blank":
            drawing.paste("grey", (8, 8, 30, 30))
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        drawing.save(source / f"{name}.png")
        licence = "GPL" if name == "food/gpl" else FREE
        row = {
            "id": name,
            "image": f"{name}.png",
            "title": f" {name}\n",
            "description": "",
            "tags": ["hash", ""],
            "contributor": "HASH(0x1)",
            "licence": licence,
        }
        rows.append(row)
    (source / "catalogue.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    chosen = make(source, target)

    assert chosen == [{**row, "image": f"images/{Path(row['image']).stem}.webp"} for row in rows[:3]]
    assert [json.loads(line) for line in (target / "catalogue.jsonl").read_text().splitlines()] == chosen
    with Image.open(target / "images/apple_ann_01.webp") as apple:
        assert (apple.format, apple.mode, apple.size) == ("WEBP", "RGB", (128, 64))
        assert min(apple.getpixel((120, 60))) > 250
    assert "HASH(0x1) | 3" in (target / "CREDITS.md").read_text()


def test_without_the_library_one_is_told_how_to_get_it(tmp_path):
    """The message names the command."""
    with pytest.raises(DataError, match="make openclipart"):
        make(tmp_path, tmp_path / "sample")
