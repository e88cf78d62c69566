"""The last word of a container: a result's summary, short enough for its termination message.

Kubernetes keeps at most 4096 bytes of what a container writes to its terminationMessagePath, and shows them
in the pod's status (`kubectl describe pod`).
"""

import json
from pathlib import Path

from loadgen.errors import LoadgenError
from loadgen.result import Json, Result

MOST = 4096  # bytes
BACKENDS = 20
CROSSED = 10


def message(result: Result, summary: Json) -> str:
    """Return one line of JSON: the counts, the busiest backends, the crossed thresholds and the verdict."""
    busiest = sorted(result.backends.items(), key=lambda item: (-item[1].calls, item[0]))
    crossed = [(one["threshold"][:64], one["seen"]) for one in summary["thresholds"] if not one["passed"]]
    content: Json = {
        "sent": result.totals.sent,
        "failed": result.totals.failed,
        "dropped": result.totals.dropped,
        "partial": result.partial,
        "rate": summary["rate"],
        "latency_s": {name: summary["latency_s"][name] for name in ("p50", "p99", "max")},
        "spread": summary["spread"],
        "passed": summary["passed"],
        "crossed": dict(crossed[:CROSSED]),
        "verdict": [finding["rule"] for finding in summary["verdict"]],
        "backends": {name[:64]: backend.calls for name, backend in busiest[:BACKENDS]},
        "text": summary["verdict"][0]["text"],
    }
    for key in ("text", "backends", "partial", "crossed"):  # what may be long goes first
        text = json.dumps(content, separators=(",", ":"))
        if len(text.encode()) <= MOST:
            return text
        del content[key]
    return json.dumps(content, separators=(",", ":"))


def write(path: Path, text: str) -> None:
    """Write it; raises LoadgenError where that fails."""
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise LoadgenError(f"cannot write {path}: {error.strerror}") from None
