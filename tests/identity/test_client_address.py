"""Which address a request comes from."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.client_address import address_is_in, client_address, parse_address, parse_networks

PROXIES = parse_networks(["10.0.0.0/8", "2001:db8:ffff::/48"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.9"], "192.0.2.1"),  # nobody asked this peer for its opinion
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.9"], "198.51.100.9"),
        ("10.0.0.1", ["198.51.100.9, 10.0.0.2"], "198.51.100.9"),
        ("10.0.0.1", ["127.0.0.1, 198.51.100.9, 10.0.0.2"], "198.51.100.9"),  # the client wrote the first one
        ("10.0.0.1", ["10.9.9.9, 198.51.100.9"], "198.51.100.9"),
        ("10.0.0.1", ["198.51.100.9", "10.0.0.2"], "198.51.100.9"),  # two headers are one list
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),  # a client inside the proxies' own network
        ("10.0.0.1", ["198.51.100.9, rubbish"], None),
        ("10.0.0.1", ["198.51.100.9,"], None),
        ("10.0.0.1", [""], None),
        ("10.0.0.1", ["unknown"], None),
        ("10.0.0.1", ["rubbish, 198.51.100.9"], "198.51.100.9"),
        ("10.0.0.1", ["198.51.100.9:4711"], "198.51.100.9"),
        ("10.0.0.1", ["[2001:db8::9]:4711"], "2001:db8::9"),
        ("2001:db8:ffff::1", ["2001:db8::9"], "2001:db8::9"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.9"], "198.51.100.9"),
        ("::ffff:192.0.2.1", [], "192.0.2.1"),
        ("not an address", ["198.51.100.9"], None),
        ("", ["198.51.100.9"], None),
        (None, ["198.51.100.9"], "198.51.100.9"),  # a Unix socket: our own relay
        (None, ["198.51.100.9, 10.0.0.2"], "198.51.100.9"),
        (None, [], None),
    ],
)
def test_the_client_is_the_last_hop_that_is_no_proxy_of_ours(
    peer: str | None, forwarded: list[str], client: str | None
) -> None:
    assert client_address(peer, forwarded, PROXIES) == (ip_address(client) if client else None)


def test_without_trusted_proxies_the_header_is_only_words() -> None:
    assert client_address("10.0.0.1", ["198.51.100.9"], ()) == ip_address("10.0.0.1")


@given(st.text(max_size=40))
def test_whatever_the_client_writes_itself_changes_nothing(written: str) -> None:
    seen = client_address("10.0.0.1", [f"{written}, 198.51.100.9"], PROXIES)
    assert seen == ip_address("198.51.100.9")


def test_a_header_of_thousands_of_proxies_is_cut_short() -> None:
    hops = ", ".join(["198.51.100.9"] + ["10.0.0.2"] * 5_000)
    assert client_address("10.0.0.1", [hops], PROXIES) == ip_address("10.0.0.2")


@pytest.mark.parametrize(
    "text", ["", "1.2.3", "1.2.3.4.5", "fe80::1%eth0", "[::1", "::1]", "01.2.3.4", "1.2.3.4/8", "١.٢.٣.٤"]
)
def test_garbage_is_no_address(text: str) -> None:
    assert parse_address(text) is None


def test_an_address_lies_in_networks_of_its_own_family() -> None:
    networks = parse_networks(["192.0.2.0/24", "2001:db8::/32", "203.0.113.7"])
    assert address_is_in(ip_address("192.0.2.200"), networks)
    assert address_is_in(ip_address("2001:db8::1"), networks)
    assert address_is_in(ip_address("203.0.113.7"), networks)
    assert not address_is_in(ip_address("203.0.113.8"), networks)
    assert not address_is_in(ip_address("::1"), networks)


@pytest.mark.parametrize("text", ["192.0.2.1/24", "everything", "10.0.0.0/33"])
def test_a_network_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=text.split("/")[0]):
        parse_networks([text])
