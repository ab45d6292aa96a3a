"""The examples of the README run as they are printed."""

import hashlib
import json
import re
from pathlib import Path

from tests.client.api import Answer, Api

README = Path(__file__).parents[2] / "client" / "README.md"
WEIGHTS = b"weights"


def test_the_examples_run(api: Api, tmp_path: Path) -> None:
    sha256 = hashlib.sha256(WEIGHTS).hexdigest()
    document = {"model": "load", "epoch": 1, "champion": {"version": "v1", "sha256": sha256}}
    api.document = Answer(status=200, body=json.dumps(document).encode())
    api.artifact = Answer(status=200, body=WEIGHTS)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names: dict[str, object] = {"session_id": "s-1", "sha256": sha256}
    for block in blocks:
        here = block.replace("http://seqwatch:8765", api.url).replace("/var", str(tmp_path))
        exec(compile(here, str(README), "exec"), names)
    assert names["version"] == "v1"
    assert names["weights"] == WEIGHTS
    names["monitor"].close(timeout=5.0)  # type: ignore[attr-defined]
    names["router"].close()  # type: ignore[attr-defined]
    (prediction,), (label,) = (seen.rows for seen in api.seen if seen.body)
    assert prediction["prediction_id"] == label["prediction_id"]
    assert prediction["output"] == {"load": [3.6, 3.9]}
    assert label["actual"] == {"load": [3.5]}
