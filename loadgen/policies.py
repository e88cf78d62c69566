"""gRPC's load-balancing policies: what each can be told, and what may be expected of it.

gRPC takes a field that it does not know for no field, and one that it cannot read for a channel on which
every call fails. So what is configured is checked here, before any load.
"""

import contextlib
import difflib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import durationpy

from loadgen.errors import PlanError

_DURATION = re.compile(r"(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))+")

Field = Callable[[Any], Any]
"""Takes a field's value, returns it as gRPC has it; raises ValueError saying what it must be."""

MOST_RING = 8_388_608  # gRFC A42
HASH_KEY_SWITCH = "GRPC_EXPERIMENTAL_RING_HASH_SET_REQUEST_HASH_KEY"  # gRFC A76
BLACKOUT = 10.0  # seconds that weights wait for where `blackoutPeriod` says nothing else (gRFC A58)


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is true or false")
    return value


def _period(value: Any) -> str:
    """Return a duration as protobuf's JSON has it: seconds, with at most 9 places."""
    seconds = math.nan
    if isinstance(value, str) and _DURATION.fullmatch(value):  # durationpy finds one within any text
        with contextlib.suppress(durationpy.DurationError, OverflowError):
            seconds = durationpy.from_str(value).total_seconds()
    if not 0 <= seconds <= 86_400:
        raise ValueError('is a duration up to 24h in quotes, such as "10s" or "500ms"')
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def _factor(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError("is a number from 0")
    return value


def _names(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise ValueError('is a list of names, such as ["named_metrics.queue"]')
    return value


def _ring(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_RING:
        raise ValueError(f"is a number from 1 to {MOST_RING}")
    return value


@dataclass(frozen=True, slots=True)
class Policy:
    """One of gRPC's policies."""

    name: str
    """Ours, and gRPC's unless `grpc_name` says otherwise."""
    fields: Mapping[str, Field]
    """Of its configuration (`loadBalancingConfig`)."""
    grpc_name: str = ""
    connects_to_all: bool = True
    """It makes a connection to every address, before any call."""
    connects_early: bool = True
    """It makes a connection before any call."""
    equal: bool = True
    """It means to give every backend as many calls."""
    health: bool = True
    """It leaves out backends that say NOT_SERVING, where they are asked (gRFC A17)."""

    def configured(self, given: str | None, header: str | None = None) -> dict[str, Any]:
        """Return its entry of `loadBalancingConfig`; raises PlanError where `given` (JSON) is none of its.

        `header` is the metadata key that ring_hash hashes.
        """
        config = {} if given is None else self._checked(_object(given))
        if header is not None:
            config["requestHashHeader"] = header
        return {self.grpc_name or self.name: config}

    def _checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        config = {}
        for key, value in given.items():
            if key == "requestHashHeader":
                raise PlanError("--lb-config: requestHashHeader is what --hash-header gives: leave it out")
            if key in POLICIES and len(given) == 1:
                raise PlanError(
                    f"--lb-config has {key} in it: give what is inside, --lb-policy names the policy"
                )
            if key not in self.fields:
                raise PlanError(f"--lb-config: {self.name} has no {key!r}{self._hint(key)}")
            try:
                config[key] = self.fields[key](value)
            except ValueError as error:
                raise PlanError(f"--lb-config: {key} {error}, not {json.dumps(value)}") from None
        if "oobReportingPeriod" in config and not config.get("enableOobLoadReport"):
            raise PlanError('--lb-config: oobReportingPeriod needs "enableOobLoadReport": true')
        # what is not said is gRPC's default (gRFC A42)
        if config.get("minRingSize", 1024) > config.get("maxRingSize", 4096):
            raise PlanError(
                f"--lb-config: minRingSize, {config.get('minRingSize', 1024)}, is more than maxRingSize,"
                f" {config.get('maxRingSize', 4096)}"
            )
        return config

    def _hint(self, key: str) -> str:
        if not self.fields:
            return ": it takes no configuration"
        near = difflib.get_close_matches(key, self.fields, n=1, cutoff=0.4)
        return f": did you mean {near[0]}?" if near else f": it has {', '.join(self.fields)}"


def _object(given: str) -> dict[str, Any]:
    try:
        value = json.loads(given)
    except ValueError as error:
        raise PlanError(f"--lb-config is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise PlanError(f"""--lb-config is a JSON object such as '{{"blackoutPeriod": "0s"}}', not {given}""")
    return value


PICK_FIRST = Policy(
    "pick_first", {"shuffleAddressList": _switch}, connects_to_all=False, equal=False, health=False
)
ROUND_ROBIN = Policy("round_robin", {})
WEIGHTED_ROUND_ROBIN = Policy(
    "weighted_round_robin",  # gRFC A58
    {
        "enableOobLoadReport": _switch,
        "oobReportingPeriod": _period,
        "blackoutPeriod": _period,
        "weightExpirationPeriod": _period,
        "weightUpdatePeriod": _period,
        "errorUtilizationPenalty": _factor,
        "metricNamesForComputingUtilization": _names,  # gRFC A114
    },
    equal=False,
)
RING_HASH = Policy(
    "ring_hash",  # gRFC A42, without xDS by A76
    {"minRingSize": _ring, "maxRingSize": _ring},
    grpc_name="ring_hash_experimental",
    connects_to_all=False,
    connects_early=False,
    equal=False,
)
POLICIES = {one.name: one for one in (PICK_FIRST, ROUND_ROBIN, WEIGHTED_ROUND_ROBIN, RING_HASH)}


def of(name: str) -> Policy:
    """Return the policy of this name; one of another version is taken to be like round_robin."""
    return POLICIES.get(name) or Policy(name, {})
