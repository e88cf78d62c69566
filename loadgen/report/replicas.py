"""The parts of the terminal's report about replicas: a table, their memory over time, their changes."""

from collections.abc import Iterator

from loadgen import replicas
from loadgen.report import overtime
from loadgen.report.units import duration, seconds, size
from loadgen.result import Replica, Result

STANDS = 30_000_000_000  # ns that a reading of memory is shown for, unless another one comes
ROWS = 20


def table(result: Result) -> Iterator[str]:
    """Give a row for each pod: those observed beside the load, or those that `collect` found."""
    every = sorted(replicas.of(result), key=lambda one: (one.ready_at or 0, one.pod))
    if not every:
        return
    width = max(len("Pod"), *(len(one.pod) for one in every))
    observed, first, idle = result.observed, _first_calls(result), replicas.idle(result)
    heads = f"  {'Pod':<{width}}  {'calls':>8}  {'ready at':>9}  {'first call':>10}"
    more = "" if observed is None else f"  {'after ready':>11}  {'memory at most':>14}  {'of request':>10}"
    yield "Replicas"
    yield f"{heads}{more}  restarts"
    for one in every:
        calls = "?" if one.calls is None else str(one.calls)
        ready = None if one.ready_at is None else one.ready_at - result.started
        called = first.get(one.pod)
        row = f"  {one.pod:<{width}}  {calls:>8}  {_whole(ready):>9}"
        row += f"  {'-' if called is None else f'{called / 1e9:+.1f} s':>10}"
        if observed is not None:
            row += f"  {_after(ready, called):>11}{_memory(result, one)}"
        killed = ", OOM-killed" if one.oom_killed else ""
        row += f"  {one.restarts}{killed}"
        yield row + ("  idle" if one.calls == 0 and (one in idle or observed is None) else "")
    if observed is not None and observed.pods_left_out:
        yield f"  and {observed.pods_left_out} more that were not followed"


def _first_calls(result: Result) -> dict[str, int]:
    """Return when each pod got its first call, by its address or by the id that its log names."""
    found = replicas.first_calls(result)
    for one in result.replicas or ():
        backend = result.backends.get(one.id or "")
        if backend is not None and backend.first_call is not None:
            found.setdefault(one.pod, backend.first_call)
    return found


def _whole(at: int | None) -> str:
    return "-" if at is None else f"{at / 1e9:+.0f} s"


def _after(ready: int | None, called: int | None) -> str:
    """Return the time from ready to the first call; - for one that was ready before the load."""
    return "-" if ready is None or called is None or ready <= 0 else f"{(called - ready) / 1e9:.2f} s"


def _memory(result: Result, one: Replica) -> str:
    pod = None if result.observed is None else result.observed.pods.get(one.pod)
    most = max((value for _, value in pod.memory), default=None) if pod is not None else None
    if pod is None or most is None:
        return f"  {'-':>14}  {'-':>10}"
    share = f"{most / pod.request:.0%}" if pod.request else "-"
    return f"  {size(most):>14}  {share:>10}"


# Over time


def memory(result: Result) -> Iterator[str]:
    """Give a line of blocks for the memory of each pod, where a reading stands until the next."""
    observed = result.observed
    columns = overtime.columns(result)
    if observed is None or not columns:
        return
    lines: dict[str, list[int | None]] = {}
    for name, pod in sorted(observed.pods.items(), key=lambda item: (item[1].ready_at or 0, item[0])):
        until = min(pod.gone or columns[-1][1], columns[-1][1])
        row: list[int | None] = []
        for begin, end in columns:
            last = next((one for one in reversed(pod.memory) if one[0] < end), None)
            row.append(last[1] if last is not None and begin - last[0] <= STANDS and begin < until else None)
        if any(row):
            lines[name] = row
    if not lines:
        return
    most = max(value or 0 for row in lines.values() for value in row)
    requests = {pod.request for name, pod in observed.pods.items() if name in lines}
    request = requests.pop() if len(requests) == 1 else None
    share = f", {most / request:.0%} of the request" if request else ""
    width = overtime.width(result)
    yield f"Memory over time (the same columns, the highest {size(most)}{share})"
    for name, row in list(lines.items())[:ROWS]:
        yield f"  {name:<{width}}  {overtime.blocks(row, most)}".rstrip()
    if len(lines) > ROWS:
        yield f"  and {len(lines) - ROWS} replicas more"
    for name, gauge in observed.gauges.items():
        if gauge.current:
            values = [value for _, _, value in gauge.current]
            shown = [f"{value}%" if gauge.unit == "%" else size(value) for value in (gauge.target, *values)]
            yield (
                f"  The autoscaler {observed.autoscaler} aims at {shown[0]} ({name}, the mean) and saw"
                f" {shown[1]} at first, {shown[-1]} at last."
            )


def changes(result: Result) -> Iterator[str]:
    """Give a row for each change of the ready replicas: how long calls took to be even again."""
    found = replicas.changes(result)
    if not found:
        return
    yield "Changes of the ready replicas (seconds since the start)"
    yield f"  {'at':>8}  {'change':<10}  ready  even again"
    for one in found[:ROWS]:
        parts = [f"{sign}{len(names)}" for sign, names in (("+", one.came), ("-", one.left)) if names]
        even = "not again" if one.even_after is None else f"after {duration(one.even_after)}"
        yield f"  {seconds(one.at):>8}  {' '.join(parts):<10}  {one.ready:>5}  {even}"
    if len(found) > ROWS:
        yield f"  and {len(found) - ROWS} more"
