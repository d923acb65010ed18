"""Every error a caller can meet, split by who is at fault. The one place that knows status, type and code.

The texts are fixed: none of them quotes a request, a token, an upstream or a model's words. Why something was refused
goes to the metrics as a `Reason` from a closed set, and nowhere else.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

MOST_WAITED: Final = 60.0  # seconds that OpenAI's clients wait at most for a limit


class Fault(enum.StrEnum):
    """Whose fault an error is: for metrics, where only the upstream's and the gateway's count against the service."""

    CALLER = "caller"
    UPSTREAM = "upstream"
    GATEWAY = "gateway"
    PLANNED = "planned"  # an operator wanted it: a shutdown, an urgent policy


class GatewayError(Exception):
    """Base of all; `message` is all that a caller learns. `param` names a field of OpenAI's protocol, never a value."""

    status: ClassVar[int] = 500
    fault: ClassVar[Fault] = Fault.GATEWAY
    type: ClassVar[str] = "server_error"
    code: ClassVar[str | None] = "internal_error"
    message: ClassVar[str] = "The gateway could not complete the request."

    def __init__(self, reason: str = "", *, param: str | None = None) -> None:
        super().__init__(reason or self.code or self.type)
        self.reason = reason or (self.code or self.type)
        self.param = param

    def body(self) -> dict[str, object]:
        """OpenAI's error object."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


# ---- the caller's ----------------------------------------------------------------------------------------------------


class CallerError(GatewayError):
    status = 400
    fault = Fault.CALLER
    type = "invalid_request_error"
    code = "invalid_request"
    message = "The request is not valid."


class BadJson(CallerError):
    code = "invalid_json"
    message = "The request body is not valid JSON."


class BadField(CallerError):
    code = "invalid_value"
    message = "A field of the request has a wrong type or value."


class OverLimit(CallerError):
    code = "above_limit"
    message = "A field of the request is larger, longer or deeper than this service lets this role send."


class UnknownField(CallerError):
    code = "unknown_parameter"
    message = "The request has a field that this endpoint does not know."


class FieldRefused(CallerError):
    code = "unsupported_parameter"
    message = "The request has a field that this role may not use."


class SchemaRefused(CallerError):
    code = "unsupported_schema"
    message = "A schema of the request makes an answer choose or hold values that this role may not have chosen."


class ContextTooLong(CallerError):
    code = "context_length_exceeded"
    message = "The request is longer than the model's context."


class RequestTimeout(CallerError):
    """The body did not come in time."""

    status = 408
    code = "request_timeout"
    message = "The request was not sent in time."


class BodyTooLarge(CallerError):
    status = 413
    code = "request_too_large"
    message = "The request body is too large."


class UnsupportedMedia(CallerError):
    status = 415
    code = "unsupported_media_type"
    message = "The request body must be JSON without a content encoding."


class NotAuthenticated(CallerError):
    status = 401
    type = "authentication_error"
    code = "invalid_api_key"
    message = "The access token is missing or not valid."


class TokenExpired(NotAuthenticated):
    """Ends a running stream; before a stream the public answer is that of any other bad token."""


class NotAllowed(CallerError):
    status = 403
    type = "permission_error"
    code = "not_allowed"
    message = "This role may not do that."


class NotFound(CallerError):
    status = 404
    code = "not_found"
    message = "There is nothing here."


class ModelNotFound(CallerError):
    status = 404
    code = "model_not_found"
    message = "This model does not exist, or this role may not use it."


class MethodNotAllowed(CallerError):
    status = 405
    code = "method_not_allowed"
    message = "This method is not allowed here."

    def __init__(self, allowed: str = "") -> None:
        """`allowed` is the list of methods for the Allow header (RFC 9110, 15.5.6)."""
        super().__init__()
        self.allowed = allowed


class EncryptionRequired(CallerError):
    """His role's requests come encrypted or not at all."""

    status = 403
    type = "permission_error"
    code = "encryption_required"
    message = "This role's requests must be encrypted."


class EncryptionNotAccepted(CallerError):
    status = 403
    type = "permission_error"
    code = "encryption_not_accepted"
    message = "This role's requests are not taken encrypted."


class NotDecrypted(CallerError):
    """What came encrypted can't be read, or was made for another token or path. `reason` is an EncryptionFault."""

    code = "decryption_failed"
    message = "The encrypted request is not one that this service can read."


class UnknownEncryptionKey(NotDecrypted):
    code = "unknown_encryption_key"
    message = "The request is encrypted to a key that this service does not have."


class UnknownAnswerKey(NotDecrypted):
    code = "unknown_answer_key"
    message = "This service has no such key of this caller to encrypt the answer to."


class StaleRequest(NotDecrypted):
    code = "stale_request"
    message = "The encrypted request was not made just now, or came before."


class LeakBudgetSpent(CallerError):
    """His answers came to too much that only fine-tuning can have put there; trying again soon is of no use."""

    status = 429
    type = "requests"
    code = "caller_limit_reached"
    message = "This caller has reached a limit of this service. It is lifted in time."


class LimitReached(CallerError):
    """He, or all of his tenant in his role, has asked as much as the policy lets them."""

    status = 429
    type = "requests"
    code = "rate_limit_exceeded"
    message = "This caller's limit is reached for now. Try again later."

    def __init__(self, wait: float = 1.0, told: Mapping[str, str] | None = None) -> None:
        """`wait` is in seconds, infinite where waiting is of no use; `told` are headers that say where he stands."""
        super().__init__()
        self.wait, self.told = wait, told or {}

    @property
    def retry(self) -> dict[str, str]:
        """The headers that say whether and when to try again; OpenAI's clients would not wait for longer than a minute,
        but try again at once."""
        after = {"retry-after": str(max(1, math.ceil(self.wait)))} if math.isfinite(self.wait) else {}
        return after | ({"x-should-retry": "false"} if self.wait > MOST_WAITED else {})


class TokenLimitReached(LimitReached):
    type = "tokens"
    message = "This request may come to more tokens than this caller has left. Try again later, or ask for less."


class RoleBusy(CallerError):
    """His role has as many answers from this model under way as it may have."""

    status = 429
    type = "requests"
    code = "rate_limit_exceeded"
    message = "Too many answers are under way. Try again later."


# ---- the upstream's --------------------------------------------------------------------------------------------------


class UpstreamError(GatewayError):
    status = 502
    fault = Fault.UPSTREAM
    type = "server_error"
    code = "upstream_error"
    message = "The model server failed to answer."


class UpstreamUnavailable(UpstreamError):
    status = 503
    code = "upstream_unavailable"
    message = "The model server can't be reached at the moment."


class UpstreamTimeout(UpstreamError):
    status = 504
    code = "upstream_timeout"
    message = "The model server did not answer in time."


class UpstreamBusy(UpstreamError):
    status = 429
    type = "requests"
    code = "rate_limit_exceeded"
    message = "The model server is busy. Try again later."


class UpstreamBroken(UpstreamError):
    """It sent what is not its protocol."""


# ---- ours ------------------------------------------------------------------------------------------------------------


class FilterFailed(GatewayError):
    """A detector raised, timed out or is not there: the segment is not released."""

    status = 503
    code = "filter_unavailable"
    message = "The answer could not be checked and was not sent."


class RevocationsUnknown(GatewayError):
    """What this replica knows of revocations is too old to say of any token that it is good."""

    status = 503
    code = "revocations_unavailable"
    message = "The gateway can't tell at the moment whether access tokens are still good. Try again."


class LimitsUnavailable(GatewayError):
    """Nobody can tell what this caller has asked already, and the settings say that he then has to wait."""

    status = 503
    code = "limits_unavailable"
    message = "The gateway can't tell at the moment how much this caller may ask. Try again."


class ReplaysUnknown(GatewayError):
    """Nobody can tell whether an encrypted request came before."""

    status = 503
    code = "replays_unknown"
    message = "The gateway can't tell at the moment whether this request came before. Encrypt it again and try again."


class ShuttingDown(GatewayError):
    status = 503
    fault = Fault.PLANNED
    code = "shutting_down"
    message = "The gateway is shutting down. Try again."


class PolicyChanged(GatewayError):
    """What the answer began under is no longer in force, and the change would not wait for it."""

    status = 503
    fault = Fault.PLANNED
    code = "policy_changed"
    message = "The rules of this service have changed. Ask again."


class ReleaseWithdrawn(GatewayError):
    """The model that this caller is to get was taken out of service, or is not there; nobody else answers for it."""

    status = 503
    fault = Fault.PLANNED
    code = "model_withdrawn"
    message = "This model has been taken out of service for now."


# ---- of administration ----------------------------------------------------------------------------------------------


class AdministrationError(GatewayError):
    """Met on the management listener alone (gateway/admin)."""

    fault = Fault.CALLER
    status = 400
    type = "invalid_request_error"


class Explained(AdministrationError):
    """`why` is one of our own texts, and all that an administrator learns."""

    def __init__(self, why: str) -> None:
        super().__init__()
        self.why = why

    def body(self) -> dict[str, object]:
        return {"error": {"message": self.why, "type": self.type, "param": self.param, "code": self.code}}


class MeansNobody(Explained):
    """What was named is nobody, or more than it says."""

    code = "means_nobody"
    message = "This means nobody, or more than it says."


class RevocationNotFound(AdministrationError):
    status = 404
    code = "revocation_not_found"
    message = "There is no revocation with this id."


class ShutsOutMyself(AdministrationError):
    """Whoever asks for it could not take it back; nor could anybody, where it means every issuer's tokens."""

    status = 409
    code = "shuts_out_myself"
    message = (
        "This would refuse every token of who asks for it, the next ones too. Say 'including_myself' to do it, and name"
        " the issuer: of all issuers at once nobody could take it back."
    )


class PolicyRefused(AdministrationError):
    """The file can't be used; the policy before stays in force."""

    status = 409
    code = "policy_refused"
    message = "The policy can't be used; the one before stays in force."

    def __init__(self, problems: Sequence[str]) -> None:
        """`problems` name files, lines and keys, and quote no value."""
        super().__init__()
        self.problems = problems

    def body(self) -> dict[str, object]:
        told = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": told | {"problems": list(self.problems)}}


class ReleaseRefused(Explained):
    """It can't be switched to, withdrawn or reinstated as things stand."""

    status = 409
    code = "release_refused"
    message = "The release can't be switched to, withdrawn or reinstated as things stand."


class TooManyRefused(AdministrationError):
    """So many calls were refused within the minute that this one is only counted."""

    status = 429
    type = "requests"
    code = "too_many_refused"
    message = "Too many calls were refused. Try again in a minute."


class OutcomeNotRecorded(AdministrationError):
    """The audit log took the wish and not its outcome."""

    fault = Fault.GATEWAY
    status = 500
    type = "server_error"
    code = "outcome_not_recorded"
    message = "It was done, and the audit log did not take its outcome."


class NotAcknowledged(AdministrationError):
    """The store does not answer, or could not write."""

    fault = Fault.GATEWAY
    status = 503
    type = "server_error"
    code = "not_acknowledged"
    message = "The store did not acknowledge it. Try again: to ask twice does no harm."


class NotRecordable(AdministrationError):
    """What can't be written down is not done."""

    fault = Fault.GATEWAY
    status = 503
    type = "server_error"
    code = "audit_unavailable"
    message = "The audit log can't be written, so nothing was done."


def error_codes(of: type[GatewayError] = GatewayError) -> frozenset[str]:
    """The codes, or types where there is no code, of these errors and all below them."""
    return frozenset({of.code or of.type}).union(*map(error_codes, of.__subclasses__()))


class Reason(enum.StrEnum):
    """Why a token was refused: for metrics, never for the caller."""

    MISSING = "missing"
    IN_QUERY = "in_query"
    MALFORMED = "malformed"
    ALGORITHM = "algorithm"
    UNKNOWN_ISSUER = "unknown_issuer"
    UNKNOWN_KEY = "unknown_key"
    SIGNATURE = "signature"
    CLAIM_MISSING = "claim_missing"
    AUDIENCE = "audience"
    EXPIRED = "expired"
    NOT_YET = "not_yet"
    TOO_LONG_LIVED = "too_long_lived"
    TOKEN_ID = "token_id"  # noqa: S105 - the name of a reason
    ROLE = "role"
    TENANT = "tenant"
    REVOKED_TOKEN = "revoked_token"  # noqa: S105 - the name of a reason
    REVOKED_SUBJECT = "revoked_subject"
    REVOKED_ROLE = "revoked_role"
    REVOKED_TIME = "revoked_time"
    CONFIRMATION = "confirmation"  # bound to something that nobody here checks
    NOT_BOUND = "not_bound"
    CERTIFICATE = "certificate"  # bound to another one than came
    END_USER = "end_user"  # who sits before the application is said in no good way, or in two


class EncryptionFault(enum.StrEnum):
    """Why an encrypted request was refused: for metrics, never for the caller."""

    MALFORMED = "malformed"  # not a compact JWE of five parts
    HEADER = "header"  # an algorithm, a member or a value that is not the protocol's
    KEY = "key"  # to a key that is not ours
    CONTENT = "content"  # altered, or encrypted to something else
    TOKEN = "token"  # noqa: S105 - the name of a reason: made for another token
    PATH = "path"  # made for another path
    ANSWER_KEY = "answer_key"  # the caller has no such key
    STALE = "stale"  # its time is not now
    REPLAYED = "replayed"
