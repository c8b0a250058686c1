"""A whole run on the toy panel, made once for all tests that only read it."""

import pytest

from tests.supermegaretail import toy_run


@pytest.fixture(scope="session")
def delivered(tmp_path_factory):
    """Folders by what they hold, as `toy_run.delivered` names them."""
    return toy_run.delivered(tmp_path_factory.mktemp("delivered"))
