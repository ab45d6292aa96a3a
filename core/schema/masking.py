"""Masking: what is stored in place of a sensitive text."""

import hashlib
import hmac
import secrets

from core.schema.contract import Contract
from core.schema.feature import Sensitivity

KEY_BYTES = 32
HASH_BYTES = 16  # two of 10^12 texts share a hash with a chance of 1 in 10^15

MASKED = "(masked)"  # stands in quarantine where a value stood


def new_key() -> bytes:
    """Return a key for one model. It never leaves the database."""
    return secrets.token_bytes(KEY_BYTES)


def sensitivity_of(contract: Contract, field: str) -> Sensitivity:
    """Return what becomes of a field of a row.

    Parameters
    ----------
    contract
        Of the model.
    field
        Such as `session_id`, or `features.NAME`.
    """
    name = field.removeprefix("features.")
    if name == field:
        return contract.sensitive_fields.get(field, Sensitivity.NONE)
    found = (each.sensitivity for each in contract.features if each.name == name)
    return next(found, Sensitivity.NONE)


def hashed(key: bytes, field: str, text: str) -> str:
    """Return the HMAC of a text under a model's key, as it is stored.

    The field is part of what is hashed: that two fields hold the same text
    does not show.

    Examples
    --------
    >>> hashed(bytes(32), "session_id", "s-1")
    '208f0fcb1508aa5969de961656d7d245'
    >>> hashed(bytes(32), "entity", "s-1") == hashed(bytes(32), "session_id", "s-1")
    False
    """
    content = f"{field}\0{text}".encode(errors="surrogatepass")
    return hmac.digest(key, content, hashlib.sha256)[:HASH_BYTES].hex()


def stored_forms(key: bytes | None, field: str, text: str) -> tuple[str, ...]:
    """Return every form in which a text may be stored: a contract may have grown stricter."""
    return (text,) if key is None else (text, hashed(key, field, text))
