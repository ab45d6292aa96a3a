import base64

import pytest

from core.errors import Unprocessable
from notify.signing import check_secret, new_secret, sign


def test_the_vector_of_the_specification() -> None:
    signature = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("message_id", "timestamp", "body"),
    [("b", 1, b"x"), ("a", 2, b"x"), ("a", 1, b"y"), ("a", 12, b"x"), ("a", 1, b"")],
)
def test_every_part_is_signed(message_id: str, timestamp: int, body: bytes) -> None:
    secret = new_secret()
    assert sign(secret, message_id, timestamp, body) != sign(secret, "a", 1, b"x")


def test_an_id_with_a_dot_could_be_read_two_ways() -> None:
    with pytest.raises(ValueError, match="dot"):
        sign(new_secret(), "a.1", 2, b"x")


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param("hunter2", id="no prefix"),
        pytest.param("whsec_!!!", id="not base64"),
        pytest.param("whsec_" + base64.b64encode(b"x" * 23).decode(), id="too short"),
        pytest.param("whsec_" + base64.b64encode(b"x" * 65).decode(), id="too long"),
    ],
)
def test_a_bad_secret_is_refused_without_showing_it(secret: str) -> None:
    with pytest.raises(Unprocessable, match="secret: ") as caught:
        check_secret(secret)
    assert secret not in str(caught.value)


def test_secrets_are_never_the_same() -> None:
    assert new_secret() != new_secret()
