"""What an attempt leaves, the next one finds."""

from contextlib import contextmanager

import pytest
from flytekit import FlyteContextManager
from flytekit.bin.entrypoint import get_traceback_str
from flytekit.core.checkpointer import SyncCheckpoint
from flytekit.core.context_manager import ExecutionState
from flytekit.exceptions.user import FlyteRecoverableException, FlyteUserRuntimeException

from tasks.attempts import Refused, flyte_errors, on_cluster, resumable
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


@contextmanager
def attempt(folder, to, last=None):
    """``resumable`` as on a cluster, where each attempt learns where its checkpoints go *to*, and where the *last* one's are."""
    context = FlyteContextManager.current_context()
    parameters = context.user_space_params.builder()
    parameters.checkpoint = checkpoint = SyncCheckpoint(to, last)
    state = context.execution_state.with_params(mode=ExecutionState.Mode.TASK_EXECUTION, user_space_params=parameters.build())
    with FlyteContextManager.with_context(context.with_execution_state(state)), resumable(folder) as share:
        yield share
    checkpoint._td.cleanup()  # its own __del__ comes too late for warnings that are errors


def test_an_attempt_goes_on_from_the_last_ones_checkpoints(tmp_path):
    """Also if the one between died before it saved any."""
    with attempt(tmp_path / "first", f"{tmp_path}/1") as share:
        (tmp_path / "first" / "a.ckpt").write_bytes(b"state")
        share(tmp_path / "first" / "a.ckpt")
    with attempt(tmp_path / "second", f"{tmp_path}/2", f"{tmp_path}/1"):
        assert (tmp_path / "second" / "a.ckpt").read_bytes() == b"state"
    with attempt(tmp_path / "third", f"{tmp_path}/3", f"{tmp_path}/2"):
        assert (tmp_path / "third" / "a.ckpt").read_bytes() == b"state"


def test_an_attempt_after_one_without_checkpoints_starts_anew(tmp_path):
    """There is nothing to bring."""
    with attempt(tmp_path / "second", f"{tmp_path}/2", f"{tmp_path}/1"):
        assert not list((tmp_path / "second").iterdir())


def test_what_sigterm_stopped_is_tried_again(tmp_path):
    """Any other error but a recoverable one would end the workflow."""
    with pytest.raises(FlyteRecoverableException, match="SIGTERM"), resumable(tmp_path):
        raise Interrupted("SIGTERM stopped it")


def test_here_the_folder_itself_survives(tmp_path):
    """Nothing is copied."""
    with resumable(tmp_path) as share:
        assert share is None


def fails(error):
    """A task's body that ends with *error*."""

    @flyte_errors()
    def body():
        raise error

    return body


def test_a_store_that_gave_no_answer_is_asked_again_by_flyte(cluster):
    """With the words of the error, which say what to look at if it goes on."""
    with pytest.raises(FlyteRecoverableException, match="S3 is down"):
        fails(StorageUnreachable("S3 is down"))()


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
