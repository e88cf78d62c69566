"""Numbers over time as an observer learns of them, in bounded memory."""

from loadgen.observed import Number, Reading, Step, highest, thinned

STEPS = 512
READINGS = 256
FINEST = 5_000_000_000  # ns: the metrics API has a reading each 10 to 60 s


class Course:
    """A number that stays until it changes; None while it is not known."""

    __slots__ = ("_most", "_since", "_steps", "value")

    def __init__(self, most: int = STEPS) -> None:
        """Keep at most so many steps: of more, each two neighbours become one, with the higher number."""
        self.value: Number | None = None
        self._most = most
        self._since = 0
        self._steps: list[Step] = []

    def set(self, at: int, value: Number | None) -> None:
        """Have it so from this time on, in ns."""
        if value == self.value:
            return
        self._close(at)
        self._since, self.value = at, value

    def steps(self, now: int) -> tuple[Step, ...]:
        """Return the steps until now."""
        if self.value is None or now <= self._since:
            return highest(self._steps, ())
        return highest(self._steps, [(self._since, now, self.value)])

    def _close(self, at: int) -> None:
        if self.value is None or at <= self._since:
            return
        self._steps.append((self._since, at, self.value))
        if len(self._steps) > self._most:
            pairs = zip(self._steps[::2], self._steps[1::2], strict=False)
            joined = [(one[0], other[1], max(one[2], other[2])) for one, other in pairs]
            self._steps = joined + self._steps[2 * len(joined) :]


class Memory:
    """Readings of several pods, thinned alike: the interval doubles when a pod has more than fit."""

    __slots__ = ("_readings", "interval")

    def __init__(self) -> None:
        self.interval = FINEST
        self._readings: dict[str, dict[int, Reading]] = {}

    def add(self, pod: str, at: int, value: int) -> None:
        """Take a reading: a time in ns since the Unix epoch, and bytes."""
        cells = self._readings.setdefault(pod, {})
        cell = at // self.interval
        known = cells.get(cell)
        if known is None or (value, at) > (known[1], known[0]):
            cells[cell] = (at, value)
        while len(cells) > READINGS:
            self.interval *= 2
            for name, readings in self._readings.items():
                kept = thinned(readings.values(), self.interval)
                self._readings[name] = {reading[0] // self.interval: reading for reading in kept}
            cells = self._readings[pod]

    def of(self, pod: str) -> tuple[Reading, ...]:
        """Return a pod's readings in order of time."""
        return tuple(sorted(self._readings.get(pod, {}).values()))
