"""A result in a log: how it leaves a cluster without a volume or permissions.

After its text report a run writes the result file's content, compressed, in numbered lines of at most 8 KiB:
container runtimes split lines at 16 KiB and mix stdout with stderr between lines. Each line carries the
number of lines and a digest of the whole, so what is missing or damaged is noticed.

    grpc-spread-result 3/12 5f0c9a1b2c3d4e5f <base64 of zlib>
"""

import base64
import binascii
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

PREFIX = "grpc-spread-result"
CHUNK = 8000  # characters of base64 a line

_LINE = re.compile(rf"{PREFIX} (\d+)/(\d+) ([0-9a-f]{{16}}) ([A-Za-z0-9+/=]+)\s*$")


def lines(content: Mapping[str, Any]) -> Iterator[str]:
    """Give the lines that carry a result file's content."""
    packed = zlib.compress(json.dumps(content, separators=(",", ":")).encode(), 9)
    text = base64.b64encode(packed).decode("ascii")
    chunks = [text[start : start + CHUNK] for start in range(0, len(text), CHUNK)]
    for number, chunk in enumerate(chunks, 1):
        yield f"{PREFIX} {number}/{len(chunks)} {_digest(packed)} {chunk}"


def _digest(packed: bytes) -> str:
    return hashlib.sha256(packed).hexdigest()[:16]


def find(log: Iterable[str]) -> object:
    """Return the content that the lines in a log carry; raises ValueError saying what is missing."""
    chunks: dict[int, str] = {}
    last, digest = 0, ""
    for line in log:
        found = _LINE.search(line)
        if found is not None:
            number, last, digest = int(found[1]), int(found[2]), found[3]
            chunks[number] = found[4]
    if not chunks:
        raise ValueError("has no result in its log")
    missing = [str(number) for number in range(1, last + 1) if number not in chunks]
    if missing:
        raise ValueError(f"has a result in its log that lacks {len(missing)} of {last} lines ({missing[0]})")
    try:
        packed = base64.b64decode("".join(chunks[number] for number in range(1, last + 1)), validate=True)
        if _digest(packed) != digest:
            raise ValueError("the digest differs")
        content: object = json.loads(zlib.decompress(packed))
    except (binascii.Error, zlib.error, ValueError) as error:
        raise ValueError(f"has a damaged result in its log: {error}") from None
    return content
