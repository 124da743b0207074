"""What to do where TLS fails, from the words of those who refuse."""

import pytest

from domain.broker_address import broker_trouble
from domain.certificates import certificate_advice

SAID = {
    "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate in certificate chain": "AUTH",
    "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate": "AUTH",
    'root certificate file "/nowhere/ca.pem" does not exist': "AUTH",
    "certificate verify failed: certificate has expired": "its certificate has expired",
    "certificate verify failed: IP address mismatch, certificate is not valid for '127.0.0.1'.": "another host",
    "certificate verify failed: Hostname mismatch, certificate is not valid for 'broker'.": "another host",
    'server certificate for "localhost" does not match host name "127.0.0.1"': "another host",
    "SSL error: tlsv1 alert unknown ca": "does not accept our client certificate",
    "SSL error: ssl/tls alert certificate expired": "our client certificate has expired",
    "[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED] sslv3 alert certificate expired": "our client certificate has expired",
    "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required": "asks for a client certificate",
    "FATAL:  connection requires a valid client certificate": "asks for a client certificate",
    "[SSL: WRONG_VERSION_NUMBER] wrong version number": "speaks no TLS",
    "server does not support SSL, but SSL was required": "speaks no TLS",
    "[Errno 2] No such file or directory": "cannot be read",
    'could not load private key file "client.key": key values mismatch': "cannot be read",
}


@pytest.mark.parametrize("words", SAID)
def test_each_fault_has_a_way_out(words: str) -> None:
    advice = certificate_advice(words, authority="AUTH", client="FILES")
    assert SAID[words] in advice
    assert "{" not in advice


@pytest.mark.parametrize("words", ["Connection refused", "timeout expired", "password authentication failed", ""])
def test_other_trouble_is_not_taken_for_it(words: str) -> None:
    assert certificate_advice(words, authority="a", client="c") == ""


def test_trouble_with_the_broker_is_one_line_with_the_advice_behind_it() -> None:
    assert broker_trouble(OSError("it\nbroke")) == "it broke"
    assert broker_trouble(TimeoutError()) == "TimeoutError"
    assert broker_trouble(OSError("tlsv13 alert certificate required")).endswith("with certfile and keyfile")
    refused = OSError("ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN.")
    assert "HANDRAIL_BROKER_PASSWORD_FILE" in broker_trouble(refused)


def test_a_virtual_host_that_cannot_be_entered_is_said_without_the_drivers_frames() -> None:
    frame = "<pamqp.commands.Connection.Close object at 0x7f0123456789>"
    said = broker_trouble(OSError(f"Expected one of ['Connection.OpenOk'], got {frame}"))
    assert "virtual host" in said
    assert "`handrail topology apply`" in said
    assert "0x7f" not in said
