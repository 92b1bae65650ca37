"""Type checkers see in a pool's `submit` what they see in the standard library's: the function's own parameters."""

import importlib.util
import os
import unittest

from executor_case import PACKAGE, ExecutorCase

PROGRAM = """
from concurrent.futures import Future
from orchestrator import AsyncPool, Executor
from orchestrator.worker import task

def shown(number: int) -> str:
    return str(number)

@task
def resized(path: str, width: int) -> int:
    return width

with Executor(2, timeout=3, memory="2G") as pool:
    future: Future[str] = pool.submit(shown, 1)
    pool.submit(print, "a", sep="")
    pool.submit(lambda: 3)
    pool.options(retries=1).submit(shown, number=1)
    for text in pool.map(shown, [1, 2], timeout=3, chunksize=2, buffersize=3):
        text.upper()
    pool.submit(shown, "1")  # type: ignore[arg-type]
    pool.submit(shown)  # type: ignore[call-arg]
    pool.options(nothing=1)  # type: ignore[call-arg]

async def main() -> str:
    async with AsyncPool(2) as pool:
        await pool.run(shown, "1")  # type: ignore[arg-type]
        pool.submit(shown, 1, 2)  # type: ignore[call-arg]
        async for text in pool.map(shown, [1]):
            text.upper()
        return await pool.run(shown, 1)

resized("a", "2")  # type: ignore[arg-type]
"""


@unittest.skipIf(importlib.util.find_spec("mypy") is None, "needs mypy")
class Types(ExecutorCase):
    def test_a_program(self):
        from mypy import api

        path = self.path("program.py")
        with open(path, "w") as file:
            file.write(PROGRAM)
        before = os.environ.get("MYPYPATH")
        os.environ["MYPYPATH"] = PACKAGE
        try:
            out, err, status = api.run(["--strict", "--follow-imports=silent", "--config-file=", "--cache-dir", self.folder, path])
        finally:
            if before is None:
                del os.environ["MYPYPATH"]
            else:
                os.environ["MYPYPATH"] = before
        self.assertEqual((status, err), (0, ""), out)


if __name__ == "__main__":
    unittest.main()
