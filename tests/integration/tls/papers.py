"""The certificates of a test: an authority, the servers', a client's, and those that must not be let in."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import trustme

EXPIRED_AT = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Papers:
    """Files in a folder: `ca.pem`, `stranger.pem`, `server.pem`, `client.pem`, `expired.pem`, and the keys of these."""

    folder: Path

    @classmethod
    def issue(cls, folder: Path, client: str) -> Papers:
        """Issue them; the client's name is the login that a database knows it by."""
        folder.mkdir()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        trustme.CA().cert_pem.write_to_path(folder / "stranger.pem")
        papers = cls(folder)
        papers.write("server", authority.issue_cert("localhost"))
        papers.write("client", authority.issue_cert("client@example.org", common_name=client))
        expired = authority.issue_cert("client@example.org", common_name=client, not_after=EXPIRED_AT)
        papers.write("expired", expired)
        return papers

    def write(self, name: str, certificate: trustme.LeafCert) -> None:
        """A certificate, and its key that only its owner may read."""
        certificate.cert_chain_pems[0].write_to_path(self.folder / f"{name}.pem")
        key = self.folder / f"{name}.key"
        key.touch(mode=0o600)
        key.write_bytes(certificate.private_key_pem.bytes())

    def path(self, name: str) -> str:
        """Where a file is."""
        return str(self.folder / name)

    def give(self, names: tuple[str, ...], folder: Path) -> None:
        """Copies of these files, for a server that runs as the owner of that folder."""
        owner = folder.stat()
        for name in names:
            copy = folder / name
            copy.touch(mode=0o600)
            copy.write_bytes((self.folder / name).read_bytes())
            if os.geteuid() == 0:
                os.chown(copy, owner.st_uid, owner.st_gid)
