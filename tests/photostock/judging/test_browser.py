"""Both pages in a real browser without a window: by keyboard, and by thumb on a phone."""

import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from tests.conftest import draw
from tests.photostock import toy_encoders
from tests.photostock.judging import toy_tasks
from trainworks.photostock.judging import local, tryout
from trainworks.photostock.judging.judgements import CHOICES, read

ROOT = Path(__file__).parents[3]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed; the same pages are tested by requests in test_judge.py")

DESKTOP = {"viewport": {"width": 1100, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}

ALL_SHOWN = "[...document.images].every(image => image.naturalWidth > 0)"


@pytest.fixture(scope="module")
def browser():
    """Chromium, as the machine has it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, request):
    """A page on a desktop or, where a test says so, on a phone; whatever the browser complains of fails the test."""
    complaints = []
    context = browser.new_context(**getattr(request, "param", DESKTOP))
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


class Judging:
    """The command in a process of its own."""

    def __init__(self, tasks: Path, judgements: Path):
        command = [sys.executable, "-m", "trainworks", "photostock", "judge", tasks, "--judgements", judgements, "--port", "0"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.said = []
        while not (self.said and self.said[-1].startswith("Judge: http")):
            self.said.append(self.process.stdout.readline())
            assert self.said[-1], self.said
        self.address = self.said[-1].split()[1]

    def end(self, by: signal.Signals) -> str:
        """What it said last."""
        self.process.send_signal(by)
        return self.process.communicate(timeout=30)[0]


@pytest.fixture
def judge(tasks, tmp_path):
    """Start the command, with judgements in one file; whatever runs at the end of the test is killed."""
    started = []

    def judge() -> Judging:
        started.append(Judging(tasks, tmp_path / "judged.jsonl"))
        return started[-1]

    yield judge
    for judging in started:
        if judging.process.poll() is None:
            judging.end(signal.SIGKILL)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """The tasks of one run."""
    return toy_tasks.prepared(tmp_path_factory.mktemp("prepared"))


def test_a_person_judges_by_keyboard_across_a_kill(judge, page, tmp_path):
    """Arrows and digits answer, Backspace goes one back; after SIGKILL it goes on where it was; Ctrl-C ends with the outcome."""
    kept = tmp_path / "judged.jsonl"
    judging = judge()
    page.goto(judging.address)
    page.fill("#judge", "Ada")
    page.keyboard.press("Enter")
    page.wait_for_url("**/task/**")
    page.wait_for_load_state("networkidle")
    assert page.evaluate(ALL_SHOWN)
    for key in ("ArrowLeft", "2", "ArrowDown", "4", "Backspace", "ArrowUp"):
        with page.expect_navigation():
            page.keyboard.press(key)
    assert [judgement.choice for judgement in read(kept)] == ["left", "right", "same", "bad", "bad"]
    assert len({judgement.task for judgement in read(kept)}) == 4
    at = page.url.partition("/task/")[2]
    page.wait_for_load_state("networkidle")
    judging.end(signal.SIGKILL)

    judging = judge()
    assert judging.said[0].startswith("goes on with the 5 judgements")
    page.goto(f"{judging.address}?judge=Ada")
    assert page.url.partition("/task/")[2] == at
    while "/task/" in page.url:
        with page.expect_navigation():
            page.keyboard.press("ArrowRight")
    assert "Thank you, Ada" in page.inner_text("h1") and "24 of 24" in page.inner_text("main")
    page.wait_for_load_state("networkidle")
    said = judging.end(signal.SIGINT)
    assert judging.process.returncode == 0 and "25 judgements are in" in said and "1 person judged 24 of 24 queries" in said


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_a_person_judges_on_a_phone(judge, page, tmp_path):
    """Everything is on the width of the screen; the buttons are in reach of a thumb, large enough, and answer."""
    judging = judge()
    page.goto(judging.address)
    page.fill("#judge", "Бэн")
    page.tap("button")
    page.wait_for_url("**/task/**")
    for choice in CHOICES:
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        box = page.locator(f"button[value={choice}]").bounding_box()
        assert box["height"] >= 44 and box["y"] + box["height"] <= 844
        with page.expect_navigation():
            page.tap(f"button[value={choice}]")
    assert [(judgement.judge, judgement.choice) for judgement in read(tmp_path / "judged.jsonl")] == [("Бэн", choice) for choice in CHOICES]
    page.wait_for_load_state("networkidle")


@pytest.mark.parametrize("page", [DESKTOP, PHONE], indirect=True, ids=["desktop", "phone"])
def test_a_person_tries_a_search(page, tmp_path):
    """Words, Enter, and the pictures of both models are there."""
    encoders = toy_encoders.write(tmp_path / "encoders", int8=False)
    new, old = (str(toy_encoders.write_bundle(tmp_path / name, encoders)) for name in ("new", "old"))
    (tmp_path / "pictures").mkdir()
    for number in range(13):
        draw("red", "ellipse", number).save(tmp_path / "pictures" / f"{number}.png")
    server = make_server(local.HOST, 0, tryout.application(tryout.load(new, str(tmp_path / "pictures"), old)), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page.goto(f"http://{local.HOST}:{server.port}/")
    page.fill("[name=q]", "red circle")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.locator("figure img").count() == 24 and page.evaluate("document.documentElement.scrollWidth") == page.viewport_size["width"]
    page.locator("figure img").last.scroll_into_view_if_needed()
    page.wait_for_load_state("networkidle")
    assert page.evaluate(ALL_SHOWN)
    server.shutdown()
    server.server_close()


def test_the_folder_opens_without_a_program(page, tasks):
    """From the disk, with its pictures."""
    page.goto((tasks / "judging" / "index.html").as_uri())
    assert page.evaluate("document.images[0].naturalWidth") > 0 and "Which side" in page.inner_text("h1")
