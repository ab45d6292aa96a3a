"""Count lines of code: neither blank, nor comment, nor docstring.

Run: `python -m tests.architecture.size`. Tests, benchmarks, examples, plug-ins and
migrations are left out.
"""

import ast
import io
import sys
import tokenize
from collections import Counter
from pathlib import Path

from tests.architecture.source import ROOT

LEFT_OUT = ("tests/", "benchmarks/", "examples/", "plugins/", "db/migrations/")
_NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def n_lines(source: str) -> int:
    """Return how many lines of a module are code.

    Examples
    --------
    >>> n_lines('def f():\\n    "Doc."\\n\\n    return 1  # one\\n')
    2
    """
    docs: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                docs.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NO_CODE:
            code.update(range(token.start[0], token.end[0] + 1))
    return len(code - docs)


def by_folder(root: Path) -> Counter[str]:
    """Return the lines of code of each top-level folder."""
    sizes: Counter[str] = Counter()
    for path in root.rglob("*.py"):
        name = path.relative_to(root).as_posix()
        if name.startswith((".", "build/", *LEFT_OUT)) or "/." in name:
            continue
        sizes[name.split("/")[0]] += n_lines(path.read_text("utf-8"))
    return sizes


def main() -> int:
    """Print the size of each folder, and of all."""
    sizes = by_folder(ROOT)
    for folder, n in sizes.most_common():
        print(f"{folder:12}{n:8,}")
    print(f"{'all':12}{sum(sizes.values()):8,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
