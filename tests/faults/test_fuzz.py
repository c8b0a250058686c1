"""Whatever is typed into a knob or lies in a catalogue, only documented errors come back, and they come back soon."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainworks.errors import DataError, LanguageError
from trainworks.photostock.augmentation.augment_image import STEPS, Augmentation
from trainworks.photostock.augmentation.augment_text import STEPS as TEXT_STEPS
from trainworks.photostock.augmentation.augment_text import TextAugmentation
from trainworks.photostock.catalogue import catalogue
from trainworks.photostock.curation import subsample
from trainworks.photostock.curation.knobs import DataConfig
from trainworks.photostock.delivery.knobs import GateConfig
from trainworks.photostock.evaluation.measures import MEASURES
from trainworks.photostock.model import tune
from trainworks.photostock.preprocessing.pixels import BACKGROUNDS, INTERPOLATIONS, Preprocessing
from trainworks.photostock.preprocessing.text import FIELDS, Prompt
from trainworks.photostock.training import averaging, loss_terms
from trainworks.photostock.training.knobs import TrainConfig
from trainworks.release.measures import parse as gates
from trainworks.sweep.space import parse as space

CALLS = {
    "image": ("shortest", "center_crop", "squash", "pad", *INTERPOLATIONS, *BACKGROUNDS),
    "augment_image": STEPS,
    "augment_text": tuple(TEXT_STEPS),
    "subsample": ("near_duplicates", "similar_texts", "contributor", "visual_cluster"),
    "average": ("ema", "wise"),
}
"""Languages of calls in a row, with their words."""

PARSE = {
    "image": Preprocessing,
    "augment_image": Augmentation,
    "augment_text": lambda text: TextAugmentation(text, Prompt("{title}")),
    "subsample": subsample.steps,
    "average": averaging.parse,
    "prompt": Prompt,
    "loss": loss_terms.terms,
    "tune": lambda text: tune.rules(text, epochs=12),
    "gates": lambda text: gates(text, MEASURES),
    "space": lambda text: space(text, TrainConfig()),
}

NUMBERS = ("0", "1", "224", "0.5", "-1", "1e-4", "1e999", "nan", "inf", "00", "3.", "9" * 30, "9" * 5000, "²", "٣")
ODD = ("", *" \n\t\0\ud800é(),>+*=@;|{}[]?.:", " " * 99)

numbers = st.sampled_from(NUMBERS) | st.integers(-2, 2000).map(str) | st.floats(0, 2).map(repr)
odd = st.sampled_from(ODD) | st.text(max_size=3)


def spaced(*pieces: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """The pieces behind each other, now and then with something odd between."""
    return st.tuples(*(part for piece in pieces for part in (piece, st.just("") | st.just("") | odd))).map("".join)


def listed(item: st.SearchStrategy[str], separators: tuple[str, ...]) -> st.SearchStrategy[str]:
    return st.lists(spaced(item, st.sampled_from(separators)), max_size=5).map(lambda items: "".join(items)[:-1]) | item


def in_calls(words: tuple[str, ...]) -> st.SearchStrategy[str]:
    word = st.sampled_from(words) | st.sampled_from([word[:-1] for word in words])
    arguments = st.lists(numbers | word, max_size=3).map(", ".join)
    return listed(word | spaced(word, st.just("("), arguments, st.just(")")), (">", " > ", ">", ","))


patterns = st.lists(st.sampled_from(["image", "text", "*", "head", "norms", "logit_scale", "last(2)", "?", "[!a]", "["]), min_size=1)
speeds = (
    numbers | st.builds("{}*{}({})".format, numbers, st.sampled_from(["lora", "decay", "lara"]), numbers) | numbers.map("lora({})".format)
)
knobs = st.sampled_from(["learning_rate", "epochs", "average", "precision", "tune", "lerning_rate", "seed"])
TEXTS = {
    **{knob: in_calls(words) for knob, words in CALLS.items()},
    "prompt": st.lists(st.sampled_from([f"{{{field}}}" for field in FIELDS] + ["{titel}", "{}", "{{title}}"]) | odd, max_size=6).map(
        "".join
    ),
    "loss": listed(
        st.builds("{}*{}".format, numbers, st.sampled_from([*loss_terms.TERMS, "clp"])) | st.sampled_from(loss_terms.TERMS),
        ("+", " + ", "-"),
    ),
    "tune": listed(spaced(patterns.map(".".join), st.just("="), speeds, st.sampled_from(["", "@2", "@", "@0", "@99"])), (", ", ",", ";")),
    "gates": listed(
        st.builds(
            "{} {} {} {}".format,
            st.sampled_from([*MEASURES, "recal"]),
            st.sampled_from([">=", "<=", "=", "=>", ""]),
            numbers,
            st.sampled_from(["", "", "waived", "wavied"]),
        ),
        (", ", ",", ";"),
    ),
    "space": listed(
        spaced(knobs, st.just(" = "), st.builds("{}({}, {})".format, st.sampled_from(["log", "uniform"]), numbers, numbers) | odd),
        (";", "|"),
    ),
}
quick = settings(max_examples=150, deadline=2000, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("knob", PARSE)
def test_a_language_parses_or_says_where_it_does_not(knob):
    """Ten languages, 150 texts each, close to their grammar: a ``LanguageError`` that points into the text, within two seconds."""

    @quick
    @given(TEXTS[knob])
    def holds(text):
        try:
            PARSE[knob](text)
        except LanguageError as error:
            assert error.knob == knob and 0 <= error.position <= len(text)

    holds()


@quick
@given(st.data())
def test_a_section_of_knobs_takes_its_texts_or_refuses_them(data):
    """As the first task does, all at once: ``ValueError`` and nothing else."""
    drawn = {knob: data.draw(TEXTS[knob]) for knob in data.draw(st.lists(st.sampled_from(sorted(set(TEXTS) - {"space"})), max_size=3))}
    for section in (DataConfig, TrainConfig, GateConfig):
        try:
            section(**{knob: text for knob, text in drawn.items() if knob in section.__dataclass_fields__})
        except ValueError as error:
            assert str(error)


@pytest.fixture(scope="module")
def playground(tmp_path_factory) -> Path:
    """One folder with one picture, for all examples."""
    root = tmp_path_factory.mktemp("playground")
    (root / "owl.png").write_bytes(b"owl")
    return root


def require_books(source: Path) -> None:
    """Every row is kept or has a reason, or the catalogue as a whole is refused."""
    try:
        rows = catalogue.read(str(source)).table.to_pylist()
    except DataError:
        return
    assert all(bool(row["fingerprint"]) != bool(row["rejected"]) for row in rows)


lines = st.lists(
    st.sampled_from([b"image,title", b"owl.png", b'"', b",", b"\n", b"\r", b"A", b"\xff", b"\0", b";", b"\xef\xbb\xbf"]), max_size=12
)
objects = st.lists(
    st.sampled_from(
        [b'{"image": "owl.png", "title": "A"}', b"{", b"}", b"[" * 5000, b'"tags":', b"1e999", b"9" * 5000, b"\n", b"\xff", b"NaN"]
    ),
    max_size=8,
)


@quick
@given(lines.map(b"".join) | st.binary(max_size=60), objects.map(b"".join) | st.binary(max_size=60))
def test_bytes_that_may_be_a_catalogue_are_read_or_refused(playground, csv, jsonl):
    """CSV and JSONL of their own tokens, and of any bytes."""
    for suffix, content in (("csv", csv), ("jsonl", jsonl)):
        path = playground / f"catalogue.{suffix}"
        path.write_bytes(content)
        require_books(path)


KINDS = st.sampled_from(
    [
        pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.int64(), pa.float64(), pa.float16(), pa.null(), pa.bool_(),
        pa.list_(pa.string()), pa.large_list(pa.string()), pa.list_(pa.int8()), pa.list_(pa.list_(pa.string())), pa.date32(),
        pa.timestamp("ns"), pa.decimal128(5, 2), pa.dictionary(pa.int32(), pa.string()), pa.struct([("a", pa.string())]),
        pa.map_(pa.string(), pa.string()), pa.list_(pa.string(), 2), pa.duration("s"),
    ]
)  # fmt: skip
columns = st.dictionaries(st.sampled_from([*catalogue.SCHEMA.names, "image", "title", "Image", "ü", ""]), KINDS, max_size=4)


@quick
@given(columns, st.integers(0, 3), st.booleans())
def test_tables_of_any_type_are_read_or_refused(playground, columns, length, filled):
    """Parquet with the columns of a catalogue and others, each of any of 21 types, empty or with a value."""
    table = {"image": pa.array(["owl.png"] * length), "title": pa.array(["A"] * length)}
    for name, kind in columns.items():
        nothing = pa.nulls(length, kind)
        table[name] = pa.array([b"\xff"] * length, pa.binary()).view(pa.binary()) if filled and pa.types.is_binary(kind) else nothing
    pq.write_table(pa.table(table), playground / "table.parquet")
    require_books(playground / "table.parquet")


CHILD = """
import sys
from pathlib import Path
import numpy as np
from trainworks.errors import DataError
from trainworks.photostock.catalogue import catalogue

path, count = Path(sys.argv[1]), 500
whole, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
for _ in range(count):
    data = bytearray(whole)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(data) // 2 * int(rng.integers(2)), len(data)))  # half of them in the footer
        data[at : at + 4] = rng.bytes(4) if rng.integers(2) else bytes([data[at] ^ 1 << int(rng.integers(8))])
    path.write_bytes(data)
    try:
        catalogue.read(str(path))
    except DataError:
        refused += 1
print(count, refused)
"""


def test_damaged_parquet_is_read_or_refused(playground):
    """500 files with overwritten bytes, most in the footer: no other error, and the reader's C++ does not crash."""
    path = playground / "damaged.parquet"
    rows = [{"image": "owl.png", "title": f"Café {n}", "tags": ["a", "b"], "id": str(n)} for n in range(20)]
    pq.write_table(pa.Table.from_pylist(rows), path)
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", CHILD, path], capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr[-3000:]
    count, refused = map(int, done.stdout.split())
    assert count == 500 and 100 < refused < 500
