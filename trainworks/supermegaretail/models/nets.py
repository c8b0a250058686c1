"""Nets: LSTM, RNN and transformer. What they are made of is imported when one is trained: torch and Lightning take seconds."""

from typing import ClassVar

from trainworks.supermegaretail.models.protocol import LEVEL, Family, Fitted, Task

PERIODS = 8
"""The last periods, which a net reads in order."""


class _Net(Family):
    inputs = "all"
    random = True
    features = f"{LEVEL} + lag({', '.join(map(str, range(1, PERIODS + 1)))}) + past({', '.join(map(str, range(1, PERIODS + 1)))})"
    reader: ClassVar[str]

    def fit(self, task: Task) -> Fitted:
        """Train on the rows of *task*."""
        from trainworks.supermegaretail.models import ratio_net

        return ratio_net.fit(self.reader, task)


class Lstm(_Net):
    """A long short-term memory."""

    reader = "lstm"


class Rnn(_Net):
    """A plain recurrent net."""

    reader = "rnn"


class Transformer(_Net):
    """One layer of attention."""

    reader = "transformer"
