"""Who sits before an application, said by a second token: an assertion in a header of its own.

It is verified as access tokens are, by an issuer of its own list, which gives no role: nobody comes in by one. It says
nothing without the application's token, whose tenant it must be of. It may be sent again until it ends: a conversation
is many requests, and whoever could repeat it needs the application's token too, and would spend the end user's budget
behind that application alone. A bad one is refused like a bad token, and never passed over: the application would take
its end users for apart that are counted as one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.auth.issuers import Verifier
from gateway.errors import NotAuthenticated, Reason
from gateway.policy.load import Rules
from gateway.types import EndUser, Principal


@dataclass(frozen=True, slots=True)
class EndUsers:
    """`verifier` is that of assertions; `asserting` says by a token's issuer whose go with it."""

    verifier: Verifier
    asserting: Mapping[str, str]

    async def named(self, principal: Principal, assertions: Sequence[bytes]) -> Principal:
        """The same caller with the end user of the one header that says who it is, if there is one. Raises
        NotAuthenticated."""
        if not assertions:
            return principal
        issuer = self.asserting.get(principal.issuer)
        if len(assertions) > 1 or issuer is None:
            raise NotAuthenticated(Reason.END_USER)
        said = await self.verifier.authenticate(assertions[0].decode("latin-1"))
        fits = said.issuer == issuer and said.tenant == principal.tenant and said.bound_to is None
        known = principal.end_user
        if not fits or (known is not None and (known.issuer, known.name) != (said.issuer, said.subject)):
            raise NotAuthenticated(Reason.END_USER)
        return replace(principal, end_user=EndUser(said.issuer, said.subject, said.issued_at, said.token_id))


def asserting_of(rules: Rules) -> Mapping[str, str]:
    """Whose assertions go with an issuer's tokens."""
    return {
        issuer.issuer: issuer.end_user.assertion
        for issuer in rules.issuers
        if issuer.end_user is not None and issuer.end_user.assertion is not None
    }
