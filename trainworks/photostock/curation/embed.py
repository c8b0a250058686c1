"""Embeddings of a shard's pictures by the untouched image tower, for visual clusters."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from trainworks.photostock.model import towers
from trainworks.photostock.preparation.shards import open_pictures
from trainworks.photostock.preprocessing.pixels import Preprocessing, normalise
from trainworks.progress import Bar

BATCH = 64
"""Pictures in memory, and through the tower, at a time."""

SCHEMA = pa.schema([("id", pa.string()), ("embedding", pa.list_(pa.float16()))])


def embed(start: Path, shard: Path, image: str, out: Path) -> None:
    """Write ``out/embeddings.parquet``: id and L2-normalised float16 embedding of every picture in *shard* not rejected.

    Args:
        start: checkpoint of the untouched towers.
        shard: folder with a ``pixels.parquet``.
        image: preprocessing, as for training; its square must be the one the towers were built for.
        out: folder to write to.
    """
    untouched = towers.read(start)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, preprocessing = untouched.model.eval().to(device), Preprocessing(image)
    with (
        open_pictures(shard) as source,
        torch.inference_mode(),
        pq.ParquetWriter(out / "embeddings.parquet", SCHEMA, compression="zstd") as writer,
        Bar(total=source.metadata.num_rows, desc="embed", unit=" pictures") as progress,
    ):
        for batch in source.iter_batches(BATCH, columns=["id", "pixels"]):
            progress.update(len(batch))
            kept = batch.filter(batch["pixels"].is_valid())
            if len(kept):
                pixels = np.stack([preprocessing.apply(Image.open(BytesIO(data))) for data in kept["pixels"].to_pylist()])
                images = torch.from_numpy(normalise(pixels, untouched.mean, untouched.std)).to(device)
                embeddings = torch.nn.functional.normalize(model.encode_image(images).float(), dim=1)
                column = pa.array(list(embeddings.half().cpu().numpy()), SCHEMA.field("embedding").type)
                writer.write_table(pa.table([kept["id"], column], SCHEMA))
