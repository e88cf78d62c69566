"""How channels are secured: whose certificates to trust, which name to expect, which certificate to show."""

import os
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from loadgen.errors import LoadgenError

GRPC_ROOTS = "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"


@dataclass(frozen=True, slots=True)
class Pair:
    """A client's certificate, with its chain, and its private key, both PEM."""

    certificate: bytes
    key: bytes

    @classmethod
    def read(cls, certificate: str, key: str) -> "Pair":
        """Read both files; raises LoadgenError where they are none or do not belong together."""
        made = cls(
            _pem(certificate, "--cert", "CERTIFICATE-----"),
            _pem(key, "--key", "PRIVATE KEY-----"),
        )
        try:
            made.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        except _EncryptedError:
            raise LoadgenError(f"--key {key} is encrypted: give one without a passphrase") from None
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise LoadgenError(f"--key {key} is not the key of the certificate {certificate}") from None
            raise LoadgenError(f"--cert {certificate} or --key {key} is damaged: no valid PEM") from None
        return made

    def load_into(self, context: ssl.SSLContext) -> None:
        """Have a context show this certificate; `ssl` takes files only, so they are files in memory."""
        with _in_memory(self.certificate) as certificate, _in_memory(self.key) as key:
            context.load_cert_chain(_path(certificate), _path(key), password=_no_passphrase)


class Tls:
    """What makes a channel a secure one. Skipping verification, it changes as certificates become known."""

    def __init__(
        self,
        *,
        roots: bytes | None,
        pair: Pair | None,
        name: str | None,
        authority: str | None,
        skip_verify: bool,
    ) -> None:
        """`roots`: PEM, None: gRPC's own. `name`: to be in the certificate, None: the target's.

        `authority`: what the target's name stands for where the channel is given addresses instead.
        """
        self.skip_verify = skip_verify
        self.pair = pair
        self._name = name
        self._roots = roots
        self._authority = authority
        self._pinned: dict[str, None] = {}
        self._credentials: grpc.ChannelCredentials | None = None

    @property
    def name(self) -> str | None:
        """The name that the server's certificate must have, where that is known here."""
        return self._name or (self._authority or "").rpartition(":")[0].strip("[]") or None

    def credentials(self) -> grpc.ChannelCredentials:
        """Return the same object until something changes: channels that share it may share connections."""
        if self._credentials is None:
            key, certificate = (self.pair.key, self.pair.certificate) if self.pair else (None, None)
            self._credentials = grpc.ssl_channel_credentials(self._trusted(), key, certificate)
        return self._credentials

    def arguments(self) -> list[tuple[str, Any]]:
        """Return the channel arguments that say which name to expect."""
        if self._name is not None:  # also the name in SNI and :authority
            return [("grpc.ssl_target_name_override", self._name)]
        return [] if self._authority is None else [("grpc.default_authority", self._authority)]

    def pin(self, certificates: Iterable[str], name: str) -> None:
        """Trust these certificates (PEM) too, and expect this name."""
        new = {one: None for one in certificates if one not in self._pinned}
        if new or name != self._name:
            self._pinned |= new
            self._name = name
            self._credentials = None

    def context(self) -> ssl.SSLContext:
        """Return what Python's ssl needs to connect as gRPC does."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_alpn_protocols(["h2"])  # RFC 9113, 3.2
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # any certificate may be what is trusted
        if self.pair is not None:
            self.pair.load_into(context)
        roots = self._trusted()
        if roots is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(cadata=roots.decode("ascii", "ignore"))
        return context

    def _trusted(self) -> bytes | None:
        return "".join(self._pinned).encode() if self.skip_verify else self._roots


def roots(path: str) -> bytes:
    """Read the certificates of CAs; raises LoadgenError where the file has none."""
    content = _pem(path, "--cacert", "CERTIFICATE-----")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(
            cadata=content.decode("ascii", "ignore")
        )
    except ssl.SSLError:
        raise LoadgenError(f"--cacert {path} is damaged: no valid PEM") from None
    return content


def system_roots() -> bytes | None:
    """Return the CAs that this system trusts; None: gRPC decides, by its variable or its own bundle."""
    path = ssl.get_default_verify_paths().cafile
    if GRPC_ROOTS in os.environ or path is None:
        return None
    return roots(path)


def _pem(path: str, option: str, marker: str) -> bytes:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise LoadgenError(f"cannot read {option} {path}: {error.strerror}") from None
    if marker.encode() not in content:
        kind = marker.rstrip("-").lower()
        raise LoadgenError(f"{option} {path} has no {kind} in PEM (-----BEGIN ...-----)")
    return content


class _EncryptedError(Exception):
    """A key wants a passphrase."""


def _no_passphrase() -> str:
    raise _EncryptedError


def _in_memory(content: bytes) -> Any:
    file = os.fdopen(os.memfd_create("pem"), "w+b")
    file.write(content)
    file.flush()
    return file


def _path(file: Any) -> str:
    return f"/proc/self/fd/{file.fileno()}"
