import pytest

from alerts.channels.targets import Internal, Unresolvable, addresses, is_public


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ],
)
def test_an_address_of_our_own_networks_is_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["3.121.19.1", "2a00:1450:4001:80b::200e", "64:ff9b::379:1301"])
def test_an_address_of_the_open_internet_is_public(address):
    assert is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "0x7f000001", "2130706433"])
def test_a_host_that_leads_inside_is_refused_however_it_is_written(host):
    with pytest.raises(Internal):
        addresses(host, 443, allow_internal=False)


def test_a_host_that_leads_inside_is_fine_where_it_is_allowed():
    assert addresses("127.0.0.1", 443, allow_internal=True) == ["127.0.0.1"]


def test_a_name_without_an_address_says_so():
    with pytest.raises(Unresolvable):
        addresses("nowhere.invalid", 443, allow_internal=False)
