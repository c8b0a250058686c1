"""What Flyte tries again, and what a person reads of an error."""

import pytest
from flytekit import FlyteContextManager
from flytekit.bin.entrypoint import get_traceback_str
from flytekit.core.context_manager import ExecutionState
from flytekit.exceptions.user import FlyteRecoverableException, FlyteUserRuntimeException

from tasks.attempts import Refused, flyte_errors, on_cluster
from tasks.stage import lasting
from trainworks.errors import Interrupted, StorageError, StorageUnreachable

pytestmark = pytest.mark.filterwarnings("ignore")  # flytekit's own


@pytest.fixture
def cluster():
    """This process is a task's pod."""
    context = FlyteContextManager.current_context()
    state = context.execution_state.with_params(mode=ExecutionState.Mode.TASK_EXECUTION)
    with FlyteContextManager.with_context(context.with_execution_state(state)):
        yield


def fails(error):
    """A task's body that ends with *error*."""

    @flyte_errors()
    def body():
        raise error

    return body


@pytest.mark.parametrize("error", [StorageUnreachable("S3 is down"), Interrupted("SIGTERM stopped it")])
def test_what_may_be_better_next_time_is_tried_again(cluster, error):
    """With the words of the error, which say what to look at if it goes on; any other kind of error would end the workflow."""
    with pytest.raises(FlyteRecoverableException, match=str(error)):
        fails(error)()


@pytest.mark.parametrize("error", [StorageError("no permission"), ValueError("--epochs = 0: must be at least 1")])
def test_bad_input_is_one_sentence_and_not_tried_again(cluster, error):
    """It would fail the same, after an hour's wait for the same pod; a list of executions keeps 100 characters of what flytekit says."""
    with pytest.raises(Refused, match=str(error)) as raised:
        fails(error)()
    wrapped = FlyteUserRuntimeException(raised.value)
    wrapped.__cause__ = raised.value
    assert str(error) in get_traceback_str(wrapped)[:100]


def test_what_is_unforeseen_keeps_its_frames(cluster):
    """Somebody must find the line."""
    with pytest.raises(ZeroDivisionError) as raised:
        fails(ZeroDivisionError("x"))()
    assert "in body" in get_traceback_str(raised.value)


def test_here_the_error_itself_is_shown():
    """There is nobody to try again."""
    assert not on_cluster()
    with pytest.raises(StorageUnreachable, match="S3 is down"):
        fails(StorageUnreachable("S3 is down"))()


def test_a_release_into_the_pod_is_refused(cluster, monkeypatch):
    """Its folder would be gone with it; on S3 a release lasts."""
    assert lasting("release_to", "s3://bucket/release") == "s3://bucket/release"
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", "s3://bucket/artifacts")
    with pytest.raises(ValueError, match=r"release_to = 'released'.* lost with it; on a cluster give s3://bucket/prefix"):
        lasting("release_to", "released")
    monkeypatch.delenv("TRAINWORKS_ARTIFACTS")
    with pytest.raises(ValueError, match="release_to = 'artifacts/photostock'"):
        lasting("release_to", "artifacts/photostock")


def test_a_release_below_the_artifact_root_is_on_s3_where_that_is(cluster, monkeypatch):
    """So the default lasts on a cluster too."""
    monkeypatch.setenv("TRAINWORKS_ARTIFACTS", "s3://bucket/root")
    assert lasting("release_to", "artifacts/photostock") == "s3://bucket/root/photostock"


def test_a_release_into_a_folder_here_stays_there():
    """That is the default."""
    assert lasting("release_to", "artifacts/photostock") == "artifacts/photostock"
