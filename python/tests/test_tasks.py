"""Python functions as tasks of `orchestrator run`: their inputs, results and failures, and the program itself."""

import json
import os
import subprocess
import sys
import tempfile
import textwrap
import unittest

from link import ROOT, Link, wire

from orchestrator import _tasks, worker

MODULE = """
    import os, time
    from orchestrator.worker import attempt, progress, run, task

    @task
    def resize(path: str, width: int) -> int:
        print("resizing", path)
        os.write(1, b"raw\\n")
        os.system("echo from a child")
        if width < 0:
            raise ValueError("negative width %d" % width)
        return width * 2

    @task(name="say")
    def talk(text):
        print("said", text)
        return text

    @task
    def join(words: list) -> str:
        return " ".join(words)

    @task
    def unencodable():
        return object()

    @task
    def cause():
        try:
            {}["key"]
        except KeyError as error:
            raise RuntimeError("outer") from error

    @task
    def leave(status: int):
        raise SystemExit(status)

    @task
    async def later(x):
        import asyncio
        await asyncio.sleep(0)
        return [x]

    @task
    def upper(text: str):
        return text.upper()

    @task
    def size(data):
        return str(len(data))

    @task
    def which():
        for n in range(10):
            progress(n, 10)
        return attempt()

    if __name__ == "__main__":
        print("before the greeting")
        run()
"""


def binary():
    """The program, or None."""
    places = [os.path.join(ROOT, "..", "target", profile, "orchestrator") for profile in ("release", "debug")]
    for path in (os.environ.get("ORCHESTRATOR"), *places):
        if path and os.path.exists(path):
            return path
    return None


class Binding(unittest.TestCase):
    """How JSON values become arguments."""

    def check(self, function, *cases):
        parameters = _tasks._Parameters(function)
        for value, expected in cases:
            with self.subTest(value=value):
                if isinstance(expected, str):
                    with self.assertRaisesRegex(_tasks._Refused, expected):
                        parameters.for_value(value)
                else:
                    args, kwargs = parameters.for_value(value)
                    self.assertEqual((list(args), kwargs), expected)

    def test_several_parameters(self):
        def function(path: str, width: int, *, fast: bool = False):
            pass

        self.check(
            function,
            (["a", 3], (["a", 3], {})),
            ({"path": "a", "width": 3}, ([], {"path": "a", "width": 3})),
            ({"width": 3, "path": "a", "fast": True}, ([], {"width": 3, "path": "a", "fast": True})),
            (["a"], "no value for 'width'"),
            (["a", 1, 2], "3 arguments for 2 parameters"),
            (["a", "b"], "'width' is to be int, not 'b'"),
            (["a", True], "'width' is to be int"),
            ({"path": "a", "width": 3, "fast": 1}, "'fast' is to be bool"),
            ({"path": "a"}, "no value for 'width'"),
            ({"other": "a"}, "'path' is to be str|no value"),
            (5, "no value for 'width'|'path' is to be str"),
        )

    def test_one_parameter(self):
        self.check(
            lambda value: None,
            (5, ([5], {})),
            (None, ([None], {})),
            ("x", (["x"], {})),
            ([5], ([5], {})),
            ([5, 6], "2 arguments"),
            ({"value": 1}, ([], {"value": 1})),
            ({"other": 1}, ([{"other": 1}], {})),
            ({}, ([{}], {})),
        )

    def test_one_parameter_that_is_a_list_or_an_object(self):
        def whole_list(items: "List[int]"):
            pass

        def whole_dict(options: dict):
            pass

        self.check(whole_list, ([1, 2], ([[1, 2]], {})), ([], ([[]], {})), ({"items": [1]}, ([], {"items": [1]})))
        self.check(whole_dict, ({"a": 1}, ([{"a": 1}], {})), ({"options": {}}, ([], {"options": {}})), (5, "is to be dict"))

    def test_none_and_any_number(self):
        self.check(lambda: None, (None, ([], {})), ([], ([], {})), ([1], "1 arguments"), (1, "1 arguments"))
        self.check(lambda *args: None, ([1, 2, 3], ([1, 2, 3], {})), (5, ([5], {})))
        self.check(lambda **kwargs: None, ({"a": 1}, ([], {"a": 1})))
        self.check(lambda a, b=2: None, ([1], ([1], {})), ({"a": 1}, ([], {"a": 1})))
        self.check(len, ([[1]], ([[1]], {})), ("abc", (["abc"], {})))

    def test_floats_take_integers(self):
        def function(x: float):
            pass

        self.check(function, (1, ([1], {})), (1.5, ([1.5], {})), (True, "is to be float"), ("1", "is to be float"))

    def test_wrapped_functions(self):
        import functools

        def inner(a: int):
            pass

        @functools.wraps(inner)
        def outer(*args, **kwargs):
            return inner(*args, **kwargs)

        self.check(outer, ({"a": 1}, ([], {"a": 1})), ("x", "is to be int"))

    def test_names_are_taken_once(self):
        def function():
            pass

        self.addCleanup(_tasks.registered.clear)
        self.assertIs(worker.task(function), function)
        worker.task(function)
        with self.assertRaisesRegex(ValueError, "there is a task 'function' already"):
            worker.task(lambda: None, name="function")

    def test_outside_of_a_worker_nothing_happens(self):
        worker.progress(1, 2)
        self.assertEqual(worker.attempt(), 0)


class Documentation(unittest.TestCase):
    def test_examples(self):
        import doctest

        self.addCleanup(_tasks.registered.clear)
        failed, tried = doctest.testmod(worker)
        self.assertEqual((failed, tried > 0), (0, True))


class Module(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        with open(os.path.join(self.folder, "mytasks.py"), "w") as file:
            file.write(textwrap.dedent(MODULE))
        self.environment = dict(os.environ, PYTHONPATH=ROOT)


class Serving(Module):
    def worker(self, *command, **options):
        command = [sys.executable, "-m", *(command or ("mytasks",))]
        link = Link(command, cwd=self.folder, env=self.environment, **options)
        self.addCleanup(link.__exit__)
        return link

    def ask(self, link, name, value, encoding=wire.JSON):
        data = json.dumps(value).encode() if encoding == wire.JSON else value
        link.other = []
        link.run(data, task=link.ready[3].index(name), encoding=encoding)
        _, outcome, result = link.answer()
        if outcome == wire.OK:
            return json.loads(result.decode()) if encoding == wire.JSON else result
        return (outcome, *wire.parse_task_error(result))

    def test_both_ways_to_start_it(self):
        names = ["resize", "say", "join", "unencodable", "cause", "leave", "later", "upper", "size", "which"]
        for command in ("mytasks",), ("orchestrator.worker", "mytasks"), ("orchestrator.worker", "./mytasks.py"):
            link = self.worker(*command)
            self.assertEqual(link.ready[3], names)
            self.assertEqual(b"before the greeting" in link.preamble, command == ("mytasks",))
            self.assertEqual(self.ask(link, "resize", ["a", 4]), 8)

    def test_results_and_output(self):
        link = self.worker()
        self.assertEqual(self.ask(link, "resize", {"path": "a", "width": 2}), 4)
        self.assertEqual(link.printed(), {1: b"resizing a\nraw\nfrom a child\n"})
        self.assertEqual(self.ask(link, "join", ["a", "b"]), "a b")
        self.assertEqual(self.ask(link, "later", 5), [5])
        self.assertEqual(self.ask(link, "say", "\u20ac \U0001f600"), "\u20ac \U0001f600")
        self.assertEqual(self.ask(link, "which", None), 1)

    def test_whose_output_it_is(self):
        link = self.worker()
        task = link.ready[3].index("say")
        link.run(*[json.dumps(str(n)).encode() for n in range(1, 101)], task=task, encoding=wire.JSON)
        for _ in range(100):
            link.answer()
        self.assertEqual(link.printed(), {n: b"said %d\n" % n for n in range(1, 101)})

    def test_raw_inputs(self):
        link = self.worker()
        self.assertEqual(self.ask(link, "upper", "\u00e4b".encode(), wire.RAW), "\u00c4B".encode())
        self.assertEqual(self.ask(link, "size", b"\xff\0\n", wire.RAW), b"3")
        self.assertEqual(self.ask(link, "upper", b"\xff", wire.RAW)[0], wire.REJECTED)
        self.assertEqual(self.ask(link, "unencodable", b"", wire.RAW)[4], wire.UNENCODABLE)

    def test_failures(self):
        link = self.worker()
        outcome, message, location, chain, kind = self.ask(link, "resize", ["a", -1])
        self.assertEqual((outcome, message, chain, kind), (wire.FAILED, "ValueError: negative width -1", [], wire.ERROR))
        self.assertRegex(location, r"mytasks\.py:11$")
        outcome, message, _, chain, _ = self.ask(link, "cause", None)
        self.assertEqual((message, chain), ("RuntimeError: outer", ["KeyError: 'key'"]))
        self.assertEqual(self.ask(link, "leave", 3)[:2], (wire.FAILED, "SystemExit: 3"))
        outcome, message, _, _, kind = self.ask(link, "unencodable", None)
        self.assertEqual((outcome, kind), (wire.FAILED, wire.UNENCODABLE))
        for value in ["a"], ["a", "b"], 5:
            outcome, message, _, _, kind = self.ask(link, "resize", value)
            self.assertEqual((outcome, kind), (wire.REJECTED, wire.UNDECODABLE))
            self.assertTrue(message.startswith("cannot decode input of 'resize': "), message)
        link.run(b"{no json", task=0, encoding=wire.JSON)
        self.assertEqual(link.answer()[1], wire.REJECTED)
        link.run(b"x", task=0, encoding=wire.BINCODE)
        self.assertEqual(link.answer()[1], wire.REJECTED)
        link.run(b"x", task=99, encoding=wire.JSON)
        _, outcome, error = link.answer()
        self.assertEqual((outcome, wire.parse_task_error(error)[3]), (wire.REJECTED, wire.UNKNOWN_TASK))

    def test_modules_that_are_none(self):
        for name, text in ("missing", "No module named 'missing'"), ("json", "no tasks"):
            link = self.worker("orchestrator.worker", name, until_ready=False)
            self.assertEqual(link.process.wait(10), 1)
            self.assertIn(text, link.stderr())


@unittest.skipUnless(binary(), "the program has not been built")
class Running(Module):
    """As a user does it."""

    def run_lines(self, name, *values):
        command = [binary(), "run", "--worker", sys.executable, "--worker-arg=-m", "--worker-arg=mytasks", "--task", name, "-k"]
        lines = "".join(json.dumps(value) + "\n" for value in values)
        done = subprocess.run(
            command,
            input=lines,
            cwd=self.folder,
            env=dict(self.environment, XDG_STATE_HOME=self.folder, HOME=self.folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            timeout=120,
        )
        if "protocol" in done.stderr:
            self.skipTest("this program speaks another version of the protocol")
        return done, [json.loads(line) for line in done.stdout.splitlines()]

    def test_a_file_of_arguments(self):
        done, results = self.run_lines("resize", ["a.png", 3], {"path": "b", "width": 4}, ["c", -1], ["d"])
        self.assertEqual([result.get("value") for result in results], [6, 8, None, None])
        self.assertIn("negative width -1", results[2]["error"])
        self.assertIn("no value for 'width'", results[3]["error"])
        for text in "resizing a.png\n", "from a child\n", "raw\n":
            self.assertIn(text, done.stderr)
        self.assertEqual(done.returncode, 1)

    def test_many_small_jobs(self):
        _, results = self.run_lines("join", *[["x", str(n)] for n in range(5000)])
        self.assertEqual([result["value"] for result in results], ["x %d" % n for n in range(5000)])


if __name__ == "__main__":
    unittest.main()
