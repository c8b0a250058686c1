"""What Flyte tries again, and what a person reads of an error."""

import pytest
from flytekit import FlyteContextManager
from flytekit.bin.entrypoint import get_traceback_str
from flytekit.core.context_manager import ExecutionState
from flytekit.exceptions.user import FlyteRecoverableException, FlyteUserRuntimeException

from tasks.attempts import Refused, flyte_errors, on_cluster
from tasks.stage import check_lasting
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


@pytest.mark.parametrize("error", [StorageError("no permission"), ValueError("train.epochs = 0: must be at least 1")])
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


def test_a_release_into_the_pod_is_refused(cluster):
    """Its folder would be gone with it; on S3, or on one's own machine, a release lasts."""
    check_lasting("release_to", "s3://bucket/release")
    with pytest.raises(ValueError, match=r"release_to = 'artifacts/photostock'.* lost with it; on a cluster give s3://bucket/prefix"):
        check_lasting("release_to", "artifacts/photostock")


def test_a_release_into_a_folder_here_is_not():
    """That is the default."""
    check_lasting("release_to", "artifacts/photostock")
