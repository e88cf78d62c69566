"""Why a connection could not be secured, in plain words; and what certificate a server shows.

gRPC says the first in words of its TLS library. Python's `ssl` connects to the same address in the same way
to find out more, such as the names in a certificate.
"""

import asyncio
import os
import re
import ssl
from collections.abc import Sequence
from typing import Any

from loadgen.credentials import Tls
from loadgen.errors import ResolutionError

LIMIT = 3.0  # seconds for one connection
QUIET = 0.5  # seconds after which a server that says nothing is content
# the preface and an empty SETTINGS frame (RFC 9113, 3.4)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
MOST = 10  # addresses to look into
TRIES = 3  # replicas behind one address may have certificates of their own

EXPIRED = "the server's certificate has expired"
EARLY = "the server's certificate is not valid yet"
OTHER_NAME = "the server's certificate is for another name"
UNKNOWN_CA = "the server's certificate is from an unknown CA"
NO_TLS = "the server speaks no TLS"
WANTS_TLS = "the server wants TLS"
NO_HTTP2 = "the server offers no HTTP/2 over TLS (ALPN h2)"
WANTS_CERTIFICATE = "the server closed the connection once it was secured: it wants a client certificate"
REFUSED_CERTIFICATE = f"{WANTS_CERTIFICATE} of a CA that it trusts"

# what gRPC or OpenSSL say, and what it means
_WORDS = {
    "certificate has expired": EXPIRED,
    "certificate is not yet valid": EARLY,
    "Hostname Verification Check failed": OTHER_NAME,
    "unable to get local issuer certificate": UNKNOWN_CA,
    "unable to get issuer certificate": UNKNOWN_CA,
    "self-signed certificate": UNKNOWN_CA,
    "self signed certificate": UNKNOWN_CA,
    "WRONG_VERSION_NUMBER": NO_TLS,
    "missing selected ALPN property": NO_HTTP2,
    "ALERT_CERTIFICATE_REQUIRED": WANTS_CERTIFICATE,
    "ALERT_UNKNOWN_CA": REFUSED_CERTIFICATE,
    "ALERT_BAD_CERTIFICATE": REFUSED_CERTIFICATE,
}
_CURES = {
    EXPIRED: "renew it; gRPC cannot be told to take it",
    EARLY: "check the clocks",
    OTHER_NAME: "give a name that is in it with --server-name",
    UNKNOWN_CA: "give that CA's certificate with --cacert",
    NO_TLS: "leave out --tls and the other options of TLS",
    WANTS_TLS: "give --tls, or --cacert",
    NO_HTTP2: "check that it is a gRPC server",
    REFUSED_CERTIFICATE: "give one with --cert and --key",
    WANTS_CERTIFICATE: "give one with --cert and --key",
}


def plain(text: str) -> str:
    """Say in plain words what gRPC says of TLS; other texts are returned as they are."""
    for words, meaning in _WORDS.items():
        if words in text:
            address = _address(text)
            return f"{address}: {meaning}" if address else meaning
    return text


def cure(reason: str) -> str | None:
    """Return what to do about a reason in plain words; None where it is none of TLS."""
    return next((cure for meaning, cure in _CURES.items() if meaning in reason), None)


def _address(text: str) -> str | None:
    found = re.search(r"\bipv[46]:(\S+:\d+)", text.replace("%5B", "[").replace("%5D", "]"))
    return found[1] if found else None


async def explain(addresses: Sequence[str], tls: Tls | None) -> str:
    """Connect to these addresses; return what is wrong with the security of one of them, or ""."""
    tried = addresses[:MOST]
    found = await asyncio.gather(
        *(_without_tls(address) if tls is None else _with_tls(address, tls) for address in tried)
    )
    return next((f"{address}: {why}" for address, why in zip(tried, found, strict=True) if why), "")


async def _with_tls(address: str, tls: Tls) -> str:
    name = tls.name or address.rpartition(":")[0].strip("[]")
    try:
        reader, writer = await _connect(address, tls.context(), name)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in {62, 64}:  # X509_V_ERR_HOSTNAME_MISMATCH, ..._IP_ADDRESS_MISMATCH
            names = await _names(address, tls)
            return f"{OTHER_NAME} than {name}" + (f": {', '.join(names)}" if names else "")
        return plain(error.verify_message)
    except (ssl.SSLError, OSError) as error:
        return _known(error) or ""
    return await _once_secured(reader, writer, tls)


async def _once_secured(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tls: Tls) -> str:
    closed = REFUSED_CERTIFICATE if tls.pair else WANTS_CERTIFICATE
    try:
        if writer.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
            return NO_HTTP2
        # in TLS 1.3 a client certificate is judged after the handshake (RFC 8446, 4.6.2)
        writer.write(PREFACE)
        async with asyncio.timeout(QUIET):
            return "" if await reader.read(1) else closed
    except TimeoutError:
        return ""
    except (ssl.SSLError, OSError) as error:
        return _known(error) or closed
    finally:
        writer.transport.abort()


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer in {LIMIT:g} s"
    return str(error) if isinstance(error, ssl.SSLError) or error.errno is None else os.strerror(error.errno)


def _known(error: Exception) -> str | None:
    meaning = plain(str(error))
    return meaning if cure(meaning) else None


async def _without_tls(address: str) -> str:
    try:
        _, writer = await _connect(address, _trusting(), None)
    except (ssl.SSLError, OSError):
        return ""
    writer.transport.abort()
    return WANTS_TLS


async def _names(address: str, tls: Tls) -> list[str]:
    context = tls.context()
    context.check_hostname = False
    try:
        _, writer = await _connect(address, context, None)
    except (ssl.SSLError, OSError):
        return []
    names = _names_in(writer.get_extra_info("peercert"))
    writer.transport.abort()
    return names


def _names_in(certificate: Any) -> list[str]:
    names = [value for kind, value in certificate.get("subjectAltName", ()) if kind in {"DNS", "IP Address"}]
    common = [value for one in certificate.get("subject", ()) for key, value in one if key == "commonName"]
    return names or common


def _trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _connect(
    address: str, context: ssl.SSLContext, name: str | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    async with asyncio.timeout(LIMIT):
        return await asyncio.open_connection(host, int(port), ssl=context, server_hostname=name or host)


async def shown(address: str, tls: Tls) -> tuple[str, list[str]]:
    """Return the certificate (PEM) that the server at this address shows, and the names it is for.

    Raises ResolutionError where it shows none, or one that gRPC would refuse whatever is trusted.
    """
    why = "it shows different certificates"
    for _ in range(TRIES):
        try:
            _, writer = await _connect(address, _trusting(), tls.name)
            found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            writer.transport.abort()
            pem = ssl.DER_cert_to_PEM_cert(found)
            # once more, trusting it: Python tells the names of a certificate that it has verified only
            context = _trusting()
            context.verify_mode = ssl.CERT_REQUIRED
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            context.load_verify_locations(cadata=pem)
            _, writer = await _connect(address, context, tls.name)
            names = _names_in(writer.get_extra_info("peercert"))
            writer.transport.abort()
        except ssl.SSLCertVerificationError as error:
            why = plain(error.verify_message)
            if why in {EXPIRED, EARLY}:
                break
        except (ssl.SSLError, OSError) as error:
            why = _known(error) or _reason(error)
            break
        else:
            return pem, names
    remedy = cure(why)
    raise ResolutionError(f"{address}: {why}" + (f"; {remedy}" if remedy else ""))
