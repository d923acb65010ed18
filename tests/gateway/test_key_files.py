"""Keys in files: of the kind that they should be, and for their owner alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from gateway.config_file import ConfigError
from gateway.key_files import read_own_x25519, read_public_x25519, write_pair
from tests.gateway.support import CANARY


def test_a_pair_is_written_and_read(tmp_path: Path) -> None:
    made = X25519PrivateKey.generate()
    public = write_pair(tmp_path / "new" / "key.pem", made)
    assert public == tmp_path / "new" / "key.pub.pem"
    assert read_own_x25519(tmp_path / "new" / "key.pem").private_bytes_raw() == made.private_bytes_raw()
    assert read_public_x25519(public) == made.public_key()


def test_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    public = write_pair(tmp_path / "key.pem", Ed25519PrivateKey.generate())
    with pytest.raises(ConfigError, match="is not an X25519 key"):
        read_own_x25519(tmp_path / "key.pem")
    with pytest.raises(ConfigError, match="is not an X25519 key"):
        read_public_x25519(public)


def test_a_private_key_is_no_public_one_and_nothing_is_quoted(tmp_path: Path) -> None:
    write_pair(tmp_path / "key.pem", X25519PrivateKey.generate())
    with pytest.raises(ConfigError, match="is not a public key"):
        read_public_x25519(tmp_path / "key.pem")
    (tmp_path / "text").write_text(CANARY)
    (tmp_path / "text").chmod(0o600)
    for read in (read_public_x25519, read_own_x25519):
        with pytest.raises(ConfigError) as refused:
            read(tmp_path / "text")
        assert CANARY not in str(refused.value)
