"""Why a row or a picture will not be used."""


class Rejected(Exception):
    """A picture that will not be used: a stable *reason* to count by, and its particulars."""

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail
