"""The examples do what they say."""

import glob
import os
import re
import subprocess
import sys
import unittest

from executor_case import LONG_S, PACKAGE

# Or more, on a machine that has much to do.
FIVE = r"(?:[5-9]|\d\d)\.\d s"
SAYS = {
    "1_sequential.py": r"\[0, 1, 4, 9, 16\] after " + FIVE,
    "2_the_trap.py": r"\[0, 1, 4, 9, 16\] after " + FIVE + r", in which the clock ticked [1-9] times",
    "3_concurrent.py": r"\[0, 1, 4, 9, 16\] after ",
    "4_threads.py": r"\[0, 1, 4, 9, 16\] after ",
    "5_processes.py": r"s one after the other, .* s in processes",
}


class ExamplesTest(unittest.TestCase):
    def test_each_says_what_it_should(self):
        paths = glob.glob(os.path.join(PACKAGE, "examples", "*.py"))
        self.assertEqual({os.path.basename(path) for path in paths}, set(SAYS))
        environment = dict(os.environ, PYTHONPATH=PACKAGE)
        running = {
            path: subprocess.Popen([sys.executable, path], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            for path in paths
        }
        for path, process in running.items():
            said = process.communicate(timeout=LONG_S)[0].decode()
            self.assertEqual(process.returncode, 0, said)
            self.assertTrue(re.search(SAYS[os.path.basename(path)], said), said)


if __name__ == "__main__":
    unittest.main()
