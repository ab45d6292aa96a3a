"""The examples in the library's docstrings are so."""

import doctest
import importlib
import pkgutil

import pytest
import seqwatch

MODULES = [
    module.name
    for module in pkgutil.walk_packages(seqwatch.__path__, "seqwatch.")
    if not module.ispkg
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_so(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    found = [finder.find(importlib.import_module(name)) for name in MODULES]
    assert sum(bool(test.examples) for tests in found for test in tests) > 10
