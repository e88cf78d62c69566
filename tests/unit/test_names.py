"""Numbers for names."""

from hypothesis import given
from hypothesis import strategies as st

from loadgen.names import Names


@given(st.lists(st.text(max_size=2)), st.integers(1, 10))
def test_a_name_keeps_its_number_and_there_are_no_more_than_the_limit(asked: list[str], limit: int) -> None:
    names: Names[str] = Names(limit)
    first: dict[str, int] = {}
    for name in asked:
        number = names.number(name)
        if name in first or len(first) < limit:
            assert number == first.setdefault(name, len(first))
        else:
            assert number is None
    assert list(names) == list(first)
    assert len(names) == len(first) <= limit


def test_room_can_be_made_for_a_pool() -> None:
    names: Names[str] = Names(1)
    names.number("a")
    assert names.number("rest") is None
    names.widen("rest")
    names.widen("rest")
    assert (names.number("rest"), names.number("b"), len(names)) == (1, None, 2)
