"""The report a person reads before a PhotoStock model is shipped, made from a toy run."""

import itertools
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.photostock.toy_run import RAN, TITLES, VERDICT, ToyRun, a_gain, a_gate, a_run
from trainworks.errors import DataError
from trainworks.photostock.report.page import write
from trainworks.photostock.run import Run
from trainworks.photostock.training import samples
from trainworks.storage import manifest


class Page(HTMLParser):
    """A page as its readers get it: the text, and the attributes of every element."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html, self.words, self.elements, self.open = html, [], [], []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ToyRun:
    return a_run(tmp_path_factory.mktemp("run"), TITLES)


def page_of(run: ToyRun, out: Path) -> Page:
    folders = Run(**{folder.name: run[folder.name] for folder in fields(Run)})
    write(folders, run["shards"], run["verdict"], run["ran"], out)
    return Page((out / "report.html").read_text())


@pytest.fixture(scope="module")
def page(run: ToyRun, tmp_path_factory: pytest.TempPathFactory) -> Page:
    return page_of(run, tmp_path_factory.mktemp("report"))


def changed(run: ToyRun, name: str, file: str, change: Callable[[Any], Any], folder: Path) -> ToyRun:
    """*run* with one JSON file of its folder *name* changed."""
    copy = folder / name
    copy.mkdir()
    for path in run[name].iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / file).write_text(json.dumps(change(json.loads((copy / file).read_text()))))
    return {**run, name: copy}


def test_the_page_loads_nothing_from_elsewhere(page: Page) -> None:
    """Every source is a data: URI, every link stays on the page, there is no script and no foreign address."""
    for tag, attributes in page.elements:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base")
        for name in ("src", "srcset", "href", "xlink:href", "action", "data", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/webp;base64,")), (tag, name)
        assert not [name for name in attributes if name.startswith("on")]
    assert "http:" not in page.html and "https:" not in page.html and "@import" not in page.html
    assert set(re.findall(r"url\((.)", page.html)) <= {"#"}


def test_the_page_is_small(page: Page) -> None:
    """At most 5 MB, though every query shows eight pictures."""
    assert len(page.html.encode()) < 5_000_000
    assert len(page.all("img")) > 60


def test_the_page_stays_small_whatever_the_catalogue_says(tmp_path: Path) -> None:
    """A title of a megabyte is cut wherever it is shown."""
    assert len(page_of(a_run(tmp_path / "run", ["long " * 200_000] * 9), tmp_path / "out").html) < 5_000_000


def test_foreign_text_is_shown_and_never_run(tmp_path: Path) -> None:
    """A title with markup appears as text in the query, the alternative text and the credits."""
    evil = "<script>alert(1)</script>\" onerror='x' {{ 7 * 7 }} & Söhne"
    page = page_of(a_run(tmp_path / "run", [evil] * 9), tmp_path / "out")
    assert not page.all("script") and "<script" not in page.html
    assert {evil} < {img["alt"] for img in page.all("img")}
    assert f"painter 0 : {evil}" in page.text
    assert evil in page.text


def test_the_headline_counts_queries_of_100(page: Page) -> None:
    """Before, after with its interval, and chance are those of the metrics, as whole queries of 100; the verdict comes first."""
    assert page.text.count("38 of 100 queries find their picture in the top ten") == 1
    assert "before fine-tuning 12 % after fine-tuning 28 to 48 %, with 95 % confidence 38 % by chance 10 %" in page.text
    assert page.text.index("1 of 2 gates fails") < page.text.index("before fine-tuning")


def test_the_verdict_names_the_gate_that_fails(page: Page) -> None:
    """A gate's value, bound and result stand in one row, told by word and not only by colour."""
    assert "✗ 1 of 2 gates fails" in page.text
    assert "gain ✗ fails 0.267 at least 0.275 gain of R@10" in page.text
    assert "✓ holds 0.384 at least 0.3" in page.text


def test_a_passed_verdict_says_so(run: ToyRun, tmp_path: Path) -> None:
    """When every gate holds the page says that the model may be released."""
    verdict = {"passed": True, "gates": VERDICT["gates"][:1]}
    page = page_of({**run, "verdict": verdict}, tmp_path)
    assert "✓ Every gate holds" in page.text and "fail" not in page.text
    assert json.loads((tmp_path / "verdict.json").read_text()) == verdict


def test_a_waived_gate_is_not_said_to_hold(run: ToyRun, tmp_path: Path) -> None:
    """The model may be released, and page and row say what was let through."""
    waived = a_gate("gain", 0.267, 0.275, False) | {"waived": True, "note": "let through"}
    text = page_of({**run, "verdict": {"passed": True, "gates": [VERDICT["gates"][0], waived]}}, tmp_path).text
    assert "✓ Every gate holds but 1 that is waived: the model may be released" in text
    assert "✗ fails, waived (let through) 0.267 at least 0.275" in text


def test_the_numbers_are_those_of_the_metrics(page: Page) -> None:
    """Recall of both directions, gains, kinds of query, groups of pictures and int8 appear row by row as they were measured."""
    assert "after 12.0 % 27.0 % 38.4 % 17.5 100 before 2.0 % 6.0 % 11.7 % 47 100 chance 1.0 % 5.0 % 10.0 % – –" in page.text
    assert "after 11.0 % 25.0 % 37.1 % 19 100 before 1.0 % 7.0 % 10.9 % 48.5 100" in page.text
    assert "text to picture, MRR 20.4 (10.4 to 30.4) 20.4 (10.4 to 30.4)" in page.text
    assert "tags 97 11.3 % 33.2 % +21.9 (+13.9 to +29.9)" in page.text
    assert "picture to text, MRR −1.2 (−9.2 to +6.8)" in page.text
    assert "5–9 words 40 14.2 % 36.0 % +21.8" in page.text
    assert "text encoder ✗ left out 30.1 % 8.3 points 22.9 MB 90.4 MB" in page.text
    assert "image encoder 1 part in 3,400,000 1, 2, 3, 8" in page.text


def test_the_ledger_adds_up_for_the_reader(page: Page) -> None:
    """Read from the source, less what each stage rejected, is what it kept; the parts make the whole."""
    assert (
        "read from the source 1,600 acquire: missing file −3 x1 animals/ghost.png acquire: duplicate id −2 kept by acquire 1,595 "
        "kept by prepare 1,595 curate: near duplicate −341 x2 of p003 curate: contributor cap −51 kept by curate 1,203"
    ) in page.text
    assert "train 1,003 83.4 % the model learns from these val 100 8.3 %" in page.text
    assert "together 1,203 100.0 %" in page.text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda card: card["stages"][2].update(kept=1204), "curate took 1595 of 1595 rows, kept 1204 and rejected 392"),
        (lambda card: card["stages"][0].update(read=1599, kept=1594), "acquire took 1599 of 1600 rows"),
        (lambda card: card["kept"].update(test=99), "the splits hold 1202 rows where the last stage kept 1203"),
    ],
)
def test_a_card_that_does_not_add_up_is_refused(run: ToyRun, tmp_path: Path, change: Callable[[Any], None], words: str) -> None:
    """A row that is neither kept nor rejected must not reach a reader as a sum."""

    def spoil(card: Any) -> Any:
        change(card)
        return card

    with pytest.raises(DataError, match=words):
        page_of(changed(run, "dataset", "card.json", spoil, tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_same_inputs_give_the_same_bytes(run: ToyRun, page: Page, tmp_path: Path) -> None:
    """Two reports of one run do not differ in a byte, charts and pictures included."""
    assert page_of(run, tmp_path).html == page.html


def test_a_right_picture_has_a_border_and_a_tick(page: Page) -> None:
    """One right picture for each query of the sample, of the best and of the misses, apart if not among the first eight."""
    bordered = [div for div in page.all("div") if "right" in (div.get("class") or "").split()]
    assert len(bordered) == page.text.count("✓ right") == 6 + 3 + 6
    assert len([div for div in bordered if "apart" in (div["class"] or "")]) == 2
    assert "right picture at place 87" in page.text


def test_pictures_find_words_too(page: Page) -> None:
    """The captions that fit a picture best, its own with a tick or, further behind, apart with its place."""
    right = [li for li in page.all("li") if li.get("class") == "right"]
    assert len(right) == page.text.count("✓ picture number") > 0
    assert "own text at place 87" in page.text and "its own: picture number 7" in page.text


def test_mistakes_with_a_pattern_are_shown(page: Page) -> None:
    """Hubs with how many queries find them, before and after; the two pictures of a pair with their texts."""
    assert "Queries that the most frequent picture answers 77 31 Pictures that no query finds 3 3 Skewness 3.90 1.42" in page.text
    assert "31 queries, right for 1 12 queries, right for 0" in page.text
    assert "The clearest 1 of 9 pairs" in page.text and "picture number 2 picture number 6" in page.text


def test_what_was_left_out_is_shown(page: Page) -> None:
    """A near duplicate beside the picture it gave way to, with their distance; a row without a picture by its id."""
    assert "missing file acquire, 1 row x1 animals/ghost.png" in page.text
    assert "near duplicate curate, 1 row left out in its place, 2 bits apart" in page.text
    assert "nearly picture number 3" in {img["alt"] for img in page.all("img")}


def released(**told: Any) -> Callable[[Any], Any]:
    """Metrics with a last release of R@10 0.31, which had no animals."""

    def change(metrics: Any) -> Any:
        def third(group: Any) -> Any:
            return {**group, "release": {"R@10": 0.31}, "over_release": a_gain(0.02, 0.074, 0.03)}

        categories = {
            tag: {**third(group), "release_trained_on": 28 if tag == "flag" else 0, "new": tag != "flag"}
            for tag, group in metrics["categories"].items()
        }
        ways = {way: {**metrics["finetuned"][way], "R@10": 0.31} for way in metrics["finetuned"]}
        gains = {way: a_gain(0.02, 0.074, 0.03) for way in ways}
        return {**metrics, "release": {**ways, "version": "20260131-7", **told}, "over_release": gains, "categories": categories}

    return change


def test_the_last_release_stands_beside_the_new_model(run: ToyRun, tmp_path: Path) -> None:
    """In the headline and the tables; a category it never saw is marked, with what it was trained on."""
    told = changed(run, "metrics", "metrics.json", released(overlap={"asked": 100, "trained_on": 0}), tmp_path)
    page = page_of(told, tmp_path / "out")
    assert "the last release 31 % after fine-tuning" in page.text
    assert "It was trained on none of the 100 test pictures of this run: the comparison is fair." in page.text
    assert "text to picture, R@10 +26.7 (+18.7 to +34.7) +7.4 (−0.6 to +15.4)" in page.text
    assert "animal · new 31 0 9 22.2 % 31.0 % 33.3 % +7.4 (−0.6 to +15.4) flag 28 28 11" in page.text


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (
            {"overlap": {"asked": 40, "trained_on": 3}},
            "It was trained on 3 of the 40 test pictures asked for, because the split has changed",
        ),
        ({}, "It does not tell what it was trained on"),
    ],
)
def test_a_release_that_knows_the_test_is_not_trusted(run: ToyRun, tmp_path: Path, told: Any, words: str) -> None:
    """Numbers on pictures that it was trained on, or may have been, flatter it: the page says so."""
    page = page_of(changed(run, "metrics", "metrics.json", released(**told), tmp_path), tmp_path / "out")
    assert words in page.text and "flatter" in page.text


def test_a_missing_release_is_told(run: ToyRun, page: Page, tmp_path: Path) -> None:
    """There is none yet, or it cannot be loaded: the page says which, and why."""
    assert "There is no earlier release to compare with." in page.text
    told = {"version": "20260131-7", "unreadable": "its manifest is damaged"}
    broken = changed(run, "metrics", "metrics.json", lambda metrics: {**metrics, "release": told}, tmp_path)
    words = "The last release, 20260131-7 , could not be loaded, so there is no comparison with it: its manifest is damaged"
    assert words in page_of(broken, tmp_path / "out").text


def test_a_mixture_of_weights_has_its_curve(run: ToyRun, tmp_path: Path) -> None:
    """Every share that was tried, with the one that was kept."""
    mixed = {**run, "checkpoint": tmp_path / "checkpoint"}
    shutil.copytree(run["checkpoint"], mixed["checkpoint"])
    tried = [{"share": k / 10, "val_recall": recall} for k, recall in ((1, 0.2), (5, 0.4), (10, 0.4))]
    (mixed["checkpoint"] / "mixture.json").write_text(json.dumps(tried))
    charts = [svg["aria-label"] for svg in page_of(mixed, tmp_path / "out").all("svg") if svg.get("role") == "img"]
    assert "Validation recall by share of the fine-tuned weights; 50 % was kept." in charts


def test_a_changed_knob_is_marked(page: Page, run: ToyRun, tmp_path: Path) -> None:
    """A knob that differs from its default says from what; without defaults nothing is said to have changed."""
    assert "learning_rate 0.002 (changed from 0.001) peak learning rate of factor 1" in page.text
    assert page.text.count("changed from") == 1
    facts = {name: value for name, value in RAN.items() if name != "defaults"}
    assert "changed from" not in page_of({**run, "ran": facts}, tmp_path).text


def test_what_changed_since_the_release_is_told(run: ToyRun, tmp_path: Path) -> None:
    """Knobs, packages, code and data of the last release beside those of this run; what is the same is not listed."""
    ran = {
        "config": {**RAN["knobs"], "epochs": 3},
        "packages": RAN["versions"] | {"torch": "2.14.0"},
        "commit": "0123abc",
        "data": "f" * 64,
    }
    text = page_of(changed(run, "metrics", "metrics.json", released(ran=ran), tmp_path), tmp_path / "out").text
    assert "Changed since the last release What Last release This run epochs 3 6 torch 2.14.0 2.15.0 data ffffffffffff" in text


def test_a_run_that_repeats_its_release_says_so(run: ToyRun, tmp_path: Path) -> None:
    """The same knobs, data, code and packages: nothing is listed."""
    ran = {"config": RAN["knobs"], "packages": RAN["versions"], "commit": "0123abc", "data": manifest.digest(run["dataset"])}
    text = page_of(changed(run, "metrics", "metrics.json", released(ran=ran), tmp_path), tmp_path / "out").text
    assert "Nothing has changed since the last release" in text


def test_what_ran_is_told(page: Page) -> None:
    """Time per stage and in all, parameter groups, versions, commit and command."""
    assert (
        "prepare (from an earlier run) CPU 3.2 s under $0.01 finetune GPU 3 min 35 s $0.06 together, from scratch 3 min 38 s $0.06"
        in page.text
    )
    assert "image.head 327,936 1 0.001 1 – image 3,413,024 0.1 0.0001 2 4 text 22,565,376 0 0 – –" in page.text
    assert "onnxruntime 1.32.0 torch 2.15.0" in page.text
    assert RAN["command"] in page.text and page.text.count("0123abc") == 3


def test_the_kept_epoch_is_named(page: Page) -> None:
    """The epoch whose weights were kept is in the text, and in what is said of the charts to those who cannot see them."""
    assert "The weights of epoch 4 were kept" in page.text and "R@10 41.0 %" in page.text
    charts = [svg for svg in page.all("svg") if svg.get("role") == "img"]
    assert len(charts) == 3 and sum("epoch 4 were kept, with R@10 41.0 %" in svg["aria-label"] for svg in charts) == 2


def test_a_person_sees_what_the_model_saw(page: Page) -> None:
    """Every sample stands with the text it met, reachable from the contents."""
    assert "What the model saw 4 of the 1,003 training pictures" in page.text
    captions = " ".join(f"{title} as met" for title in TITLES[:4])
    assert captions in page.text
    assert {"href": "#seen"} in page.all("a")


def test_every_picture_shown_is_credited(page: Page) -> None:
    """Each picture's title stands with its contributor, under its licence."""
    credits = page.text.partition("by licence and contributor.")[2]
    assert credits.startswith(" Public Domain painter 0 :")
    drawn_for_behaviour = "the <left> hand"
    assert all(img["alt"] in credits for img in page.all("img") if not img["alt"].startswith(drawn_for_behaviour))


def test_the_page_can_be_read_without_seeing_it(page: Page) -> None:
    """One h1, no level of heading skipped, a text for every picture, a caption and header cells for every table, no id twice."""
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    assert all(img["alt"] for img in page.all("img"))
    assert len(page.all("caption")) == len(page.all("table")) == len(page.all("thead"))
    assert all(th["scope"] in ("col", "row") for th in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    assert {a["href"] for a in page.all("a")} <= {f"#{id}" for id in ids}
    assert page.all("html")[0]["lang"] == "en"


def test_a_run_without_the_optional_parts_has_a_report(run: ToyRun, tmp_path: Path) -> None:
    """Nothing rejected or repaired, no training loss, int8 encoder, chosen epoch, frequent tag and samples still make a page."""

    def spotless(card: Any) -> Any:
        stages = [{"stage": s["stage"], "read": 1203, "kept": 1203, "rejected": {}} for s in card["stages"]]
        return {
            **card,
            "read": 1203,
            "stages": stages,
            "repairs": {},
            "licences": {},
            "contributors": {"read": 0, "kept": 0, "largest": []},
        }

    bare = changed(run, "dataset", "card.json", spotless, tmp_path)
    nothing = pq.read_table(bare["dataset"] / "rejected.parquet").slice(0, 0)
    pq.write_table(nothing, bare["dataset"] / "rejected.parquet")
    bare = changed(bare, "checkpoint", "history.json", lambda h: [{**row, "train_loss": None, "best": False} for row in h[:1]], tmp_path)
    (bare["checkpoint"] / samples.FILE).unlink()
    bare = changed(bare, "metrics", "metrics.json", lambda m: {**m, "int8": {}, "categories": {}}, tmp_path)
    page = page_of(bare, tmp_path / "out")
    assert "read from the source 1,203 kept by acquire 1,203 kept by prepare 1,203 kept by curate 1,203" in page.text
    assert "No row needed one" in page.text and "No int8 encoders were made" in page.text and "were kept" not in page.text
    assert "the model saw" not in page.text and {"href": "#seen"} not in page.all("a")


def test_a_perfect_model_has_no_misses(run: ToyRun, tmp_path: Path) -> None:
    """When every right picture comes first there is nothing to show, and the page says that."""
    perfect = changed(run, "metrics", "metrics.json", lambda m: m, tmp_path)
    answers = pq.read_table(perfect["metrics"] / "answers.parquet").to_pylist()
    pq.write_table(pa.Table.from_pylist([{**a, "rank": 1} for a in answers]), perfect["metrics"] / "answers.parquet")
    assert "None: every query found its picture in the first place." in page_of(perfect, tmp_path / "out").text


def test_a_value_that_is_no_number_is_shown_as_failed(run: ToyRun, tmp_path: Path) -> None:
    """A gate whose value could not be measured has a dash, and does not hold."""
    verdict = {"passed": False, "gates": [a_gate("reach", None, 0.3, False)]}
    assert "✗ fails – at least 0.3 reach of R@10" in page_of({**run, "verdict": verdict}, tmp_path).text


def test_a_test_of_few_queries_decides_nothing(run: ToyRun, tmp_path: Path) -> None:
    """Title and badge say the real counts, and that they are too few, though every gate holds."""

    def few(metrics: dict) -> dict:
        text = metrics["finetuned"]["text_to_image"] | {"R@10": 1.0, "queries": 12}
        return metrics | {"finetuned": metrics["finetuned"] | {"text_to_image": text}}

    verdict = {"passed": True, "gates": VERDICT["gates"][:1]}
    page = page_of({**changed(run, "metrics", "metrics.json", few, tmp_path), "verdict": verdict}, tmp_path / "out")
    assert "12 of 12 queries find their picture in the top ten" in page.text and "100 of 100" not in page.text
    assert "? 12 queries are too few to decide; it takes 50" in page.text and "may be released" not in page.text
