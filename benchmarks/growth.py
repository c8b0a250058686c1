"""Growth: prepare, curate and evaluate at 1, 4 and 16 times the size, each run in a process of its own.

The exponent is the slope of log CPU time over log size, by least squares over the three sizes; 1 is linear. Memory is the peak of the
process at 16 times the size over that at 1. Prepare reads one slice of photographs, so that its memory is that of a mapped task; curate
holds a table, whose memory grows with its rows by design (the bound for a million stands under curate); evaluate embeds pictures by the
default backbone's encoders.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks import curate, data, prepare, serving
from benchmarks.harness import Facts, Row, cached_folder, child, timed

TIMES = (1, 4, 16)


def rows(quick: bool) -> Iterator[Row]:
    """Exponent and memory of each stage."""
    photos, table, gallery = (8, 5_000, 16) if quick else (12, 10_000, 32)
    largest = data.photos(photos * TIMES[-1])
    encoders = str(serving.exported("lite0-minilm", "pretrained") / "encoders")
    stages = {
        "prepare": lambda n: child(prepare.ours, folder=str(some_photos(largest, photos * n)), stored_size=128),
        "curate": lambda n: child(curate.curate, folder=str(rows_folder(table * n))),
        "evaluate": lambda n: child(evaluate, encoders=encoders, folder=str(largest), count=gallery * n),
    }
    sizes = {"prepare": (photos, "photographs"), "curate": (table, "rows"), "evaluate": (gallery, "pictures")}
    for name, run in stages.items():
        runs = [run(times) for times in tqdm(TIMES, name, delay=2, leave=False)]
        exponent = float(np.polyfit(np.log(TIMES), np.log([run["cpu"] for run in runs]), 1)[0])
        count, unit = sizes[name]
        spent = ", ".join(f"{run['cpu']:.1f}" for run in runs)
        target = "" if name == "evaluate" else "<= 1.1"
        yield Row(f"{name}: exponent", "linear", [exponent], target, ours=f"{spent} s", note=f"{count:,} to {16 * count:,} {unit}")
        growth = runs[-1]["peak"] / runs[0]["peak"]
        target = "" if name == "curate" else "<= 1.5"
        yield Row(
            f"{name}: memory", "flat", [growth], target, of="memory", ours=", ".join(f"{run['peak'] / 2**20:.0f}" for run in runs) + " MiB"
        )


def rows_folder(count: int) -> Path:
    """Shards of *count* rows without pictures."""
    return cached_folder(f"rows-{count}", lambda out: curate.write_shards(count, out))


def some_photos(folder: Path, count: int) -> Path:
    """The first *count* of the photographs in *folder*, as a catalogue of their own."""

    def make(out: Path) -> None:
        for path in sorted(folder.glob("*.jpg"))[:count]:
            (out / path.name).hardlink_to(path)
        lines = (folder / "catalogue.jsonl").read_text().splitlines()[:count]
        (out / "catalogue.jsonl").write_text("\n".join(lines) + "\n")

    return cached_folder(f"some-photos-{count}", make)


def evaluate(encoders: str, folder: str, count: int) -> Facts:
    """What evaluation does with a gallery of *count*: embed its pictures and captions, rank, bootstrap, calibrate."""
    from trainworks.photostock.evaluation import metrics, ranking
    from trainworks.photostock.search import Encoders

    loaded = Encoders.load(encoders)
    photos = sorted(Path(folder).glob("*.jpg"))
    pictures = [photos[number % len(photos)] for number in range(count)]
    labels = np.arange(count)

    def work() -> None:
        images, texts = loaded.images(pictures), loaded.texts([f"photograph {path.stem}" for path in pictures])
        metrics.summary(ranking.ranks(texts, images, labels, labels))
        metrics.calibration(texts, images, ranking.same_label(labels, labels))

    return timed(work)[0]
