"""What a child process says of its end, as its parent passes it on."""

import subprocess
import sys

import pytest

from trainworks.errors import last_words


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("raise ValueError('x' * 900)", "ValueError: " + "x" * 900),
        ("raise ValueError('loss: wrong\\n  a + b\\n    ^ at position 2')", "ValueError: loss: wrong\n  a + b\n    ^ at position 2"),
        ("try: 1 / 0\nexcept ZeroDivisionError as e: raise OSError('disk') from e", "OSError: disk"),
        ("import sys; sys.exit('error: bad\\ninput')", "error: bad\ninput"),
        ("import os; os.abort()", "it wrote no error"),
    ],
)
def test_the_error_of_a_child_is_its_exception_whole_and_nothing_else(code, error):
    """However long its message is, and whatever the frames above it say."""
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert child.returncode and last_words(child.stderr) == error
