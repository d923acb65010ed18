"""Many streams for a long time, and a fault every second: what leaves, what hangs, what grows, what is recorded.

    python -m tests.soak [--seconds 100] [--streams 500] [--seed 1] [--json FILE] [--keep FOLDER]

Two gateways behind one address (HAProxy), a fleet of model servers that they find by name, Redis, Vault, an issuer's
page of keys (`town.py`, `issuers.py`); all of them processes on loopback, and all of them break (`faults.py`). Model
servers say harmless words with private values between them, two words a second (`said.py`, `upstream.py`). Callers, in
a process of their own, keep so many requests under way and look at every byte (`callers.py`). `judged.py` says what was
promised and not kept. One gateway is never killed: its memory is the one that has to be flat.
"""
