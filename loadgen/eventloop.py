"""An event loop that wakes in time.

asyncio's epoll selector rounds every wait up to a whole millisecond, so a call that falls due in 0.2 ms
would start 0.8 ms late.
"""

import asyncio
import select
import selectors

PATIENCE = 1.0  # seconds that tasks get to end when they are cancelled


def new() -> asyncio.AbstractEventLoop:
    """Return an event loop for a run."""
    if not hasattr(selectors, "EpollSelector"):
        return asyncio.new_event_loop()

    class FineSelector(selectors.EpollSelector):
        """epoll behind select(2), whose time-out is in microseconds."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            """Wait as EpollSelector does, but no longer than `timeout` seconds."""
            if timeout is not None and timeout > 0:
                select.select((self,), (), (), timeout)
                timeout = 0
            return super().select(timeout)

    return asyncio.SelectorEventLoop(FineSelector())


def close(loop: asyncio.AbstractEventLoop) -> None:
    """Close a loop after cancelling what is pending in it: tasks of gRPC's calls outlive them a little."""
    pending = asyncio.all_tasks(loop)
    for task in pending:
        task.cancel()
    if pending:
        loop.run_until_complete(asyncio.wait(pending, timeout=PATIENCE))
    loop.close()
