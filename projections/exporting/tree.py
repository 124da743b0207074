"""The Merkle tree of RFC 6962, section 2.1, with SHA-256: over the digests of events, in the order of the file.

It holds one digest for each level of the tree, however many leaves it has.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"


class Tree:
    """Takes leaves, and tells the root of those it has taken."""

    def __init__(self) -> None:
        """Begin without a leaf."""
        self.size = 0
        self._full: list[bytes] = []
        """Roots of the whole subtrees so far, the largest first: one for each bit of the size."""

    def add(self, leaf: bytes) -> None:
        """Take one more leaf."""
        digest = sha256(_LEAF + leaf).digest()
        rest = self.size
        while rest & 1:
            digest = sha256(_NODE + self._full.pop() + digest).digest()
            rest >>= 1
        self._full.append(digest)
        self.size += 1

    def root(self) -> str:
        """The root, in hex; without leaves, the SHA-256 of nothing."""
        if not self._full:
            return sha256().hexdigest()
        digest = self._full[-1]
        for left in reversed(self._full[:-1]):
            digest = sha256(_NODE + left + digest).digest()
        return digest.hex()
