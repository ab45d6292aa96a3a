"""Configurations with credentials, encrypted in the database where the operator has a key."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import JSON, Dialect, Engine
from sqlalchemy.types import TypeDecorator

ENCRYPTED = "fernet"  # the one entry of what is encrypted
UNREADABLE = "(unreadable)"  # the one entry of what no key of ours decrypts
_KEYS = "seqwatch_credentials_keys"  # attribute of an engine's dialect


def use_keys(engine: Engine, keys: Sequence[str]) -> None:
    """Encrypt with the first of these Fernet keys, decrypt with any of them.

    Without keys nothing is encrypted, and what was encrypted is unreadable.
    """
    setattr(engine.dialect, _KEYS, tuple(keys))


class EncryptedJson(TypeDecorator[dict[str, Any]]):
    """A JSON object, encrypted by Fernet (AES-128-CBC and HMAC-SHA256) where there are keys.

    What was stored without a key is read as it is, and encrypted when it is next written.
    What cannot be decrypted is read as `{UNREADABLE: True}`: one row must not fail a query of
    many.
    """

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: dict[str, Any] | None, dialect: Dialect) -> Any:
        """Encrypt with the first key."""
        keys = getattr(dialect, _KEYS, ())
        if value is None or not keys:
            return value
        return {ENCRYPTED: _fernet(keys).encrypt(json.dumps(value).encode()).decode()}

    def process_result_value(self, value: Any, dialect: Dialect) -> dict[str, Any] | None:
        """Decrypt with the key that fits."""
        if value is None or value.keys() != {ENCRYPTED}:
            found: dict[str, Any] | None = value
            return found
        from cryptography.fernet import InvalidToken

        keys = getattr(dialect, _KEYS, ())
        try:
            return (
                dict(json.loads(_fernet(keys).decrypt(value[ENCRYPTED])))
                if keys
                else {UNREADABLE: True}
            )
        except InvalidToken:
            return {UNREADABLE: True}


def _fernet(keys: Sequence[str]) -> Any:
    from cryptography.fernet import Fernet, MultiFernet  # 20 ms: only where there are keys

    return MultiFernet([*map(Fernet, keys)])
