"""The examples in docstrings do what they say."""

import doctest
import importlib
import pkgutil

import executor_case  # puts the package on the path
import orchestrator


def load_tests(loader, tests, pattern):
    for module in pkgutil.iter_modules(orchestrator.__path__):
        if module.name not in ("joblib", "_serve", "worker"):  # those are other programs' modules
            found = importlib.import_module("orchestrator." + module.name)
            tests.addTests(doctest.DocTestSuite(found))
    return tests
