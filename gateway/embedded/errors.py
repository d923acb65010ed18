"""The one error of the embedded upstream, in the shape that vLLM gives it on the wire."""

from http import HTTPStatus
from typing import Any

UNSET = object()


class ApiError(Exception):
    """A request that is answered with an error body.

    Args:
        message: what the client reads.
        status: the HTTP status, also `error.code`.
        kind: `error.type`.
        param: `error.param`, the field at fault.
    """

    def __init__(
        self,
        message: str,
        *,
        status: HTTPStatus = HTTPStatus.BAD_REQUEST,
        kind: str = "BadRequestError",
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"error": {"message": message, "type": kind, "param": param, "code": int(status)}}


class ModelError(ValueError):
    """A model folder that cannot be served: a file is missing, or asks for what is not built."""


def refuse(message: str, parameter: str, value: Any = UNSET) -> ApiError:
    """A 400 that names its parameter in the text too, as vLLM's validation errors do."""
    told = "" if value is UNSET else f", value={value}"
    return ApiError(f"{message} (parameter={parameter}{told})", param=parameter)
