"""An event loop that wakes in time.

asyncio's epoll selector rounds every wait up to a whole millisecond, so a call that falls due in 0.2 ms
would start 0.8 ms late.
"""

import asyncio
import select
import selectors


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
