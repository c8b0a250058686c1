"""Starting: ``pyflyte`` with our workflows against ``pyflyte`` with one of three lines, and a run in which nothing has changed.

Both sides are flytekit's own command line in new processes, so that the difference is what our code adds: imports, and building tasks,
workflows and launch plans. ``package`` stands for ``register``: it loads and serialises the same things, and needs no cluster. The warm
run is the whole pipeline on the embedded sample, run once before, so that every stage comes from the store; what it takes over the
trivial workflow's run is overhead: reading the catalogue, checking digests, writing the release.
"""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import HOUSE, SCRATCH, Facts, Row, alternate, cached_folder, median, program, python, ratios

TRIVIAL = """
from flytekit import task, workflow


@task
def one() -> int:
    return 1


@workflow
def hello() -> int:
    return one()
"""
PYFLYTE = Path(python(peer=False)).with_name("pyflyte")
OVERHEAD_SECONDS = 5
IMAGES = [word for name in ("default", "cpu", "gpu") for word in ("--image", f"{name}=registry/image:1")]
TINY = ["--epochs", "1", "--gallery", "20", "--stored_size", "64", "--image", "shortest(64) > center_crop(64)"]


def rows(quick: bool) -> Iterator[Row]:
    """``run --help``, ``package``, and a warm run."""
    trivial = cached_folder("trivial", write_trivial)
    repeats = 1 if quick else 2
    ours_help, peer_help = alternate(
        repeats,
        lambda: pyflyte("run", "workflows/photostock.py", "photostock", "--help"),
        lambda: pyflyte("run", trivial / "flows" / "hello.py", "hello", "--help"),
    )
    ours_pack, peer_pack = alternate(
        repeats,
        lambda: pyflyte("--pkgs", "workflows", "package", "--force", "--output", SCRATCH / "ours.tgz", *IMAGES),
        lambda: pyflyte("--pkgs", "flows", "package", "--force", "--output", SCRATCH / "peer.tgz", *IMAGES, folder=trivial),
    )
    for work, mine, theirs in (("pyflyte run --help", ours_help, peer_help), ("pyflyte package, as register", ours_pack, peer_pack)):
        yield Row(
            work, "a trivial workflow", ratios(mine, theirs), "<= 1.5", ours=f"{median(mine):.1f} s", theirs=f"{median(theirs):.1f} s"
        )
    if quick:  # the run that makes it warm takes a minute
        return
    warm, start = alternate(repeats, photostock, lambda: pyflyte("run", trivial / "flows" / "hello.py", "hello"))
    over = [(mine["wall"] - theirs["wall"]) / OVERHEAD_SECONDS for mine, theirs in zip(warm, start, strict=True)]
    shown = {"ours": f"{median(warm, 'wall'):.1f} s", "theirs": f"{median(start, 'wall'):.1f} s"}
    yield Row("warm run, nothing changed: overhead", f"{OVERHEAD_SECONDS} s over a trivial run", over, "<= 1", of="wall", **shown)


def write_trivial(out: Path) -> None:
    """A package of one workflow of one task."""
    (out / "flows").mkdir()
    (out / "flows" / "__init__.py").touch()
    (out / "flows" / "hello.py").write_text(TRIVIAL)


def photostock() -> Facts:
    """The whole pipeline; the first run, which does the work, is not measured."""

    def run() -> Facts:
        artifacts = SCRATCH / "warm"
        return pyflyte(
            "run",
            "workflows/photostock.py",
            "photostock",
            *TINY,
            "--release_to",
            artifacts / "release",
            artifacts=str(artifacts / "stages"),
        )

    cached_folder("warmed", lambda out: run())
    return run()


def pyflyte(*words: object, folder: Path = HOUSE, artifacts: str = "") -> Facts:
    """One call, in *folder*."""
    command = ["sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", folder, PYFLYTE, *words]
    return program(command, environment={"TRAINWORKS_ARTIFACTS": artifacts} if artifacts else None)
