"""Visual clusters: pictures with like embeddings are in one cluster, whatever the order of files."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainworks.errors import DataError
from trainworks.photostock.curation.visual_clusters import clusters


def directions(count, each):
    """Unit vectors in bunches around *count* axes, float16 (count * each, count), bunch by bunch."""
    noise = np.random.default_rng(0).normal(0, 0.02, (count * each, count))
    values = np.repeat(np.eye(count), each, axis=0) + noise
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16)


def stored(folder, ids, values):
    """A folder as the stage ``embed`` leaves it."""
    folder.mkdir()
    column = pa.array(list(values), pa.list_(pa.float16()))
    pq.write_table(pa.table({"id": pa.array(ids, pa.string()), "embedding": column}), folder / "embeddings.parquet")
    return folder


@pytest.fixture
def bunches(tmp_path):
    """90 pictures in five bunches of 18, their embeddings in two folders with one id that is not in the catalogue."""
    ids, values = [f"{n:02d}" for n in range(90)], directions(5, 18)
    mixed = np.random.default_rng(1).permutation(90)
    first, second = mixed[:40], mixed[40:]
    folders = [stored(tmp_path / "one", [ids[n] for n in first], values[first])]
    folders.append(stored(tmp_path / "two", [ids[n] for n in second] + ["stranger"], np.concatenate([values[second], values[:1]])))
    return pa.array(ids), folders


def test_pictures_that_look_alike_are_one_cluster(bunches):
    """Five bunches, five clusters, each of its own bunch only."""
    ids, folders = bunches
    cluster = clusters(ids, np.arange(90), folders, k=5)
    assert cluster.dtype == np.int32
    assert [len(set(cluster[start : start + 18])) for start in range(0, 90, 18)] == [1] * 5
    assert len(set(cluster)) == 5


def test_the_order_of_files_does_not_matter(bunches):
    """Nor does a second run: seed and sample are fixed."""
    ids, folders = bunches
    cluster = clusters(ids, np.arange(90), folders)
    assert (cluster == clusters(ids, np.arange(90), folders[::-1])).all()
    assert len(set(cluster)) <= 9  # the root of 90


def test_of_many_pictures_centres_are_learnt_from_a_sample(tmp_path):
    """1,000 pictures, two clusters: 200 of them teach, all are placed."""
    ids = [f"{n:04d}" for n in range(1000)]
    folder = stored(tmp_path / "many", ids, directions(2, 500))
    cluster = clusters(pa.array(ids), np.random.default_rng(0).permutation(1000), [folder], k=2)
    assert len(set(cluster[:500])) == len(set(cluster[500:])) == 1 and cluster[0] != cluster[-1]


def test_few_pictures_make_few_clusters(tmp_path):
    """Three pictures with k = 9 make three clusters at most; one picture makes one, none make none."""
    folder = stored(tmp_path / "few", ["a", "b", "c"], directions(3, 1))
    assert set(clusters(pa.array(["a", "b", "c"]), np.arange(3), [folder], k=9)) <= {0, 1, 2}
    assert clusters(pa.array(["a"]), np.arange(1), [folder]).tolist() == [0]
    assert clusters(pa.array([], pa.string()), np.arange(0), [folder]).tolist() == []


def test_missing_embeddings_are_named(bunches, tmp_path):
    """No folders, an empty folder, a picture without an embedding."""
    ids, folders = bunches
    with pytest.raises(DataError, match="found 0 for 0 shards; run the stage embed first"):
        clusters(ids, np.arange(90), [])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="found 2 for 3 shards"):
        clusters(ids, np.arange(90), [*folders, tmp_path / "empty"])
    missing = min(set(ids.to_pylist()) - set(pq.read_table(folders[0])["id"].to_pylist()))
    with pytest.raises(DataError, match=f"picture '{missing}' has no embedding"):
        clusters(ids, np.arange(90), folders[:1])
