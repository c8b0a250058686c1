"""How a control plane says no."""

import grpc


class Refused(Exception):
    """A gRPC status *code*, and the words that go with it."""

    def __init__(self, why: str, code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT):
        super().__init__(why)
        self.code = code
