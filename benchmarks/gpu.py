"""One GPU: the training step of ViT-B/32 and ViT-B/16 in bf16, as a share of what an H200 can compute (790 TFLOP/s, dense bf16).

Without a CUDA device the rows are arithmetic, not measurement: pairs per second at the target share. Operations are counted as
multiply and add, of the matrix products of both towers, forward and twice that backward. Synthetic input is on the device already;
"real" comes from uint8 pictures in the host's memory through pinned copies, and its stall is the time it costs over synthetic.
"""

from collections.abc import Iterator

from benchmarks.harness import Facts, Row, child

PEAK = 790e12
TARGETS = {"ViT-B-32": 0.4, "ViT-B-16": 0.5}
BATCHES = (1024, 2048, 4096, 8192)


def rows(quick: bool) -> Iterator[Row]:
    """Measured on a GPU, or without one arithmetic."""
    if not child(available)["cuda"]:
        for name, share in TARGETS.items():
            pairs = share * PEAK / child(operations, architecture=name)["per_pair"]
            yield Row(
                f"{name}, bf16, at {share:.0%} of the peak",
                "790 TFLOP/s",
                [share],
                "",
                of="arithmetic, not measured",
                ours=f"{pairs:,.0f} pairs/s",
            )
        return
    for name, share in TARGETS.items():
        for batch in BATCHES[:1] if quick else BATCHES:
            for compiled in (False,) if quick else (False, True):
                run = child(step, architecture=name, batch=batch, compiled=compiled)
                work = f"{name}, bf16, batch {batch}{', compiled' if compiled else ''}"
                shown = f"{run['pairs']:,.0f} pairs/s"
                yield Row(work, f"790 TFLOP/s; {run['device']}", [run["share"]], f">= {share}", of="wall", ours=shown)
                yield Row(f"{work}: loader stall", "step", [run["stall"]], "<= 0.02", of="wall")


def available() -> Facts:
    """Whether there is a CUDA device."""
    import torch

    return {"cuda": torch.cuda.is_available()}


def operations(architecture: str) -> Facts:
    """Floating-point operations of a training step per pair."""
    import open_clip
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model = open_clip.create_model(architecture).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, 224, 224), torch.zeros(1, 77, dtype=torch.long))
    return {"per_pair": 3 * counter.get_total_flops()}


def step(architecture: str, batch: int, compiled: bool, repeats: int = 20) -> Facts:
    """Training steps on the GPU: pairs per second, the share of the peak, and what real input costs over synthetic."""
    import time

    import open_clip
    import torch
    from torch.nn.functional import normalize

    from trainworks.photostock.training.losses import clip

    torch.set_float32_matmul_precision("high")
    model = open_clip.create_model(architecture).cuda()
    model.set_grad_checkpointing(batch > 2048)
    embed = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    pictures = [torch.randint(0, 256, (batch, 3, 224, 224), dtype=torch.uint8).pin_memory() for _ in range(2)]
    texts, numbers = torch.randint(1, 49000, (batch, 77)).cuda(), torch.arange(batch).cuda()
    on_device = pictures[0].cuda()

    def seconds(real: bool) -> float:
        for number in range(repeats + 5):
            if number == 5:
                torch.cuda.synchronize()
                start = time.perf_counter()
            images = (pictures[number % 2].cuda(non_blocking=True) if real else on_device).float().div_(127.5).sub_(1)
            optimizer.zero_grad()
            with torch.autocast("cuda", torch.bfloat16):
                image, text, scale = embed(images, texts)[:3]
            clip(normalize(image.float(), dim=-1), normalize(text.float(), dim=-1), scale, numbers).backward()
            optimizer.step()
        torch.cuda.synchronize()
        return (time.perf_counter() - start) / repeats

    synthetic, real = seconds(False), seconds(True)
    share = batch * operations(architecture)["per_pair"] / synthetic / PEAK
    return {"pairs": batch / synthetic, "share": share, "stall": real / synthetic - 1, "device": torch.cuda.get_device_name()}
