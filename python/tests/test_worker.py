"""Workers as processes, behind a link that the test holds: calls, output, cancelling, ends."""

import math
import os
import signal
import struct
import sys
import tempfile
import textwrap
import time
import unittest

from link import Link, alive, call, payload, prepare, wait_for, wire

from orchestrator import _segments as segments

import worker_jobs as jobs

PYPY = sys.implementation.name == "pypy"
FAST = 20_000  # more jobs than fit into any buffer


class WorkerCase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def touch(self, name):
        open(self.path(name), "w").close()

    def worker(self, initializer=None, initargs=(), pool=None, **options):
        init = payload.encode_init(prepare.gather(), pool, initializer, initargs)[0]
        link = Link(init=init, **options)
        self.addCleanup(link.__exit__)
        return link


class Calling(WorkerCase):
    def test_values_and_exceptions(self):
        link = self.worker()
        self.assertEqual(link.ready[2:4], (1, ["call"]))
        self.assertEqual(link.call(jobs.add, 1, b=2), (payload.VALUE, 3))
        tag, error = link.call(jobs.fail, "no")
        self.assertEqual((tag, type(error), error.args), (payload.RAISED, ValueError, ("no",)))
        text = str(error.__cause__)
        self.assertIn("raise ValueError(text)  # a comment to be seen", text)
        self.assertTrue(PYPY or "_call.py" not in text, text)
        for kind in SystemExit, KeyboardInterrupt, GeneratorExit:
            tag, error = link.call(jobs.leave, kind, 3)
            self.assertEqual((tag, type(error), error.args), (payload.RAISED, kind, (3,)))
        tag, error = link.call(jobs.no_pickle)
        self.assertEqual(tag, payload.RAISED)
        self.assertIn("no_pickle", str(error))
        tag, error = link.call(math.sqrt, -1)  # an exception of C has no frame of the user's
        self.assertEqual((tag, type(error)), (payload.RAISED, ValueError))
        self.assertEqual(link.call(jobs.add, 1), (payload.VALUE, 1))

    def test_what_cannot_be_unpickled_is_rejected(self):
        link = self.worker()
        for data in call(jobs.add, jobs.Unloadable()), b"\0" * 9 + b"no pickle", b"", b"\1" + b"\x07" * 8:
            link.run(data)
            outcome, error = link.result()
            self.assertEqual(outcome, wire.REJECTED)
            message, _, chain, kind = wire.parse_task_error(error)
            self.assertEqual(kind, wire.UNDECODABLE)
            self.assertTrue(message.startswith("cannot unpickle the job: "), message)
        link.run(call(jobs.add, jobs.Unloadable()))
        _, _, chain, _ = wire.parse_task_error(link.result()[1])
        self.assertIn("while unpickling", chain[0])
        self.assertEqual(link.call(jobs.add, 1), (payload.VALUE, 1))

    def test_other_tasks_and_encodings_are_rejected(self):
        link = self.worker()
        link.run(call(jobs.add, 1), task=5)
        self.assertEqual(link.result()[0], wire.REJECTED)
        link.run(b"1", encoding=wire.JSON)
        self.assertEqual(link.result()[0], wire.REJECTED)

    def test_blobs(self):
        link = self.worker()
        link.send(wire.blob(7, payload.encode_blob(jobs.add)))
        for _ in range(2):
            link.run(payload.encode_call(payload.CALL_BLOB, 7, ((1,), {"b": 5}))[0])
            self.assertEqual(link.result(), (payload.VALUE, 6))
        link.send(wire.blob(8, b"no pickle"))
        link.run(payload.encode_call(payload.CALL_BLOB, 8, ((1,), {}))[0])
        self.assertEqual(link.result()[0], wire.REJECTED)

    def test_chunks(self):
        link = self.worker()
        link.send(wire.blob(7, payload.encode_blob(jobs.fail_at)))
        items = [(item, 50) for item in range(40)]
        columns = [list(range(40)), [50] * 40]
        for kind, blob, value in (
            (payload.CHUNK, 0, (jobs.fail_at, items)),
            (payload.CHUNK_BLOB, 7, items),
            (payload.COLUMNS, 0, (jobs.fail_at, columns)),
            (payload.COLUMNS_BLOB, 7, columns),
        ):
            link.run(payload.encode_call(kind, blob, value)[0])
            self.assertEqual(link.result(), (payload.VALUE, list(range(40))))
        columns[1][30] = 30
        link.run(payload.encode_call(payload.COLUMNS_BLOB, 7, columns)[0])
        tag, (results, error, _) = link.result()
        self.assertEqual((tag, results, error.args), (payload.PARTIAL, list(range(30)), (30,)))

    def test_a_great_many_small_jobs(self):
        link = self.worker()
        data = call(abs, -3)
        sent = got = 0
        while got < FAST:
            while sent < FAST and sent - got < 512:
                link.run(*[data] * 256)
                sent += 256
            job, outcome, result = link.answer()
            got += 1
            self.assertEqual((job, outcome, payload.decode_result(result)), (got, wire.OK, (payload.VALUE, 3)))

    @unittest.skipIf(PYPY, "objects live longer there")
    def test_arguments_are_gone_when_the_answer_comes(self):
        link = self.worker()
        tracked = jobs.Tracked(self.path("gone"))
        data = call(jobs.take, tracked)
        tracked.path = os.devnull  # only the worker's is looked at
        link.run(data)
        self.assertEqual(link.result(), (payload.VALUE, True))
        self.assertTrue(os.path.exists(self.path("gone")))

    @unittest.skipIf(PYPY, "not measured there")
    def test_usage(self):
        link = self.worker()
        link.call(jobs.sleep, 0.05)
        self.assertGreaterEqual(link.usage[0], 50_000)
        link.call(sum, range(3_000_000))
        wall, user, system, rss, _ = link.usage
        self.assertGreater(user + system, 0)
        self.assertLessEqual(user + system, wall + 20_000)
        self.assertGreater(rss, 1000)


class Printing(WorkerCase):
    def test_output_comes_before_the_answer_and_is_whole(self):
        link = self.worker()
        self.assertEqual(link.call(jobs.print_everywhere, "x")[0], payload.VALUE)
        expected = b"print x\nno end of line x buffer os.write child"
        self.assertEqual(b"".join(link.printed().values()), expected)
        link.other = []
        link.call(jobs.print_unfinished, "abc")
        self.assertEqual(b"".join(link.printed().values()), b"abc")

    def test_output_is_live(self):
        link = self.worker()
        link.run(call(jobs.print_and_wait, "now", self.path("go")))
        _, control, data = link.wait(wire.OUTPUT)
        self.assertEqual((wire.parse_output(control), data), ((1, 1, wire.STDOUT), b"now\n"))
        self.touch("go")
        self.assertEqual(link.result()[0], payload.VALUE)

    def test_more_output_than_a_pipe_holds(self):
        link = self.worker()
        link.call(jobs.print_much, 5_000_000)
        self.assertEqual(sum(map(len, link.printed().values())), 5_000_000)

    def test_a_thread_prints_while_the_job_waits(self):
        link = self.worker()
        link.run(call(jobs.flood_while_waiting, self.path("go")))
        size = 0
        while size < 1_000_000:
            size += len(link.wait(wire.OUTPUT)[2])
        self.touch("go")
        self.assertEqual(link.result()[0], payload.VALUE)

    def test_stderr_is_left_alone(self):
        link = self.worker()
        link.call(jobs.complain, "hm")
        self.assertEqual(link.printed(), {})
        link.send(wire.drain())
        link.wait(wire.WORKER_BYE)
        self.assertEqual(link.stderr(), "hm\n")

    def test_stdin_is_empty(self):
        self.assertEqual(self.worker().call(jobs.stdin), (payload.VALUE, ("", b"")))

    def test_a_job_may_close_its_stdout(self):
        link = self.worker()
        link.call(jobs.close_stdout)
        self.assertEqual(link.call(jobs.add, 1), (payload.VALUE, 1))
        link.send(wire.drain())
        link.wait(wire.WORKER_BYE)
        self.assertEqual(link.process.wait(), 0)


class WhileAJobRuns(WorkerCase):
    """Each once with a job that sleeps and once with one that computes."""

    def running(self):
        for function in jobs.wait, jobs.compute:
            link = self.worker()
            name = "go" + function.__name__
            with self.subTest(function.__name__):
                yield link, function, self.path(name), lambda: self.touch(name)

    def test_earlier_answers_do_not_wait(self):
        for link, function, path, go in self.running():
            link.run(call(jobs.add, 1), call(jobs.add, 2), call(function, path))
            self.assertEqual(link.result(), (payload.VALUE, 1))
            self.assertEqual(link.result(), (payload.VALUE, 2))
            go()
            self.assertEqual(link.result(), (payload.VALUE, None))

    def test_it_is_announced_and_pings_are_answered(self):
        for link, function, path, go in self.running():
            link.run(call(function, path))
            self.assertEqual(wire.parse_pair(link.wait(wire.STARTED)[1]), (1, 1))
            for number in 5, 6:
                link.send(wire.ping(number))
                self.assertEqual(wire.parse_number(link.wait(wire.PONG)[1]), number)
            go()
            self.assertEqual(link.result(), (payload.VALUE, None))

    def test_jobs_are_recalled(self):
        for link, function, path, go in self.running():
            link.run(call(function, path), *[call(jobs.add, n) for n in range(3)])
            link.wait(wire.STARTED)
            link.send(wire.recall([(1, 1), (2, 1), (4, 1), (9, 1)]))
            self.assertEqual(wire.parse_pairs(link.wait(wire.RECALLED)[1]), [(2, 1), (4, 1)])
            go()
            self.assertEqual(link.result(), (payload.VALUE, None))
            self.assertEqual(link.result(), (payload.VALUE, 1))

    def test_jobs_are_added_and_cancelled(self):
        for link, function, path, go in self.running():
            link.run(call(function, path))
            link.wait(wire.STARTED)
            link.run(call(jobs.add, 2), call(jobs.add, 3))
            link.send(wire.cancel(2, 1))
            self.assertEqual(link.result(), (wire.CANCELLED, b""))
            go()
            self.assertEqual(link.result(), (payload.VALUE, None))
            self.assertEqual(link.result(), (payload.VALUE, 3))

    def test_the_running_job_is_cancelled(self):
        for link, function, path, _ in self.running():
            for _ in range(5):
                (job,) = link.run(call(function, path))
                link.wait(wire.STARTED)
                link.send(wire.cancel(job, 1))
                self.assertEqual(link.result(), (wire.CANCELLED, b""))
                self.assertEqual(link.call(jobs.add, 1), (payload.VALUE, 1))

    def test_sigint_is_ignored(self):
        for link, function, path, go in self.running():
            os.kill(link.process.pid, signal.SIGINT)
            link.run(call(function, path))
            link.wait(wire.STARTED)
            os.kill(link.process.pid, signal.SIGINT)
            go()
            self.assertEqual(link.result(), (payload.VALUE, None))

    def test_a_result_in_spite_of_cancelling_counts(self):
        link = self.worker()
        link.run(call(jobs.catch_cancellation, self.path("started")))
        wait_for(lambda: os.path.exists(self.path("started")))
        link.send(wire.cancel(1, 1))
        self.assertEqual(link.result(), (payload.VALUE, "caught"))

    def test_cancelling_that_is_slow_is_cancelling(self):
        link = self.worker()
        link.run(call(jobs.ignore_cancellation, self.path("started"), self.path("end")))
        wait_for(lambda: os.path.exists(self.path("started")))
        link.send(wire.cancel(1, 1) + wire.cancel(1, 1))
        link.send(wire.ping(1))
        link.wait(wire.PONG)
        self.touch("end")
        self.assertEqual(link.result(), (wire.CANCELLED, b""))

    def test_an_import_is_not_cancelled_halfway(self):
        # As packages do: what one part of it has brought in cannot be brought in again.
        os.mkdir(self.path("package"))
        started, end = self.path("started"), self.path("end")
        with open(self.path("package/part.py"), "w"):
            pass
        with open(self.path("package/__init__.py"), "w") as file:
            file.write("from .part import *\nimport worker_jobs\nopen(%r, 'w').close()\n" % started)
            file.write("worker_jobs.wait(%r)\nname = part.__name__\n" % end)
        link = self.worker()
        link.call(eval, "__import__('sys').path.insert(0, %r)" % self.folder)
        (job,) = link.run(call(eval, "__import__('package') and __import__('time').sleep(1000)"))
        wait_for(lambda: os.path.exists(started))
        link.send(wire.cancel(job, 1) + wire.ping(1))
        link.wait(wire.PONG)
        self.touch("end")
        self.assertEqual(link.result(), (wire.CANCELLED, b""))  # behind the import
        self.assertEqual(link.call(eval, "__import__('package').name"), (payload.VALUE, "package.part"))

    def test_cancel_is_for_one_job_only(self):
        link = self.worker()
        for _ in range(200):
            (job,) = link.run(call(jobs.add, 1))
            link.send(wire.cancel(job, 1))
            self.assertIn(link.result(), [(payload.VALUE, 1), (wire.CANCELLED, b"")])
            self.assertEqual(link.call(jobs.sleep, 0.0), (payload.VALUE, None))

    def test_jobs_of_every_length(self):
        """Around the times at which the watcher looks, takes the link over, and is to give it back."""
        link = self.worker()
        work = [(0.0004 * n, computing, str(n) if n % 3 else "") for n in range(20) for computing in (False, True)]
        for _ in range(3):
            link.other = []
            link.run(*[call(jobs.busy, *arguments) for arguments in work])
            link.send(wire.ping(1))
            for arguments in work:
                self.assertEqual(link.result(), (payload.VALUE, arguments[2]))
            expected = [text for _, _, text in work if text]
            self.assertEqual(b"".join(link.printed().values()).decode().split(), expected)
            self.assertEqual([kind for kind, _, _ in link.other].count(wire.PONG), 1)

    def test_pause(self):
        link = self.worker()
        link.send(wire.pause())
        link.run(call(jobs.add, 1))
        link.send(wire.ping(1))
        self.assertEqual(link.next()[0], wire.PONG)
        link.send(wire.recall([(9, 9)]))
        self.assertEqual(link.next()[0], wire.RECALLED)
        link.send(wire.resume())
        self.assertEqual(link.result(), (payload.VALUE, 1))

    def test_progress(self):
        link = self.worker()
        link.run(call(jobs.report, 1000), attempt=3)
        self.assertEqual(link.result(), (payload.VALUE, 3))
        reports = [wire.parse_progress(control) for kind, control, _ in link.other if kind == wire.PROGRESS]
        self.assertLess(len(reports), 20)
        self.assertEqual(reports[-1], (1, 3, 1000, 1000))


class Transfers(WorkerCase):
    def test_inputs_in_chunks(self):
        link = self.worker()
        data = call(len, b"x" * (3 * wire.MAX_CHUNK))
        pieces = [data[at : at + wire.MAX_CHUNK] for at in range(0, len(data), wire.MAX_CHUNK)]
        link.send(wire.run_many([wire.JOB_ENTRY.pack(1, 1, 0, wire.RAW, len(data), len(pieces[0]))], pieces[:1]))
        link._jobs = 1
        link.run(call(jobs.add, 5))
        for piece in pieces[1:-1]:
            link.send(wire.input_chunk(1, 1, piece))
        credited = 0
        while credited < len(pieces) - 2:
            credited += wire.parse_credit(link.wait(wire.INPUT_CREDIT)[1])[2]
        link.send(wire.input_chunk(1, 1, pieces[-1]))
        self.assertEqual(link.result(), (payload.VALUE, 3 * wire.MAX_CHUNK))
        self.assertEqual(link.result(), (payload.VALUE, 5))

    def test_a_job_that_waits_for_input_can_be_cancelled_or_recalled(self):
        link = self.worker()
        for ask, kind in (wire.cancel(1, 1), wire.DONE_MANY), (wire.recall([(1, 1)]), wire.RECALLED):
            link.send(wire.run_many([wire.JOB_ENTRY.pack(1, 1, 0, wire.RAW, 100, 1)], [b"x"]))
            link.send(wire.input_chunk(1, 1, b"y"))
            link.wait(wire.INPUT_CREDIT)
            link.send(ask)
            link.wait(kind)
            link.send(wire.input_chunk(1, 1, b"late"))
        link._jobs = 1
        self.assertEqual(link.call(jobs.add, 1), (payload.VALUE, 1))

    def test_long_results_need_credit(self):
        link = self.worker()
        link.run(call(bytes, 10 * wire.MAX_CHUNK))
        chunks = [link.wait(wire.RESULT_CHUNK) for _ in range(wire.CREDIT)]
        link.send(wire.ping(1))
        link.wait(wire.PONG)
        self.assertNotIn(wire.RESULT_CHUNK, [kind for kind, _, _ in link.frames])  # no fifth one
        link.send(wire.result_credit(1, 1, 4))
        size = sum(len(data) for _, _, data in chunks)
        _, outcome, data = link.answer()
        size += len(data)
        self.assertEqual(outcome, wire.OK)
        self.assertGreater(size, 10 * wire.MAX_CHUNK)

    def test_a_result_that_is_too_large(self):
        link = self.worker(max_payload=300_000)
        outcome, error = link.call(bytes, 400_000)
        self.assertEqual((outcome, wire.parse_task_error(error)[3]), (wire.FAILED, wire.TOO_LARGE))
        self.assertEqual(link.call(len, b"x" * 200_000), (payload.VALUE, 200_000))
        link = self.worker(max_payload=100)
        self.assertEqual(link.call(bytes, 50)[0], payload.VALUE)
        self.assertEqual(link.call(bytes, 100)[0], wire.FAILED)

    @unittest.skipUnless(segments.WORTHWHILE, "no segments here")
    def test_segments(self):
        pool = segments.Segments()
        self.addCleanup(pool.close)
        link = self.worker(pool=pool)
        self.assertEqual(link.ready[3], ["call", "segments"])
        pool.enabled = True
        large = os.urandom(3_000_000)
        before = None
        for turn in range(300):
            data, lease = payload.encode_call(payload.CALL, 0, (jobs.echo, (large,), {}), pool)
            self.assertLess(len(data), 1000)
            link.run(data)
            self.assertEqual(link.result(lease), (payload.VALUE, large))
            lease.release(True)
            if turn in (10, 299):
                there = link.call(jobs.descriptors)[1], sorted(os.listdir("/proc/self/fd"))
                self.assertIn(before, (None, there))
                before = there

    def test_a_remote_worker_uses_none_and_acknowledges(self):
        pool = segments.Segments()
        self.addCleanup(pool.close)
        link = self.worker(pool=pool, link=wire.REMOTE)
        self.assertEqual((link.ready[3], link.ready[4]), (["call"], None))
        for number in 1, 2:
            link.run(call(jobs.add, number), call(jobs.add, number))
            self.assertEqual(wire.parse_number(link.wait(wire.WORKER_ACK)[1]), number)
            link.send(wire.ack(number))
            self.assertEqual(link.result(), (payload.VALUE, number))
            self.assertEqual(link.result(), (payload.VALUE, number))


class Ends(WorkerCase):
    def test_drain(self):
        link = self.worker()
        link.run(call(jobs.say_at_exit, "the end"), call(jobs.add, 1))
        link.send(wire.drain())
        self.assertEqual(link.result(), (payload.VALUE, None))
        self.assertEqual(link.result(), (payload.VALUE, 1))
        self.assertEqual(link.wait(wire.OUTPUT)[2], b"the end\n")
        self.assertEqual(link.wait(wire.WORKER_BYE), (wire.WORKER_BYE, b"", b""))
        self.assertEqual((link.process.wait(), link.stderr()), (0, ""))

    def test_bye_and_end_of_file_leave_nothing(self):
        for busy in False, True:
            for end in "bye", "eof", "kill":
                with self.subTest(busy=busy, end=end):
                    link = self.worker()
                    child = None
                    if busy:
                        path = self.path("child" + end)
                        link.run(call(jobs.start_child, path))
                        wait_for(lambda: os.path.exists(path))
                        with open(path) as file:
                            child = int(file.read())
                        self.assertTrue(alive(child))
                    if end == "bye":
                        link.send(wire.bye())
                    else:
                        os.close(os.dup(link.to_worker))
                        link.process.stdin.close()
                    status = link.process.wait(10)
                    if end == "bye":
                        self.assertEqual(status, 0)
                    if child:
                        wait_for(lambda: not alive(child), "the child's end")

    def test_violations(self):
        entry = wire.JOB_ENTRY.pack(1, 1, 0, wire.RAW, 0, 0)
        for bad in (
            b"printed text\n",
            wire.ready("b", 1, 1, []),
            wire.hello("again", 0, 0, 1, False),
            wire.init(b""),
            wire.run_many([entry, entry], [b"", b""]),
            wire.drain() + wire.run_many([entry], [b""]),
            wire.resize(2),
            wire.run_many_with(wire.job_options(), [entry], [b""]),
            wire.frame(wire.PING, b"short"),
        ):
            with self.subTest(bad[:30]):
                link = self.worker()
                if bad.startswith(wire.drain()):  # it would be gone before the rest comes
                    link.run(call(jobs.wait, self.path("never")))
                    link._jobs = 1
                link.send(bad)
                self.assertEqual(link.process.wait(10), 76)
                self.assertIn("protocol error", link.stderr())

    def test_a_violation_while_a_job_runs(self):
        link = self.worker()
        link.run(call(jobs.wait, self.path("never")))
        link.wait(wire.STARTED)
        link.send(b"printed text\n")
        self.assertEqual(link.process.wait(10), 76)

    def test_the_page_tells_what_ran_and_holds_what_was_done(self):
        link = self.worker()
        pid, page = link.process.pid, link.ready[4]
        file = open("/proc/%d/fd/%d" % (pid, page), "rb")
        self.addCleanup(file.close)
        path = self.path("log")
        work = [call(jobs.append, path, str(n)) for n in range(1, 51)]
        link.run(*work[:40], call(jobs.die, 3), *work[40:])
        self.assertEqual(link.process.wait(10), 3)
        stream = b"".join(iter(lambda: os.read(link.from_worker, 1 << 16), b""))
        job, attempt, _, position, number = struct.unpack("<QIIQI", file.read(28))
        self.assertEqual((job, attempt), (41, 1))
        file.seek(4096)
        held = file.read(number)
        # The test's link has read the frames before the jobs' answers, Ready above all.
        before = len(wire.ready(*link.ready))
        skip = before + len(stream) - position
        if 0 <= skip < number:
            stream += held[skip:]
        frames = wire.FrameReader().feed(stream)
        answers = [wire.parse_done_many(control, data)[0] for kind, control, data in frames if kind == wire.DONE_MANY]
        self.assertEqual([answer[0] for answer in answers], list(range(1, 41)))
        with open(path) as log:
            self.assertEqual(len(log.readlines()), 40)

    def test_a_forked_child_is_no_worker(self):
        link = self.worker()
        self.assertEqual(link.call(jobs.fork_and_return), (payload.VALUE, "parent"))
        self.assertEqual(link.call(jobs.add, 1), (payload.VALUE, 1))
        tag, child = link.call(jobs.fork_and_leave)
        self.assertTrue(alive(child))
        os.kill(link.process.pid, signal.SIGKILL)
        # The child has no part in the link: its end is seen although the child lives.
        with self.assertRaises(EOFError):
            link.stderr = lambda: ""
            link.wait(wire.WORKER_BYE)
        os.kill(child, signal.SIGKILL)


class Surroundings(WorkerCase):
    def test_paths_arguments_directory(self):
        link = self.worker()
        argv, folder, path = link.call(jobs.surroundings)[1]
        self.assertEqual((argv, folder), (sys.argv, os.getcwd()))
        self.assertEqual(path, [entry or os.getcwd() for entry in sys.path])

    def test_multiprocessing_finds_its_parent(self):
        import multiprocessing

        key = bytes(multiprocessing.current_process().authkey)
        found = self.worker().call(jobs.identity)[1]
        self.assertEqual(found, (key, "SpawnProcess-1", False, (1,), os.getpid(), True))

    def test_pools_within_a_job(self):
        self.assertEqual(self.worker().call(jobs.nested_pool), (payload.VALUE, 42))

    def test_shared_memory_outlives_the_worker(self):
        from multiprocessing import resource_tracker, shared_memory

        pool = segments.Segments()
        self.addCleanup(pool.close)
        link = self.worker(pool=pool)
        memory = shared_memory.SharedMemory(create=True, size=100)
        self.addCleanup(memory.unlink)
        self.addCleanup(memory.close)
        memory.buf[:5] = b"hello"
        pool.show_tracker(resource_tracker._resource_tracker._fd)  # which has been started after the worker
        self.assertEqual(link.call(jobs.tracker_and_memory, memory.name), (payload.VALUE, (b"hello", None)))
        link.send(wire.drain())
        link.wait(wire.WORKER_BYE)
        self.assertEqual((link.process.wait(), link.stderr()), (0, ""))
        again = shared_memory.SharedMemory(memory.name)
        again.close()

    def test_the_initializer(self):
        link = self.worker(jobs.remember, (5,))
        self.assertEqual(link.call(jobs.remembered), (payload.VALUE, [5]))

    def test_an_initializer_that_prints(self):
        link = self.worker(jobs.print_everywhere, ("i",))
        texts = [(wire.parse_output(c), data) for kind, c, data in link.frames if kind == wire.OUTPUT]
        self.assertEqual({pair for pair, _ in texts}, {(0, 0, 0)})
        self.assertIn(b"print i\n", b"".join(data for _, data in texts))

    def test_an_initializer_that_fails(self):
        for function, argument in (jobs.fail, "bad start"), (jobs.leave, jobs.Unloadable()):
            link = self.worker(function, (argument,), until_ready=False)
            self.assertNotEqual(link.process.wait(10), 0)
            text = link.stderr()
            self.assertIn("Exception in initializer:", text)
            self.assertIn("ValueError", text)

    def script(self, text, *command):
        """Runs a script that has a worker do something and prints the result."""
        import subprocess

        place = os.path.dirname(os.path.abspath(__file__))
        text = "import sys; sys.path.insert(0, %r)\nfrom link import Link, payload, prepare\n%s" % (
            place,
            textwrap.dedent(text),
        )
        options = {}
        if command:
            with open(self.path("script.py"), "w") as file:
                file.write(text)
        else:
            command, options = (sys.executable, "-"), {"input": text}
        done = subprocess.run(
            command,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            timeout=60,
            **options,
        )
        self.assertEqual(done.stderr, "")
        return done.stdout.strip()

    MAIN = """
        class Pair:
            def __init__(self, a, b): self.a, self.b = a, b
        def swap(pair): return Pair(pair.b, pair.a)
        if __name__ == "__main__":
            with Link(init=payload.encode_init(prepare.gather())[0]) as link:
                tag, pair = link.call(swap, Pair(1, 2))
                print(tag, type(pair) is Pair, pair.a, pair.b)
    """

    def test_functions_and_classes_of_a_script(self):
        self.assertEqual(self.script(self.MAIN, sys.executable, "script.py"), "0 True 2 1")

    def test_functions_and_classes_of_a_module_that_is_run(self):
        self.assertEqual(self.script(self.MAIN, sys.executable, "-m", "script"), "0 True 2 1")

    def test_a_main_module_without_a_file(self):
        text = """
            import math
            with Link(init=payload.encode_init(prepare.gather())[0]) as link:
                print(prepare.main_can_be_imported(), link.call(math.sqrt, 4), link.call(abs, -1))
        """
        self.assertEqual(self.script(text), "False (0, 2.0) (0, 1)")

    def test_functions_and_classes_that_travel_by_value(self):
        try:
            import cloudpickle  # noqa: F401
        except ImportError:
            self.skipTest("cloudpickle is not installed")
        text = """
            class Pair:
                def __init__(self, a, b): self.a, self.b = a, b
            def swap(pair): return Pair(pair.b, pair.a)
            factor = 3
            with Link(init=payload.encode_init(prepare.gather())[0]) as link:
                link.run(payload.encode_call(payload.CALL, 0, (swap, (Pair(1, 2),), {}), None, "main")[0])
                tag, pair = link.result()
                print(tag, type(pair) is Pair, pair.a, pair.b)
                link.run(payload.encode_call(payload.CALL, 0, (lambda x: factor * x, (2,), {}), None, True)[0])
                print(link.result())
        """
        self.assertEqual(self.script(text), "0 True 2 1\n(0, 6)")

    def test_a_main_module_that_starts_workers_without_a_guard(self):
        text = """
            def work(): return 1
            with Link(init=payload.encode_init(prepare.gather())[0]) as link:
                tag, data = link.call(work)
                print(tag, b"if __name__" in data)
        """
        self.assertEqual(self.script(text, sys.executable, "script.py"), "5 True")


if __name__ == "__main__":
    unittest.main()
