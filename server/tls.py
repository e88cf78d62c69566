"""The replica's certificate, and how a new one is taken up without a restart."""

import os
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

import click
import grpc
import structlog

_log = structlog.get_logger(__name__)


class CannotSecure(click.ClickException):
    """The certificate's files are not what they should be: exit code 1."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where they are, all PEM."""

    certificate: Path
    key: Path
    client_ca: Path | None
    """None: clients need no certificate."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What the files held at one time."""

    certificate: bytes
    key: bytes
    client_ca: bytes | None

    @classmethod
    def read(cls, files: Files) -> Self:
        """Read them; raises CannotSecure where one is missing, damaged, or not of the other."""
        made = cls(
            _pem(files.certificate, "--tls-cert", "CERTIFICATE-----"),
            _pem(files.key, "--tls-key", "PRIVATE KEY-----"),
            _pem(files.client_ca, "--tls-client-ca", "CERTIFICATE-----") if files.client_ca else None,
        )
        made._check(files)
        return made

    def _check(self, files: Files) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pair = f"--tls-cert {files.certificate} and --tls-key {files.key}"
        try:
            with _in_memory(self.certificate) as certificate, _in_memory(self.key) as key:
                context.load_cert_chain(_path(certificate), _path(key), password=_no_passphrase)
        except _EncryptedError:
            raise CannotSecure(
                f"--tls-key {files.key} is encrypted; give one without a passphrase."
            ) from None
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise CannotSecure(f"{pair} do not belong together.") from None
            raise CannotSecure(f"{pair}: one of them is damaged, not valid PEM.") from None
        if self.client_ca is not None:
            try:
                context.load_verify_locations(cadata=self.client_ca.decode("ascii", "ignore"))
            except ssl.SSLError:
                raise CannotSecure(f"--tls-client-ca {files.client_ca} is damaged, not valid PEM.") from None

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """Return it as gRPC takes it."""
        return grpc.ssl_server_certificate_configuration([(self.key, self.certificate)], self.client_ca)


class Certificates:
    """Gives each new connection what the files hold then; what is open stays as it is.

    Kubernetes rotates a Secret by swapping a symlink. Between reading one file and the other that may happen,
    or files may be written one by one: what does not fit together is left, and read again for the next one.
    """

    def __init__(self, files: Files) -> None:
        """Raise CannotSecure where they cannot be used."""
        self._files = files
        self._paths = [one for one in (files.certificate, files.key, files.client_ca) if one is not None]
        self._seen = self._state()
        self._current = Identity.read(files)
        self._failing = ""
        self._lock = threading.Lock()

    def credentials(self) -> grpc.ServerCredentials:
        """Return what a gRPC server is given."""
        return grpc.dynamic_ssl_server_credentials(
            self._current.configuration(),
            self._fetch,  # type: ignore[arg-type]  # None is documented, the stubs lack it
            require_client_authentication=self._files.client_ca is not None,
        )

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Return a new certificate, or None: as before. gRPC asks at each handshake, in its own threads."""
        with self._lock:
            state = self._state()
            if state == self._seen and not self._failing:
                return None
            try:
                found = Identity.read(self._files)
            except CannotSecure as error:
                if error.message != self._failing:
                    _log.warning("certificate not renewed", reason=error.message)
                self._failing = error.message
                return None
            self._seen, self._failing = state, ""
            if found == self._current:
                return None
            self._current = found
            _log.info("certificate renewed")
            return found.configuration()

    def _state(self) -> list[tuple[int, int, int] | None]:
        """Return what changes when a file is written or its symlink is swapped."""
        return [_stat(path) for path in self._paths]


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _pem(path: Path, option: str, marker: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CannotSecure(f"cannot read {option} {path}: {error.strerror}.") from None
    if marker.encode() not in content:
        kind = marker.rstrip("-").lower()
        raise CannotSecure(f"{option} {path} has no {kind} in PEM (-----BEGIN ...-----).")
    return content


class _EncryptedError(Exception):
    """A key wants a passphrase."""


def _no_passphrase() -> str:
    raise _EncryptedError


def _in_memory(content: bytes) -> IO[bytes]:
    """Return a file that `ssl`, which takes files only, can read: exactly this is checked, nothing newer."""
    file = os.fdopen(os.memfd_create("pem"), "w+b")
    file.write(content)
    file.flush()
    return file


def _path(file: IO[bytes]) -> str:
    return f"/proc/self/fd/{file.fileno()}"
