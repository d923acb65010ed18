"""Several texts as one, for keys and names that are made of them."""

from __future__ import annotations


def framed(*parts: str) -> bytes:
    """Each part behind its length in four bytes, so that no two sets of parts are alike."""
    encoded = (part.encode("utf-8", "surrogatepass") for part in parts)
    return b"".join(len(part).to_bytes(4) + part for part in encoded)
