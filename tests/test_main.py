"""The terminal: the hall's commands by their name, a pipeline's below the pipeline's."""

import subprocess
import sys

import pytest

from tests.release import toy_bundle
from trainworks.__main__ import UNFORESEEN, main
from trainworks.release import stored
from trainworks.release.releases import release


def test_a_pipelines_commands_stand_below_its_name(capsys):
    """The list of all shows the pipeline with a word on it; its own list shows what it can do."""
    for arguments, words in (([], ("compare", "release", "photostock")), (["photostock"], ("drift", "try", "judge"))):
        with pytest.raises(SystemExit) as end:
            main([*arguments, "--help"])
        printed = capsys.readouterr().out
        assert end.value.code == 0 and all(word in printed for word in words)


def test_a_command_of_a_pipeline_says_where_it_is(capsys):
    """With exit status 2: 1 would mean that data has drifted, to a job that still has the old spelling."""
    with pytest.raises(SystemExit) as end:
        main(["drift", "artifacts/photostock", "photos"])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "drift is a command of a pipeline: it is called python -m trainworks photostock drift or " in said
    assert "python -m trainworks supermegaretail drift now" in said
    with pytest.raises(SystemExit) as end:
        main(["drfit"])
    assert end.value.code == 2 and "invalid choice" in capsys.readouterr().err


def test_the_list_of_commands_needs_no_package():
    """A typing mistake is answered at once."""
    heavy = ("numpy", "pyarrow", "pandas", "onnxruntime", "torch", "boto3", "jinja2")
    code = f"import sys\nfor name in {heavy}: sys.modules[name] = None\nfrom trainworks.__main__ import main\nmain(['--help'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("error", [RuntimeError("boom"), MemoryError(), BaseException("panic")])
@pytest.mark.parametrize("room", ["photostock", "supermegaretail"])
def test_an_unforeseen_error_has_a_status_of_its_own(monkeypatch, capsys, room, error):
    """To a job that retrains at 1 and complains of its input at 2, a defect means neither."""

    def broken(uri):
        raise error

    monkeypatch.setattr(stored, "locate", broken)
    assert main([room, "drift", "bundle", "sample"]) == UNFORESEEN == 3
    said = capsys.readouterr().err
    assert "Traceback" in said and "please report it" in said


ABSENT = (
    "flask",
    "jinja2",
    "markupsafe",
    "matplotlib",
    "tqdm",
    "pandas",
    "torch",
    "scipy",
    "sklearn",
    "boto3",
    "mlflow",
    "yaml",
    "flytekit",
)
SERVING = f"""
import sys
for name in {ABSENT}: sys.modules[name] = None
from trainworks.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("command", "status", "says"),
    [
        ("release list TO", 0, "current"),
        ("compare TO", 0, "gates"),
        ("release check TO", 0, "its manifest names"),
        ("compare TO --html page.html", 1, "this needs jinja2, which is not installed; trainworks brings it: install it with its extra"),
        ("photostock drift TO sample", 2, "its extra 'train' from where it came: pip install '.[train]' in a checkout"),
        ("photostock judge TO", 1, "this needs flask, which is not installed; trainworks brings it: install it with its extra 'judge'"),
        ("release list s3://bucket/a", 1, "an S3 store needs boto3; install it with its extra 'cloud'"),
    ],
)
def test_where_services_run_commands_work_or_name_what_is_missing(tmp_path, command, status, says):
    """With the extra serve alone; no registry has this project, so that how to install the rest is said for where it came from."""
    release(toy_bundle.write(tmp_path / "bundle", {"metrics.json": toy_bundle.metrics()}), str(tmp_path / "to"))
    arguments = [str(tmp_path / "to") if word == "TO" else word for word in command.split()]
    done = subprocess.run([sys.executable, "-c", SERVING, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == status and says in done.stdout + done.stderr, done.stderr
