"""Signatures with which a receiver verifies messages: Standard Webhooks 1.0.0."""

import base64
import binascii
import hashlib
import hmac
import secrets

from core.errors import Unprocessable

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64  # bytes of a secret, by the specification


def new_secret() -> str:
    """Return a new secret, in the form that receivers' libraries accept."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def check_secret(secret: str) -> None:
    """Refuse a secret that receivers' libraries do not accept, with the reason.

    Raises
    ------
    Unprocessable
        If it does not begin with `whsec_`, is not base64, or is too short or long.

    Examples
    --------
    >>> check_secret(new_secret())
    """
    _key(secret)


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the `webhook-signature` header.

    Parameters
    ----------
    secret
        `whsec_` and base64.
    message_id
        The `webhook-id` header: the same for every attempt. Without a dot,
        which separates the signed parts.
    timestamp
        The `webhook-timestamp` header, in seconds since 1970: of this attempt.
    body
        The bytes that are sent.

    Raises
    ------
    Unprocessable
        If the secret is not one.
    ValueError
        If the id has a dot.

    References
    ----------
    .. [1] Standard Webhooks 1.0.0, "Signature scheme".

    Examples
    --------
    >>> sign(
    ...     "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    ...     "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}',
    ... )
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    if "." in message_id:
        raise ValueError(f"message id {message_id!r} has a dot")
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(_key(secret), signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def _key(secret: str) -> bytes:
    if not secret.startswith(PREFIX):
        raise Unprocessable(f"secret: must begin with {PREFIX}")
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise Unprocessable(f"secret: not base64 after {PREFIX}") from None
    if not SHORTEST <= len(key) <= LONGEST:
        raise Unprocessable(f"secret: needs {SHORTEST} to {LONGEST} bytes, has {len(key)}")
    return key
