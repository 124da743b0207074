"""What to do where TLS fails: said from the words of whoever refused, which name the fault and never the way out.

OpenSSL's words are the same in every driver, libpq's and the database's own are few: a table of them.
"""

from __future__ import annotations

from typing import Final

_NOT_OURS: Final = (
    "self-signed certificate",
    "self signed certificate",
    "unable to get local issuer",
    "unable to get issuer",
)

# The first row of which a text holds a phrase, lower-cased; {authority} and {client} are where the files are named.
_ADVICE: Final[tuple[tuple[tuple[str, ...], str], ...]] = (
    (
        ("no such file", "could not load", "could not read", "pem lib", "key values mismatch"),
        "a certificate or key cannot be read: check the files named with {authority} and {client}",
    ),
    (
        ("certificate required", "requires a valid client certificate", "handshake failure"),
        "it asks for a client certificate: name one, and its key, with {client}",
    ),
    (
        ("alert certificate expired",),
        "our client certificate has expired: name a new one with {client}",
    ),
    (
        ("alert unknown ca", "alert bad certificate", "alert certificate unknown", "alert unsupported certificate"),
        "it does not accept our client certificate: have its authority issue one, and name it with {client}",
    ),
    (
        ("certificate has expired",),
        "its certificate has expired: have it given a new one",
    ),
    (
        ("does not match host name", "mismatch", "not valid for"),
        "its certificate is for another host: connect by a name that the certificate holds",
    ),
    (
        (*_NOT_OURS, "certificate verify failed", "root certificate file"),
        "its certificate is not from an authority that is trusted here: name that authority's with {authority}",
    ),
    (
        ("wrong version number", "does not support ssl", "record layer failure"),
        "it speaks no TLS at that port: name the port that does",
    ),
)


def certificate_advice(words: str, *, authority: str, client: str) -> str:
    """What to do about a connection that failed with these words; nothing where they do not speak of TLS.

    `authority` and `client` say where the trusted authority, and the client's certificate and key, are named.
    """
    lower = words.lower()
    if not any(sign in lower for sign in ("ssl", "tls", "certificate", "private key", "no such file")):
        return ""
    for phrases, advice in _ADVICE:
        if any(phrase in lower for phrase in phrases):
            return advice.format(authority=authority, client=client)
    return ""
