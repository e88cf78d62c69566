"""What an HTTP server of the Kubernetes API writes: JSON objects, Status objects, chunks of a watch."""

import asyncio
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

Json = dict[str, Any]


def status(code: HTTPStatus, text: str) -> Json:
    """Return a Status object that says no."""
    kind = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return {**kind, "message": text, "reason": code.phrase.replace(" ", ""), "code": int(code)}


async def refuse(writer: asyncio.StreamWriter, code: HTTPStatus, text: str, **headers: str) -> None:
    """Answer with a Status object."""
    await reply(writer, code, status(code, text), **headers)


async def reply(
    writer: asyncio.StreamWriter, code: HTTPStatus, content: Mapping[str, Any], **headers: str
) -> None:
    """Answer with an object; a header's `_` stands for its `-`."""
    body = json.dumps(content, ensure_ascii=False).encode()
    head = f"HTTP/1.1 {int(code)} {code.phrase}\r\nContent-Type: application/json\r\n"
    head += "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()


async def stream(writer: asyncio.StreamWriter) -> None:
    """Begin an answer in chunks."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    await writer.drain()


async def chunk(writer: asyncio.StreamWriter, line: str) -> None:
    """Send a line as a chunk, or with "" the end of the body."""
    body = f"{line}\n".encode() if line else b""
    writer.write(f"{len(body):x}\r\n".encode() + body + b"\r\n")
    await writer.drain()
