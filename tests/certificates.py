"""Certificates made for a test, in files as a server or a client takes them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization


@dataclass(frozen=True)
class Files:
    """A certificate with its chain, and its key."""

    certificate: Path
    key: Path

    @property
    def server(self) -> list[str]:
        return ["--tls-cert", str(self.certificate), "--tls-key", str(self.key)]

    @property
    def client(self) -> list[str]:
        return ["--cert", str(self.certificate), "--key", str(self.key)]

    def encrypted_key(self) -> Path:
        """Write the key with a passphrase."""
        key = serialization.load_pem_private_key(self.key.read_bytes(), None)
        path = self.key.with_suffix(".encrypted")
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"passphrase"),
            )
        )
        return path


class Authority:
    """A CA of its own, whose files go to a directory."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self._ca = trustme.CA()
        self._directory = directory
        self.file = directory / f"{name}.pem"
        self._ca.cert_pem.write_to_path(self.file)
        self.pem = self.file.read_bytes()

    def issue(self, *names: str, to: str | None = None, expired: bool = False) -> Files:
        now = datetime.now(UTC)
        days = (now - timedelta(days=9), now - timedelta(days=1)) if expired else (None, None)
        made = self._ca.issue_cert(*names, not_before=days[0], not_after=days[1])
        stem = self._directory / (to or names[0].replace("*", "any"))
        files = Files(stem.with_name(f"{stem.name}.crt"), stem.with_name(f"{stem.name}.key"))
        files.certificate.write_bytes(b"".join(one.bytes() for one in made.cert_chain_pems))
        made.private_key_pem.write_to_path(files.key)
        return files


class Secret:
    """A directory as Kubernetes mounts a Secret: files are symlinks through `..data`, which is swapped."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._number = 0
        directory.mkdir()
        for name in ("tls.crt", "tls.key"):
            (directory / name).symlink_to(f"..data/{name}")

    def write(self, files: Files) -> None:
        self._number += 1
        made = self._directory / f"..{self._number}"
        made.mkdir()
        (made / "tls.crt").write_bytes(files.certificate.read_bytes())
        (made / "tls.key").write_bytes(files.key.read_bytes())
        link = self._directory / "..data_tmp"
        link.symlink_to(made.name)
        link.rename(self._directory / "..data")

    @property
    def options(self) -> list[str]:
        return [
            *("--tls-cert", str(self._directory / "tls.crt")),
            *("--tls-key", str(self._directory / "tls.key")),
        ]
