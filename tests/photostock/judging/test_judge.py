"""The page on which people judge: every answer is kept, it goes on where it stopped, and it answers nobody else."""

import json
import re
import shutil
from urllib.parse import urlencode

import pytest

from tests.photostock.judging import toy_tasks
from tests.test_imports import modules_loaded_by
from trainworks.errors import DataError, IntegrityError
from trainworks.photostock.judging import judge
from trainworks.photostock.judging.judgements import Judgements, read
from trainworks.storage import s3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The tasks of one run."""
    return toy_tasks.prepared(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def client(folder, tmp_path):
    """A browser's requests to the page, for judgements in a new file."""
    with judge.opened(str(folder)) as tasks:
        yield judge.application(tasks, Judgements(tmp_path / "judged.jsonl")).test_client()


def first(client, name="Ada") -> str:
    """Where *name* is sent first."""
    return client.get(f"/?{urlencode({'judge': name})}").headers["Location"]


def test_answers_are_kept_until_all_are_given(client, folder, tmp_path):
    """One after another, in an order of one's own; then the win rates by kind of query, and how many more would decide."""
    tasks, _ = toy_tasks.content(folder)
    place, seen = first(client), []
    while "/task/" in place:
        assert (page := client.get(place)).status_code == 200 and page.text.count("<img") == 12
        seen.append(place.partition("?")[0])
        place = client.post(seen[-1], data={"judge": "Ada", "choice": "left"}).headers["Location"]
    assert len(set(seen)) == len(seen) == len(tasks["tasks"]) == len(read(tmp_path / "judged.jsonl"))
    end = client.get(place).text
    assert "You have judged 24 of 24" in end and all(f">{kind}</th>" in end for kind in ("all queries", "title", "single tag", "search"))
    assert "more judged queries would" in end or "decides" in end or "no number" in end
    assert first(client, "Ben").partition("?")[0] != seen[0] or first(client, "Cid").partition("?")[0] != seen[0]


def test_who_comes_back_goes_on(client, folder, tmp_path):
    """In another process too, under the same name, whatever blanks are around it."""
    answered = first(client).partition("?")[0]
    client.post(answered, data={"judge": "Ada", "choice": "same"})
    onward = first(client)
    assert not onward.startswith(answered)
    with judge.opened(str(folder)) as tasks:
        again = judge.application(tasks, Judgements(tmp_path / "judged.jsonl")).test_client()
        assert first(again, "  Ada ") == onward and first(again, "Ben").startswith("/task/")
        assert 'class="chosen"' not in again.get(onward).text and "chosen" in again.get(f"{answered}?judge=Ada").text


def test_a_page_tells_nothing_of_the_models(client, folder):
    """Neither the key nor which model the other is."""
    _, key = toy_tasks.content(folder)
    pages = client.get("/").text + client.get(first(client)).text
    assert key["other"] not in pages and "model_is" not in pages
    assert client.get("/key.json").status_code == client.get("/pictures/key.json").status_code == 404


def test_texts_are_escaped(client, folder):
    """Queries come from catalogues and logs, names from whoever types."""
    task = next(task for task in toy_tasks.content(folder)[0]["tasks"] if "<b>" in task["query"])
    page = client.get(f"/task/{task['id']}?{urlencode({'judge': '<script>alert(1)</script>'})}").text
    assert "&lt;b&gt;a &amp; b&lt;/b&gt;" in page and "<b>a" not in page and "<script>alert" not in page


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"Host": "localhost:1234", "Origin": "http://localhost:1234"}, 303),
        ({"Host": "[::1]:1234"}, 303),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "["}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost:1234", "Origin": "http://localhost:99"}, 403),
    ],
)
def test_only_this_machines_own_page_may_answer(client, tmp_path, headers, status):
    """A name that somebody made to lead here, and another page's form, are refused; nothing is kept of them."""
    task = first(client).partition("?")[0]
    answered = client.post(task, data={"judge": "Ada", "choice": "left"}, headers=headers)
    assert answered.status_code == status and len(read(tmp_path / "judged.jsonl")) == (status == 303)


@pytest.mark.parametrize(
    "name", ["../key.json", "..%2fkey.json", "%2e%2e/key.json", "/etc/passwd", "0001.webp/../../key.json", "9999.webp"]
)
def test_only_pictures_of_the_tasks_are_sent(client, name):
    """Whatever path is asked for."""
    assert client.get(f"/pictures/{name}").status_code == 404


def test_what_is_no_answer_is_refused(client, tmp_path):
    """Another choice, no name, another task, and more than an answer can hold."""
    task = first(client).partition("?")[0]
    for place, data, status in (
        (task, {"judge": "Ada", "choice": "both"}, 400),
        (task, {"judge": " ", "choice": "left"}, 400),
        ("/task/none", {"judge": "Ada", "choice": "left"}, 400),
        (task, {"judge": "A" * 100_000, "choice": "left"}, 413),
    ):
        assert client.post(place, data=data).status_code == status
    assert read(tmp_path / "judged.jsonl") == []
    client.post(task, data={"judge": "A\n" * 200, "choice": "left"})
    assert len(read(tmp_path / "judged.jsonl")[0].judge) < judge.LONGEST_NAME


def test_without_the_key_people_judge_and_are_not_told(folder, tmp_path):
    """The folder that was given to them is enough; who has the key counts."""
    shutil.copytree(folder / "judging", tmp_path / "given")
    with judge.opened(str(tmp_path / "given")) as tasks:
        judgements = Judgements(tmp_path / "judged.jsonl")
        client = judge.application(tasks, judgements).test_client()
        client.post(first(client).partition("?")[0], data={"judge": "Ada", "choice": "left"})
        assert judge.result(tasks, judgements) is None and "kept elsewhere" in client.get("/end?judge=Ada").text
    with judge.opened(str(folder)) as tasks:
        assert judge.result(tasks, judgements)["judged"] == 1


def test_what_are_no_tasks_is_refused(folder, tmp_path):
    """Another folder, a picture of another place, a changed file."""
    with pytest.raises(IntegrityError, match="is the path right"), judge.opened(str(tmp_path)):
        pass
    given = shutil.copytree(folder / "judging", tmp_path / "given")
    content = json.loads((given / "tasks.json").read_text())
    content["tasks"][0]["left"][0] = "pictures/../../key.json"
    (given / "tasks.json").write_text(json.dumps(content))
    says = re.escape("it names 'pictures/../../key.json', which is no picture of it")
    with pytest.raises(DataError, match=says), judge.opened(str(given)):
        pass
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    (damaged / "key.json").write_text("{}")
    with pytest.raises(IntegrityError), judge.opened(str(damaged)):
        pass


def test_nothing_that_trains_is_needed():
    """The extra judge has a web library, and neither torch nor tables."""
    loaded = modules_loaded_by("import trainworks.photostock.judging.judge, trainworks.photostock.judging.tryout")
    assert not loaded & {"torch", "pandas", "scipy", "matplotlib", "transformers", "flytekit", "yaml", "sklearn"} and "flask" in loaded


def test_tasks_in_a_bucket_are_fetched_and_verified(folder, bucket):
    """As a run on a cluster leaves them; one that is not what its manifest says is refused."""
    for path in (path for path in folder.rglob("*") if path.is_file()):
        s3.upload(path, f"{bucket}/stages/{path.relative_to(folder).as_posix()}")
    with judge.opened(f"{bucket}/stages") as tasks:
        assert len(tasks.content["tasks"]) == 24 and tasks.key is not None
    s3.put(f"{bucket}/stages/key.json", b"{}")
    with pytest.raises(IntegrityError, match=r"key\.json"), judge.opened(f"{bucket}/stages"):
        pass
