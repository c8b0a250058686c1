"""Curation: what is kept, what is rejected and why, and that nothing leaks between the sides of the split."""

import hashlib
import json
import math
import tempfile
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainworks.errors import DataError
from trainworks.photostock.curation.curate import curate
from trainworks.photostock.curation.knobs import DataConfig
from trainworks.photostock.curation.near_duplicates import RADIUS
from trainworks.storage import manifest

TEXT_COLUMNS = ("id", "image", "title", "description", "contributor", "licence", "group", "fingerprint", "rejected", "detail")
SCHEMA = pa.schema(
    [(name, pa.string()) for name in TEXT_COLUMNS]
    + [("tags", pa.list_(pa.string())), ("repairs", pa.list_(pa.string())), ("phash", pa.uint64())]
)
SMALL = DataConfig(gallery=10)


def hashed(text):
    return hashlib.sha256(text.encode()).hexdigest()


def picture(id, **columns):
    """One row of a shard: a picture like no other, but for the *columns* given."""
    row = dict.fromkeys(SCHEMA.names, "") | {"tags": [], "repairs": [], "title": f"fox number {id}", "licence": "CC0"}
    return row | {"id": id, "contributor": f"by {id}", "fingerprint": hashed(id), "phash": int(hashed(id)[:16], 16)} | columns


OTHERS = [picture(f"other {n}", title=f"fox {hashed(str(n))[:12]}") for n in range(60)]
"""Pictures and captions enough for a split, so that a test need only add the few rows that it is about."""


def shards_of(rows, folder, cuts=()):
    """*rows* as shard folders, cut before each of *cuts*. There are no pixels: curation needs none."""
    edges = [0, *sorted(cuts), len(rows)]
    for start, end in pairwise(edges):
        shard = folder / f"{start}-{end}"
        shard.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows[start:end], SCHEMA), shard / "rows.parquet")
        manifest.write(shard)
    return sorted(folder.iterdir())


def curated(rows, config=SMALL, cuts=(), batch_size=1):
    """The index and the rejected as dictionaries by id, and the card."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "dataset"
        out.mkdir()
        curate(shards_of(rows, Path(folder) / "shards", cuts), config, out, batch_size=batch_size)
        index, rejected = (pq.read_table(out / f"{name}.parquet").to_pylist() for name in ("index", "rejected"))
        return {row["id"]: row for row in index}, {row["id"]: row for row in rejected}, json.loads((out / "card.json").read_text())


def reasons(rejected):
    return {id: row["reason"] for id, row in rejected.items()}


@st.composite
def messy(draw):
    """A few pictures of few scenes, files and contributors, some of them rejected before, among the others."""
    count = draw(st.integers(0, 20))
    rows = []
    for n in range(count):
        scene, bit = draw(st.integers(0, 5)), draw(st.integers(0, 63))
        row = picture(
            f"messy {n}",
            title=draw(st.sampled_from(["", "fox", "a red fox"])),
            tags=draw(st.lists(st.sampled_from(["fox", "snow"]), max_size=2, unique=True)),
            contributor=draw(st.sampled_from(["", "Ann", "Bob", "Cy"])),
            group=draw(st.sampled_from(["", "", "shoot"])),
            phash=int(hashed(str(scene))[:16], 16) ^ (1 << bit),
            fingerprint=hashed(f"file {draw(st.integers(0, 30))}"),
        )
        early = draw(st.sampled_from([{}] * 4 + [{"rejected": "missing file", "fingerprint": ""}, {"rejected": "cannot be decoded"}]))
        rows.append(row | early)
    return draw(st.permutations(rows + OTHERS))


STEPS = ("near_duplicates(1)", "near_duplicates(2)", "similar_texts(1, 0.1)", "contributor(1)", "contributor(3)")
subsamples = st.lists(st.sampled_from(STEPS), max_size=3, unique_by=lambda step: step.split("(")[0])
configs = subsamples.map(lambda chosen: DataConfig(gallery=10, subsample=" > ".join(sorted(chosen, key=STEPS.index))))


@settings(max_examples=40, deadline=None)
@given(messy(), configs)
def test_every_row_is_kept_or_rejected_once(rows, config):
    """Kept + rejected = read: overall, at every stage, and in the card as in the tables."""
    index, rejected, card = curated(rows, config)
    assert not index.keys() & rejected.keys()
    assert index.keys() | rejected.keys() == {row["id"] for row in rows}
    assert card["read"] == len(rows) and sum(card["kept"].values()) == len(index)
    read = len(rows)
    for stage in card["stages"]:
        assert stage["read"] == read
        read = stage["kept"] = stage["read"] - sum(stage["rejected"].values())
    assert read == len(index)
    for reason in {row["reason"] for row in rejected.values()}:
        counted = sum(stage["rejected"].get(reason, 0) for stage in card["stages"])
        assert counted == sum(row["reason"] == reason for row in rejected.values())


@settings(max_examples=40, deadline=None)
@given(messy(), configs)
def test_nothing_leaks_between_the_sides(rows, config):
    """No group, no contributor without one, no near-duplicate cluster and no file is on two sides; galleries are exact."""
    index, _, card = curated(rows, config)
    assert card["kept"]["val"] == card["kept"]["test"] == 10
    origin = {row["id"]: row for row in rows}
    splits = defaultdict(set)
    for id, row in index.items():
        owner = origin[id]["group"] or origin[id]["contributor"]
        for key in (("owner", owner or id), ("cluster", row["cluster"]), ("file", origin[id]["fingerprint"])):
            splits[key].add(row["split"])
    assert all(len(names) == 1 for names in splits.values())
    held_out = [(id, row["split"]) for id, row in index.items() if row["split"] != "train"]
    for id, split in held_out:
        for other, row in index.items():
            if row["split"] != split:
                assert (origin[id]["phash"] ^ origin[other]["phash"]).bit_count() > RADIUS


@settings(max_examples=25, deadline=None)
@given(messy(), st.randoms(use_true_random=False), st.sets(st.integers(1, 59), max_size=4))
def test_the_result_depends_neither_on_order_nor_on_slicing(rows, random, cuts):
    """Only the columns ``shard`` and ``row`` change."""

    def without_shards(result):
        index, rejected, card = result
        return [{**row, "shard": "", "row": 0} for row in index.values()], list(rejected.values()), card

    first = without_shards(curated(rows))
    random.shuffle(rows)
    assert without_shards(curated(rows, cuts=cuts)) == first


def test_the_dataset_is_the_same_to_the_byte_whatever_the_order_of_shards(tmp_path):
    """Content-keyed caching of all later stages rests on it."""
    shards = shards_of(OTHERS, tmp_path / "shards", (20, 40))
    for name, order in (("one", shards), ("other", shards[::-1])):
        (tmp_path / name).mkdir()
        curate(order, SMALL, tmp_path / name)
    for file in ("index.parquet", "rejected.parquet", "card.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


def test_the_index_says_where_the_pixels_are(tmp_path):
    """Digest of the shard and row within it, for a picture of the second shard."""
    shards = shards_of(OTHERS, tmp_path / "shards", (20,))
    curate(shards, SMALL, tmp_path)
    index = {row["id"]: row for row in pq.read_table(tmp_path / "index.parquet").to_pylist()}
    assert (index["other 25"]["shard"], index["other 25"]["row"]) == (manifest.digest(tmp_path / "shards" / "20-60"), 5)


def test_the_index_keeps_what_training_and_a_reader_need():
    """Caption by the prompt, distinct texts, tags; contributor and licence to the end."""
    row = picture("a", title="Red fox", description="On snow.", tags=["fox", "snow"], contributor="Ann", licence="CC BY")
    index, _, card = curated([row, *OTHERS])
    assert index["a"]["caption"] == "Red fox. On snow. fox, snow"
    assert index["a"]["texts"] == ["Red fox. On snow. fox, snow", "Red fox", "On snow.", "fox, snow"]
    assert (index["a"]["title"], index["a"]["description"], index["a"]["tags"]) == ("Red fox", "On snow.", ["fox", "snow"])
    assert (index["a"]["contributor"], index["a"]["licence"]) == ("Ann", "CC BY")
    assert card["licences"] == {"CC BY": 1, "CC0": len(index) - 1}
    assert " ".join(index["a"]) == "id shard row split caption texts title description tags contributor licence cluster"


@pytest.mark.parametrize(
    ("rows", "config", "expected"),
    [
        ([picture("a", rejected="missing file", fingerprint="", detail="a.png")], SMALL, {"a": ("acquire", "missing file", "a.png")}),
        ([picture("a", rejected="not a picture")], SMALL, {"a": ("prepare", "not a picture", "")}),
        (
            [picture("a", title="fox", fingerprint="f"), picture("b", title="a red fox", fingerprint="f")],
            SMALL,
            {"a": ("curate", "exact duplicate", "of b")},
        ),
        ([picture("a", title=" ", tags=[""])], SMALL, {"a": ("curate", "no text", "")}),
        (
            [picture(id, phash=0xABC0 + n) for n, id in enumerate("ab")],
            SMALL,
            {"a": ("curate", "near duplicate", "of b")},
        ),
        (
            [picture(id, contributor="Ann") for id in "abc"],
            DataConfig(gallery=10, subsample="contributor(2)"),
            {"a": ("curate", "contributor at the limit", "contributor Ann")},
        ),
    ],
)
def test_a_rejected_picture_has_its_stage_reason_and_detail(rows, config, expected):
    """One toy table for every reason that does not depend on the split."""
    _, rejected, card = curated(rows + OTHERS, config)
    assert {id: (row["stage"], row["reason"], row["detail"]) for id, row in rejected.items()} == expected
    assert [stage["rejected"] for stage in card["stages"] if stage["rejected"]] == [{row[1]: 1 for row in expected.values()}]


def test_a_picture_without_words_is_named_by_its_file():
    """The file name is the caption where the catalogue has none, and where many pictures share a title."""
    rows = [picture("a", title="", image="animals/red_fox.png")]
    rows += [picture(f"b{n}", title="clip art", image=f"{name}_house.png") for n, name in enumerate(["old", "tall", "green", "tiny"])]
    index, _, card = curated(rows + OTHERS)
    assert index["a"]["caption"] == index["a"]["title"] == "red fox"
    assert index["b1"]["caption"] == "tall house"
    assert sorted(card["repairs"].values()) == [1, 4]


def test_captions_a_few_letters_apart_are_similar_texts():
    """A series that only its running number tells apart keeps as many as the step says; other captions stay."""
    series = [picture(f"a{n}", title=f"Sunset behind the old lighthouse {n}") for n in range(5)]
    _, rejected, card = curated(series + OTHERS, DataConfig(gallery=10, subsample="similar_texts(2, 0.1)"))
    assert set(reasons(rejected).values()) == {"similar text"} and len(rejected) == 3 and {id[0] for id in rejected} == {"a"}
    (kept,) = {row["detail"] for row in rejected.values()}
    assert kept[3:] in {row["id"] for row in series} - rejected.keys()
    assert card["stages"][-1]["rejected"] == {"similar text": 3}


def test_steps_work_on_what_those_before_them_left():
    """A contributor's two places go to two scenes, not to two pictures of one."""
    scenes = [picture(f"{n} {k}", contributor="Ann", phash=int(hashed(str(n))[:16], 16) ^ k) for n in range(2) for k in range(4)]
    index, rejected, _ = curated(scenes + OTHERS, DataConfig(gallery=10, subsample="near_duplicates(1) > contributor(2)"))
    assert {id[0] for id, row in index.items() if row["contributor"] == "Ann"} == {"0", "1"}
    assert list(reasons(rejected).values()) == ["near duplicate"] * 6


def embedded(ids, folder):
    """Embeddings as the stage ``embed`` writes them: equal for the pictures called crowd, different for every other."""
    values = [[1.0, 0.0, 0.0] if id.startswith("crowd") else [0.0, *vector(id)] for id in ids]
    column = pa.array([np.array(value, np.float16) for value in values], pa.list_(pa.float16()))
    folder.mkdir()
    pq.write_table(pa.table({"id": pa.array(ids, pa.string()), "embedding": column}), folder / "embeddings.parquet")
    return folder


def vector(id):
    """A direction that follows from the id."""
    angle = int(hashed(id)[:4], 16)
    return math.cos(angle), math.sin(angle)


def test_a_crowded_visual_cluster_is_capped(tmp_path):
    """Of 30 pictures with one embedding as many stay as the step says; the others have a reason of their own."""
    rows = [picture(f"crowd {n}") for n in range(30)] + OTHERS
    folder = embedded([row["id"] for row in rows], tmp_path / "embeddings")
    shards, config = shards_of(rows, tmp_path / "shards"), DataConfig(gallery=10, subsample="visual_cluster(20, 4)")
    curate(shards, config, tmp_path, [folder])
    rejected = {row["id"]: row["reason"] for row in pq.read_table(tmp_path / "rejected.parquet").to_pylist()}
    assert set(rejected.values()) == {"visual cluster at the limit"}
    assert sum(id.startswith("crowd") for id in rejected) == 10
    with pytest.raises(DataError, match="visual_cluster needs embeddings of every shard"):
        curate(shards, config, tmp_path)


def test_a_picture_whose_caption_is_empty_is_rejected():
    """With a prompt of tags alone, that is a picture without tags."""
    tagged = [{**row, "tags": [f"tag {row['id']}"]} for row in OTHERS]
    _, rejected, _ = curated([picture("a"), *tagged], DataConfig(gallery=10, prompt="{tags}"))
    assert reasons(rejected) == {"a": "no text"}


def test_pictures_of_unknown_contributors_are_not_one_contributors():
    """They are capped and split one by one, or by the group that the catalogue gives them."""
    unknown = [picture(f"a{n}", contributor="") for n in range(8)]
    grouped = [picture(f"b{n}", contributor="", group="shoot") for n in range(8)]
    _, rejected, _ = curated(unknown + grouped + OTHERS, DataConfig(gallery=10, subsample="contributor(5)"))
    assert {id[0] for id in rejected} == {"b"} and len(rejected) == 3


def test_near_duplicates_of_unknown_contributors_are_split_together():
    """Where no contributor is known and every picture of a cluster is kept, each cluster is a group, in one split."""
    twins = [picture(f"{n} {k}", contributor="", phash=int(hashed(str(n))[:16], 16) ^ k) for n in range(60) for k in range(2)]
    index, rejected, _ = curated(twins, DataConfig(gallery=20, subsample=""))
    assert len(index) == 120 and not rejected


def test_a_given_group_decides_the_split_before_the_contributor():
    """Two contributors in 60 groups can be parted, 60 contributors in one group cannot."""
    by_group = [picture(f"a{n}", contributor="Ann" if n % 2 else "Bob", group=f"shoot {n}") for n in range(60)]
    index, _, _ = curated(by_group, DataConfig(gallery=10, subsample="near_duplicates(1)"))
    assert {row["split"] for row in index.values() if row["contributor"] == "Ann"} == {"train", "val", "test"}
    with pytest.raises(DataError, match="1 groups"):
        curated([picture(f"a{n}", group="shoot") for n in range(60)])


def test_held_out_pictures_with_a_near_duplicate_in_another_group_are_rejected():
    """With every picture of a cluster kept, two contributors share a scene: only training may see it."""
    twins = [picture(f"{owner} {n}", contributor=f"{owner} {n}", phash=int(hashed(str(n))[:16], 16)) for n in range(30) for owner in "ab"]
    own = [picture(f"own {row['id']}", contributor=row["contributor"]) for row in twins]
    index, rejected, _ = curated(twins + own, DataConfig(gallery=20, subsample=""))
    assert set(reasons(rejected).values()) == {"near duplicate in another group"}
    assert {row["split"] for id, row in index.items() if not id.startswith("own")} == {"train"}
    assert {row["split"] for id, row in index.items() if id.startswith("own")} == {"train", "val", "test"}


def test_what_a_full_gallery_cannot_take_is_rejected_and_counted():
    """Groups are kept together and galleries are exact: the last group's surplus goes neither to the gallery nor to train."""
    pairs = [picture(f"{n} {k}", contributor=f"by {n}") for n in range(30) for k in range(3)]
    index, rejected, card = curated(pairs)
    assert set(reasons(rejected).values()) == {"gallery full"}
    assert card["kept"] == {"train": len(index) - 20, "val": 10, "test": 10}


def test_blank_pictures_are_not_near_duplicates():
    """A hash of zeros does not show that pictures are alike, so four files with it stay four pictures."""
    index, _, card = curated([picture(id, phash=0) for id in "abcd"] + OTHERS)
    assert set("abcd") <= index.keys() and card["clusters"]["largest"] == 1


def test_a_new_picture_of_a_contributor_at_the_limit_displaces_one_at_most():
    """The choice is by hash of the id, so a nightly upload does not reshuffle the dataset."""
    rows = [picture(f"a{n}", contributor="Ann") for n in range(12)]
    config = DataConfig(gallery=10, subsample="contributor(5)")
    before, after = ({id for id in curated(uploaded + OTHERS, config)[0] if id.startswith("a")} for uploaded in (rows[:-1], rows))
    assert len(before) == len(after) == 5 and len(before - after) <= 1


def test_the_card_tells_what_the_dataset_is_made_of():
    """Repairs of all rows read; contributors, captions and licences of those kept; clusters before the cap."""
    rows = [
        picture("a", title="fox", contributor="Ann", repairs=["empty tag removed"]),
        picture("b", title="fox", contributor="Ann", phash=0xF00),
        picture("c", title="owl", contributor="", phash=0xF01, repairs=["empty tag removed"]),
        picture("d", rejected="missing file", fingerprint="", contributor="Bob"),
    ]
    index, _, card = curated(rows + OTHERS, DataConfig(gallery=10, subsample=""))
    assert card["repairs"] == {"empty tag removed": 2}
    assert (card["contributors"]["read"], card["contributors"]["kept"]) == (62, 61)
    assert card["contributors"]["largest"][:2] == [["Ann", 2], ["by other 0", 1]] and len(card["contributors"]["largest"]) == 10
    assert card["clusters"] == {"pictures": 63, "clusters": 62, "largest": 2}
    assert card["captions"] == {"distinct": len(index) - 1, "shared_by_several": 1, "texts_per_picture": 1.0}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            OTHERS[:30],
            "30 rows are too few: .* --gallery.* 30 pictures: no --gallery of 10 or more.* Rows read: 30; .* none",
        ),
        (
            [picture(f"{n}", rejected="missing file", fingerprint="") for n in range(9)] + [picture("a", title="")] + OTHERS[:3],
            "3 rows are too few: .* Rows read: 13; rejected before the split: 9 missing file, 1 no text",
        ),
        ([picture(f"{n}", contributor="Ann") for n in range(99)], "largest has 99.: lower --gallery, or give the catalogue .* 'group'"),
        ([*OTHERS, OTHERS[7]], "id 'other 7' comes twice"),
        ([], "0 rows are too few"),
    ],
)
def test_a_catalogue_that_no_dataset_can_be_made_of_is_refused(rows, words):
    """The message has the counts, and by reason where the pictures went."""
    with pytest.raises(DataError, match=words):
        curated(rows)


def test_curating_no_shards_is_refused(tmp_path):
    """An empty list is a mistake of the caller, not an empty dataset."""
    with pytest.raises(DataError, match="no shards"):
        curate([], SMALL, tmp_path)


@pytest.mark.parametrize(
    ("groups", "says"), [(66, "--gallery 13 --batch_size 32"), (12, "--gallery 13 --batch_size 32"), (2, "no --gallery of 10 or more")]
)
def test_the_message_has_values_that_will_do(groups, says):
    """As they are typed, all at once; with them the same pictures are curated."""
    rows = [row | {"contributor": f"artist {number % groups}"} for number, row in enumerate((OTHERS + OTHERS[:6])[:66])]
    rows = [row | {"id": f"{number}", "fingerprint": f"{number}"} for number, row in enumerate(rows)]
    with pytest.raises(DataError, match=f"66 pictures: {says}"):
        curated(rows, DataConfig(gallery=20, subsample=""))
    if says.startswith("--"):
        _, gallery, _, batch_size = says.split()
        _, _, card = curated(rows, DataConfig(gallery=int(gallery), subsample=""))
        assert card["kept"]["train"] >= int(batch_size)


def test_the_batch_is_checked_where_the_pictures_are_counted():
    """Not first where training starts, on a GPU; with the values of both knobs that will do."""
    wanted = DataConfig(gallery=10, subsample="")
    with pytest.raises(DataError, match="40 training pictures are fewer than --batch_size = 64; 60 pictures: --gallery 10 --batch_size 32"):
        curated(OTHERS[:60], wanted, batch_size=64)
    _, _, card = curated(OTHERS[:60], wanted, batch_size=32)
    assert card["kept"]["train"] == 40
