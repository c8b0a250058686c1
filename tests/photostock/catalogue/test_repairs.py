"""Repairs of catalogue text: what is repaired, what is left to its author, and when a file name makes the better title."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trainworks.photostock.catalogue.repairs import SHARED_BY, caption_title, repair

hostile = st.one_of(
    st.text(max_size=12),
    st.text("&amp;#1lt \n\x00\xa0\ud800", max_size=16),
    st.sampled_from(["hash", "HASH", "HASH(0x89c79d4)", "", " ", "&nbsp;", "fox", "Fox"]),
)
rows = st.fixed_dictionaries({"title": hostile, "description": hostile, "contributor": hostile, "tags": st.lists(hostile, max_size=6)})


@pytest.mark.parametrize(
    ("tags", "left", "repairs"),
    [
        (["fox", "hash(0x8a3ecd4)", "snow"], ["fox", "snow"], ["HASH tag removed"]),
        (["hash", "", "fox"], ["fox"], ["HASH tag removed", "empty tag removed"]),
        (["hash", "food", "potato"], ["hash", "food", "potato"], []),
        (["Fox", "fox ", "snow"], ["Fox", "snow"], ["white space collapsed", "duplicate tag removed"]),
        (["&eacute;toile"], ["étoile"], ["HTML entity decoded"]),
        (["&nbsp;", "fox"], ["fox"], ["HTML entity decoded", "white space collapsed", "empty tag removed"]),
    ],
)
def test_broken_tags_go_and_each_repair_is_named(tags, left, repairs):
    """The tag hash goes only from a row that shows the bug it stems from."""
    assert repair({"tags": tags}) == ({"tags": left}, repairs)


@pytest.mark.parametrize(
    ("text", "repaired", "repairs"),
    [
        ("Red fox", "Red fox", []),
        (" Red\n  fox ", "Red fox", ["white space collapsed"]),
        ("HASH(0x8677e2c)", "", ["HASH text emptied"]),
        ("How to read HASH(0x8677e2c)", "How to read HASH(0x8677e2c)", []),
        ("Ham &amp;amp; eggs", "Ham & eggs", ["HTML entity decoded"]),
        ("R&D at AT&T", "R&D at AT&T", []),
        ("Red\x00fox\x85", "Red fox", ["control character removed", "white space collapsed"]),
        ("half a pair \ud83d", "half a pair", ["control character removed", "white space collapsed"]),
    ],
)
def test_text_keeps_what_was_written_and_loses_what_a_program_added(text, repaired, repairs):
    """Title, description and contributor are treated alike."""
    for field in ("title", "description", "contributor"):
        assert repair({field: text}) == ({field: repaired}, repairs)


def test_fields_that_are_no_prose_stay():
    """A path, an id and the address of a licence are not text to be repaired."""
    row = {"id": "a &amp; b", "image": "a  b&amp;.png", "licence": "http://example.org/?a=1&copy=2", "group": " g "}
    assert repair(row) == (row, [])


@given(rows)
@example({"title": "&am&#1;p;", "description": "&amp;#32;", "contributor": "HASH&#40;0x1)", "tags": ["hash", "&#0;", "HASH&#40;0x1)"]})
def test_repairing_twice_is_repairing_once(row):
    """A repaired row needs no repair, and can be stored as UTF-8."""
    repaired, repairs = repair(row)
    assert repair(repaired) == (repaired, [])
    assert bool(repairs) == (repaired != row)
    str(repaired).encode()


@pytest.mark.parametrize(
    ("title", "image", "contributor", "expected"),
    [
        ("", "animals/bluewhale_02.png", "", "bluewhale"),
        ("  ", "pirate_jack_rackham.png", "", "pirate jack rackham"),
        ("2004", "RedFox_archite_01.png", "Architetto Francesco Rollandin", "Red Fox"),
        ("IMG_0123", "red-fox.jpg", "", "red fox"),
        ("Access_point", "access_point_nicolas_cle_.png", "Nicolas Clementz", "Access point"),
        ("red fox.jpg", "x.jpg", "", "red fox.jpg"),
        ("red-fox_07.JPG", "x.jpg", "", "red fox"),
        ("T-shirt", "t-shirt_01.png", "", "T-shirt"),
        ("狐", "red_fox.png", "", "狐"),
        ("", "IMG_0123.jpg", "", ""),
        ("", "70a004.png", "", ""),
        ("", "", "", ""),
    ],
)
def test_a_title_without_words_is_taken_from_the_file_name(title, image, contributor, expected):
    """So is nothing else: a title of one's own stays, and a file name of a camera is no title."""
    new_title, repair_name = caption_title(title, image, 1, contributor)
    assert new_title == expected
    assert bool(repair_name) == (new_title != title)


@pytest.mark.parametrize(
    ("title", "image", "contributor", "expected"),
    [
        ("gramastar", "star_60pt13step.png", "codifiedivining", "star 60pt 13step"),
        ("Clipart by N. B. - jigsaw_red_10", "jigsaw_green_12.png", "N. B.", "jigsaw green"),
        ("balloons-aj", "balloon-black-aj.png", "AJ Ashton", "balloon black"),
        ("Sallite", "classic_phone_zazou.png", "zazou (zazou@example.org)", "classic phone"),
        ("Lightning", "lightning_jon_phillips_10.png", "Jon Phillips", "Lightning"),
        ("stick man", "sm_014.png", "", "stick man"),
        ("advertising", "RisqueBiologique.png", "", "Risque Biologique"),
        ("adverts", "red_car.png", "Carl Smith", "red car"),
    ],
)
def test_a_title_that_many_share_gives_way_to_a_telling_file_name(title, image, contributor, expected):
    """One that few share stays, and so does one that the file name only repeats."""
    assert caption_title(title, image, SHARED_BY, contributor)[0] == expected
    assert caption_title(title, image, SHARED_BY - 1, contributor) == (title, "")


@given(st.text(max_size=20), st.text(max_size=20), st.integers(1, 9), st.text(max_size=12))
def test_a_title_is_never_lost(title, image, count, contributor):
    """Whatever the file is called, a title with text is not replaced by an empty one, and a repair has its name."""
    new_title, repair_name = caption_title(title, image, count, contributor)
    assert new_title.strip() or not title.strip()
    assert repair_name or new_title == title
