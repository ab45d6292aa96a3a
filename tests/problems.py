"""What problem details hold."""

from httpx2 import Response


def error_of(answer: Response) -> str:
    """Return the name of the error."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    return str(problem["type"]).removeprefix("urn:seqwatch:error:")
