"""Who a replica is, and how it tells its callers."""

from dataclasses import dataclass
from uuid import uuid4


@dataclass(frozen=True, slots=True)
class Identity:
    """One running replica."""

    id: str
    """A UUID, the answer to every Get; a restarted replica has another."""
    name: str
    """For people: the host name, which in Kubernetes is the pod's name."""
    address: str
    """HOST:PORT."""

    @classmethod
    def new(cls, name: str, address: str) -> "Identity":
        """Make an identity with an id of its own."""
        return cls(str(uuid4()), name, address)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The trailing metadata of every answer to a Get, failed ones too."""
        return (
            ("replica-id", self.id),
            ("replica-name", self.name),
            ("replica-address", self.address),
        )
