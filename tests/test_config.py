"""Knobs refuse bad values by name, and the little languages say where they went wrong."""

import pytest

from trainworks.errors import LanguageError
from trainworks.grammar import Call, calls


def test_calls_are_parsed_in_order():
    """A row of calls becomes names with typed arguments."""
    assert calls("image", "shortest(224) > pad(224, white)", ["shortest", "pad"]) == [
        Call("shortest", (224,), 0),
        Call("pad", (224, "white"), 16),
    ]


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("shortest(224) > centre_crop(224)", 16, "did you mean 'center_crop'"),
        ("shortest(224) center_crop(224)", 14, "expected '>'"),
        ("shortest(224) >", 15, "expected a step"),
        ("shortest(2x4)", 9, "expected a number or a word"),
        ("", 0, "expected a step"),
    ],
)
def test_a_mistake_is_named_with_its_position(text, position, says):
    """A person sees what was found, where, and what is allowed."""
    with pytest.raises(LanguageError, match=says.replace("(", r"\(")) as error:
        calls("image", text, ["shortest", "center_crop"])
    assert error.value.position == position
