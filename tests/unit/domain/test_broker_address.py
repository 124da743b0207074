"""The broker's address: checked, never shown with its password, never without checking certificates."""

import pytest

from domain.broker_address import BrokerAddress
from domain.errors import InputInvalid


def test_an_address_says_who_logs_in_and_shows_no_password() -> None:
    address = BrokerAddress.read("amqps://al%40ice:sword%2Ffish@mq:5671/one%2Ftwo?cafile=/ca.pem")
    assert address.login == "al@ice"
    assert address.shown == "amqps://al%40ice@mq:5671/one%2Ftwo"
    assert "fish" not in repr(address)
    dialled = address.dialled("a name", 15)
    assert dialled == "amqps://al%40ice:sword%2Ffish@mq:5671/one%2Ftwo?cafile=/ca.pem&name=a%20name&heartbeat=15"


def test_a_certificate_may_be_all_that_says_who_we_are() -> None:
    address = BrokerAddress.read("amqps://mq/v?auth=external&certfile=/c.pem&keyfile=/k.pem&cafile=/ca.pem")
    assert address.login == ""
    assert address.shown == "amqps://mq/v"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://a:swordfish@mq", "must be amqp"),
        ("amqp:///v", "must be amqp"),
        ("amqp://a:swordfish@mq:port/v", "cannot be read"),
        ("amqp://mq/v", "names no login"),
        ("amqps://a:swordfish@mq/v?no_verify_ssl=1", "no_verify_ssl"),
        ("amqps://a:swordfish@mq/v?heartbeat=0", "heartbeat"),
        ("amqp://a:swordfish@mq/v?cafile=/ca.pem", "without TLS"),
        ("amqps://a:swordfish@mq/v?certfile=/c.pem", "name both"),
        ("amqps://mq/v?auth=external", "certfile and keyfile"),
        ("amqps://mq/v?auth=none", "neither plain nor external"),
    ],
)
def test_what_is_no_address_or_asks_for_too_little_is_refused(url: str, words: str) -> None:
    with pytest.raises(InputInvalid, match=words) as refusal:
        BrokerAddress.read(url)
    assert "swordfish" not in str(refusal.value)
