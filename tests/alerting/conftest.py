from tests.notify.conftest import receiver, sender

__all__ = ["receiver", "sender"]
