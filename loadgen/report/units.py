"""How reports write figures."""


def duration(nanoseconds: float) -> str:
    """Return a duration with the unit that suits it: 412 us, 1.24 ms, 20.5 s."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if nanoseconds >= 0.9995 * size:
            value = nanoseconds / size
            return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"
    return f"{nanoseconds:.0f} ns"


def seconds(nanoseconds: int | None) -> str:
    """Return a time since the start in seconds, such as +4.51; - where it is not known."""
    return "-" if nanoseconds is None else f"{nanoseconds / 1e9:+.2f}"


def size(count: float) -> str:
    """Return bytes with the unit that suits them: 812 KiB, 190 MiB, 1.2 GiB."""
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= 0.9995 * scale:
            value = count / scale
            return f"{value:.{1 if value < 9.95 else 0}f} {unit}"
    return f"{count:.0f} B"
