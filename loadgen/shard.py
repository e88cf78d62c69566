"""A shard: one of several load generators that make one load together."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shard:
    """The share of a load that one load generator makes. `str()` of it is as `--shard` has it: `0/4`."""

    index: int = 0
    """Counted from 0, as a Job's completion index."""
    count: int = 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def share(self, whole: int) -> int:
        """Return this shard's part of `whole`: how many of 0 to `whole` - 1 it takes, every `count`-th."""
        return whole // self.count + (self.index < whole % self.count)


WHOLE = Shard()
