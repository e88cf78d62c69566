"""Addresses of loopback, really bound."""

import socket

import pytest

from lab import addresses
from lab.errors import LabError

ELSEWHERE = "240.0.0"  # reserved (RFC 1112, 4): no machine has it


def test_labs_get_different_blocks():
    prefixes = {addresses.pick().prefix for _ in range(20)}
    assert len(prefixes) > 1
    assert all(prefix.startswith("127.") for prefix in prefixes)


def test_the_first_block_that_can_be_used_is_taken():
    assert addresses.pick([ELSEWHERE, "127.0.0"]).prefix == "127.0.0"


def test_without_a_second_loopback_address_the_error_names_the_cure():
    with pytest.raises(LabError, match=r"127\.0\.0\.2 .*sudo ifconfig lo0 alias"):
        addresses.pick([ELSEWHERE])


def test_addresses_come_one_after_the_other_without_those_in_use():
    block = addresses.pick()
    with socket.create_server((f"{block.prefix}.3", 0)) as taken:
        port = taken.getsockname()[1]
        got = [block.take(port) for _ in range(3)]
    assert got == [f"{block.prefix}.{host}" for host in (2, 4, 5)]


def test_an_address_comes_again_only_after_all_others():
    block = addresses.pick()
    first = block.take(0)
    block.give_back(first)
    others = [block.take(0) for _ in range(252)]
    assert first not in others
    assert block.take(0) == first
    with pytest.raises(LabError, match="no address of"):
        block.take(0)
