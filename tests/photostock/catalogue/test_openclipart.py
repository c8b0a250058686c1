"""Open Clip Art's importer, on a small tree of SVG and PNG files with the faults of the real one."""

import json
import shutil
import subprocess

import pytest
from PIL import Image

from trainworks.errors import DataError
from trainworks.photostock.catalogue.openclipart import PACKAGES, TREE, download, write_catalogue

PUBLIC_DOMAIN = "http://web.resource.org/cc/PublicDomain"


def svg(title="", tags=(), contributor="", description="", licence=PUBLIC_DOMAIN, doctype=""):
    """An SVG drawing with the metadata block that Open Clip Art's files have."""
    bag = "".join(f"<rdf:li>{tag}</rdf:li>" for tag in tags)
    return f"""<?xml version="1.0"?>{doctype}
        <svg xmlns="http://www.w3.org/2000/svg"><metadata>
        <rdf:RDF xmlns:cc="http://web.resource.org/cc/" xmlns:dc="http://purl.org/dc/elements/1.1/"
                 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><cc:Work rdf:about="">
        <dc:title>{title}</dc:title><dc:description>{description}</dc:description>
        <dc:subject><rdf:Bag>{bag}</rdf:Bag></dc:subject>
        <dc:publisher><cc:Agent><dc:title>Open Clip Art Library</dc:title></cc:Agent></dc:publisher>
        <dc:creator><cc:Agent><dc:title>{contributor}</dc:title></cc:Agent></dc:creator>
        <cc:license rdf:resource="{licence}"/></cc:Work></rdf:RDF></metadata><path d="M 0,0"/></svg>"""


@pytest.fixture
def tree(tmp_path):
    """Adds a picture, and its SVG if there is one, to an unpacked library."""

    def add(name, drawing=None):
        png = tmp_path / TREE / "png" / f"{name}.png"
        png.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGBA", (4, 4), "red").save(png)
        if drawing is not None:
            path = tmp_path / TREE / "svg" / f"{name}.svg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(drawing)
        return png

    return add


def catalogue(folder):
    """The rows written into *folder*, by id."""
    return {row["id"]: row for row in map(json.loads, (folder / "catalogue.jsonl").read_text().splitlines())}


def test_metadata_comes_raw_from_the_svg_of_the_same_name(tree, tmp_path):
    """Useless titles, HASH tags and white space stay: repairing them is the reader's business."""
    png = tree("animals/fox_ann_01", svg(" fox\n", ["hash", "", "hash(0x8a3ecd4)", "fox"], "HASH(0x89c79d4)", "On snow &amp; ice"))
    write_catalogue(tmp_path)
    assert catalogue(tmp_path)["animals/fox_ann_01"] == {
        "id": "animals/fox_ann_01",
        "image": png.relative_to(tmp_path).as_posix(),
        "title": " fox\n",
        "description": "On snow & ice",
        "tags": ["hash", "", "hash(0x8a3ecd4)", "fox"],
        "contributor": "HASH(0x89c79d4)",
        "licence": PUBLIC_DOMAIN,
    }


def test_a_symbolic_link_is_the_same_picture_again(tree, tmp_path):
    """The library links a picture into every category it belongs to; it is listed once."""
    png = tree("food/apple", svg("apple"))
    (png.parent / "fruit.png").symlink_to(png.name)
    counts = write_catalogue(tmp_path)
    assert list(catalogue(tmp_path)) == ["food/apple"]
    assert (counts["PNG files"], counts["symbolic links skipped"], counts["pictures"]) == (2, 1, 1)


@pytest.mark.parametrize(
    ("drawing", "count"),
    [
        (None, "without SVG"),
        ("<svg><metadata", "malformed SVG"),
        ("", "malformed SVG"),
        ('<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG without metadata"),
        (svg("&outside;", doctype='<!DOCTYPE svg [<!ENTITY outside SYSTEM "catalogue.jsonl">]>'), "malformed SVG"),
    ],
)
def test_a_picture_whose_svg_tells_nothing_is_kept_and_counted(tree, tmp_path, drawing, count):
    """It has empty fields, and no licence that would allow to pass it on; a file that an entity names is never read."""
    tree("food/apple", drawing)
    assert write_catalogue(tmp_path)[count] == 1
    row = catalogue(tmp_path)["food/apple"]
    assert (row["title"], row["tags"], row["contributor"], row["licence"]) == ("", [], "", "")


def test_entities_that_multiply_are_stopped(tree, tmp_path):
    """A billion laughs, ten lines that unfold to gigabytes, are a malformed SVG like any other."""
    lines = ['<!ENTITY a0 "laugh ">', *(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))]
    tree("food/apple", svg("&a9;", doctype=f"<!DOCTYPE svg [{''.join(lines)}]>"))
    assert write_catalogue(tmp_path)["malformed SVG"] == 1


def test_missing_fields_and_licences_are_counted(tree, tmp_path):
    """A person sees from the counts what the catalogue lacks, and under which licences it stands."""
    tree("a", svg("fox", ["fox"], "Ann", "On snow"))
    tree("b", svg(tags=["", " "], licence=""))
    counts = write_catalogue(tmp_path)
    assert [counts[f"without {field}"] for field in ("title", "description", "contributor", "tags")] == [1, 1, 1, 1]
    assert (counts[f"licence {PUBLIC_DOMAIN}"], counts["licence not stated"]) == (1, 1)


def test_an_empty_folder_is_refused(tmp_path):
    """The message names the packages to unpack."""
    with pytest.raises(DataError, match="openclipart-png and openclipart-svg"):
        write_catalogue(tmp_path)


def test_without_debians_tools_one_is_told_where_to_run(tmp_path, monkeypatch):
    """The packages are Debian's, and so are the programs that fetch and unpack them."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match=r"apt-get not found: .* run this on Debian"):
        download(tmp_path / "openclipart")


def test_a_failed_download_says_why_and_what_may_help(tmp_path, monkeypatch):
    """What apt-get printed is passed on."""
    program = tmp_path / "apt-get"
    program.write_text("#!/bin/sh\necho E: Unable to locate package $2 >&2\nexit 100\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(DataError, match=r"(?s)apt-get update.*Unable to locate package openclipart-png"):
        download(tmp_path / "openclipart")


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="makes Debian packages")
def test_packages_that_lie_there_are_unpacked_without_a_download(tmp_path, monkeypatch):
    """A second run, or one on a machine without network, works on the files it has; a damaged one is named."""
    folder = tmp_path / "openclipart"
    folder.mkdir()
    for package in PACKAGES:
        content = tmp_path / package
        (content / "DEBIAN").mkdir(parents=True)
        (content / "DEBIAN/control").write_text(
            f"Package: {package}\nVersion: 1\nArchitecture: all\nMaintainer: Ann <a@b.c>\nDescription: x\n"
        )
        (content / TREE).mkdir(parents=True)
        (content / TREE / package).write_text("here")
        subprocess.run(["dpkg-deb", "--build", content, folder / f"{package}_1_all.deb"], check=True, stdout=subprocess.DEVNULL)
    download(folder)
    assert {path.name for path in (folder / TREE).iterdir()} == set(PACKAGES)
    (folder / f"{PACKAGES[0]}_1_all.deb").write_bytes(b"half a file")
    with pytest.raises(DataError, match=f"remove .*{PACKAGES[0]}_1_all.deb and try again"):
        download(folder)
