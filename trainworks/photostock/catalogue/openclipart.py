"""Open Clip Art as a raw catalogue, from Debian's packages: ``python -m trainworks.photostock.catalogue.openclipart data/openclipart``.

The pictures are PNG files, their metadata the RDF in the SVG file of the same name. Nothing is
repaired here, since the data shows how the catalogue reader copes with such faults.
"""

import argparse
import json
import logging
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any

from trainworks.errors import DataError, TrainworksError
from trainworks.progress import Bar

log = logging.getLogger(__name__)

PACKAGES = ("openclipart-png", "openclipart-svg")
TREE = Path("usr/share/openclipart")

_CC, _DC, _RDF = "{http://web.resource.org/cc/}", "{http://purl.org/dc/elements/1.1/}", "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_WORK = f"{_CC}Work"
_NO_METADATA: dict[str, Any] = {"title": "", "description": "", "tags": [], "contributor": "", "licence": ""}


def download(folder: Path) -> None:
    """Fetch and unpack the packages into *folder*; a package file that is already in the folder is not fetched again.

    Raises:
        DataError: apt-get or dpkg is missing or fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if missing := [package for package in PACKAGES if not list(folder.glob(f"{package}_*.deb"))]:
        _run(["apt-get", "download", *missing], folder, "check the network, and try `apt-get update`")
    for package in PACKAGES:
        archive = max(folder.glob(f"{package}_*.deb"))
        _run(["dpkg", "-x", archive.name, "."], folder, f"remove {archive} and try again")


def write_catalogue(folder: Path) -> Counter[str]:
    """Write *folder*/catalogue.jsonl, a row per regular PNG file of the unpacked packages, and count files, faults and licences.

    A symbolic link is the same picture in a second category, and skipped. Rows have ``id``, ``image``
    (path relative to *folder*), ``title``, ``description``, ``tags``, ``contributor`` and ``licence`` (its URI), all unrepaired.

    Raises:
        DataError: *folder* has no pictures.
    """
    pngs = sorted((folder / TREE / "png").rglob("*.png"))
    pictures = [path for path in pngs if not path.is_symlink()]
    if not pictures:
        raise DataError(f"{folder / TREE / 'png'}: no PNG files; unpack {' and '.join(PACKAGES)} into {folder}")
    counts = Counter({"PNG files": len(pngs), "symbolic links skipped": len(pngs) - len(pictures), "pictures": len(pictures)})
    counts.update(dict.fromkeys(("without SVG", "malformed SVG", "SVG without metadata"), 0))
    with (folder / "catalogue.jsonl").open("w", encoding="utf-8") as file:
        for path in Bar(pictures, "metadata", unit="picture"):
            name = path.relative_to(folder / TREE / "png")
            metadata = _metadata(folder / TREE / "svg" / name.with_suffix(".svg"), counts)
            row = {"id": name.with_suffix("").as_posix(), "image": path.relative_to(folder).as_posix(), **metadata}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return counts


def _metadata(svg: Path, counts: Counter[str]) -> dict[str, Any]:
    """The first description of a work in *svg*, or empty fields; the reason is counted in *counts*.

    ElementTree fetches no external entity, and expat (2.4 and later) stops one that multiplies.
    """
    if not svg.is_file():
        counts["without SVG"] += 1
        return _NO_METADATA
    try:
        with svg.open("rb") as file:
            work = next((node for _, node in ET.iterparse(file) if node.tag == _WORK), None)
    except ET.ParseError as error:
        log.debug("%s: %s", svg, error)
        counts["malformed SVG"] += 1
        return _NO_METADATA
    if work is None:
        counts["SVG without metadata"] += 1
        return _NO_METADATA
    licence = work.find(f"{_CC}license")
    metadata: dict[str, Any] = {
        "title": work.findtext(f"{_DC}title") or "",
        "description": work.findtext(f"{_DC}description") or "",
        "tags": [tag.text or "" for tag in work.iterfind(f"{_DC}subject/{_RDF}Bag/{_RDF}li")],
        "contributor": work.findtext(f"{_DC}creator/{_CC}Agent/{_DC}title") or "",
        "licence": "" if licence is None else licence.get(f"{_RDF}resource", ""),
    }
    counts.update(f"without {field}" for field in ("title", "description", "contributor") if not metadata[field].strip())
    counts["without tags"] += not any(tag.strip() for tag in metadata["tags"])
    counts[f"licence {metadata['licence'] or 'not stated'}"] += 1
    return metadata


def _run(command: list[str], folder: Path, advice: str) -> None:
    if not shutil.which(command[0]):
        raise DataError(f"{command[0]} not found: Open Clip Art comes as Debian packages; run this on Debian or Ubuntu")
    process = subprocess.run(command, cwd=folder, stdout=sys.stderr, stderr=subprocess.PIPE, text=True)
    if process.returncode:
        raise DataError(f"`{' '.join(command)}` failed with {process.returncode}; {advice}\n{process.stderr.strip()}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Fetch Open Clip Art (156 MB) and write its raw catalogue.")
    parser.add_argument("folder", type=Path, help="where it goes, such as data/openclipart")
    folder = parser.parse_args().folder
    try:
        download(folder)
        counts = write_catalogue(folder)
    except TrainworksError as error:
        sys.exit(str(error))
    for name, count in counts.items():
        print(f"{count:6,}  {name}")
    print(folder / "catalogue.jsonl")


if __name__ == "__main__":
    main()
