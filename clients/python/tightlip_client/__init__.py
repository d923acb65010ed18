"""Payload encryption for clients of a Tightlip gateway: see README.md beside this package."""

from __future__ import annotations

from tightlip_client.protocol import (
    Altered,
    CutOff,
    FrameMissing,
    FrameRepeated,
    GatewayKeys,
    NotTheGateway,
    PlainAnswer,
    PrivateKey,
)
from tightlip_client.transport import AsyncEncryptedTransport, EncryptedTransport

__all__ = [
    "Altered",
    "AsyncEncryptedTransport",
    "CutOff",
    "EncryptedTransport",
    "FrameMissing",
    "FrameRepeated",
    "GatewayKeys",
    "NotTheGateway",
    "PlainAnswer",
    "PrivateKey",
]
