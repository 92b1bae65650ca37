"""Frames and control parts: the worked examples of docs/protocol.md, round trips, and what has to be refused."""

import os
import re
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from orchestrator import _wire as wire

PAGE = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "protocol.md")
USAGE = (1, 2, 3, 4, 5)


def example(title):
    """The bytes of the example under a comment that begins like this. The page may be older than the code (None)."""
    with open(PAGE, encoding="utf-8") as page:
        text = page.read()
    found = re.search(r"^# %s[^\n]*\n((?:# [^\n]*\n)*)((?:[0-9a-f ]+\n)+)" % re.escape(title), text, re.MULTILINE)
    return bytes.fromhex(found.group(2)) if found else None


def only_frame(data):
    reader = wire.FrameReader()
    (frame,) = reader.feed(data)
    return frame


class Examples(unittest.TestCase):
    """What the page shows is what is written and read."""

    def check(self, title, frame):
        expected = example(title)
        if expected is None:
            self.skipTest("the page does not have it yet")
        self.assertEqual(frame.hex(), expected.hex(), title)

    def test_to_a_worker(self):
        self.check("Hello:", wire.hello("x1", 5, wire.REMOTE, 0x1000, True))
        headers = [
            wire.JOB_ENTRY.pack(0x102, 3, 7, wire.JSON, 2, 2),
            wire.JOB_ENTRY.pack(0x102, 3, 7, wire.JSON, 9, 1),
        ]
        self.check("RunMany: two", wire.run_many(headers, [b"42", b"1"]))
        self.check("InputChunk:", wire.input_chunk(0x102, 3, b"zz"))
        self.check("Recall:", wire.recall([(0x102, 3)]))
        self.check("Ping:", wire.ping(6))
        self.check("Drain", wire.drain())

    def test_to_an_agent(self):
        options = wire.job_options(1500, 100, 2, None, -1)
        self.check("RunManyWith", wire.run_many_with(options, [wire.JOB_ENTRY.pack(0x102, 3, 7, 1, 2, 2)], [b"42"]))
        self.check("Resize:", wire.resize(3))

    def test_from_a_worker(self):
        self.check("Ready:", wire.ready("w", 0x1234, 1, ["fib"], 9))
        self.check("Credit:", wire.input_credit(0x102, 3, 2))
        self.check("Output:", wire.output(0x102, 3, wire.STDERR, b"hi"))
        entries = [
            wire.done_entry(0x102, 3, wire.OK, None, USAGE, 2),
            wire.done_entry(0x102, 3, wire.FAILED, -1, USAGE, 0),
        ]
        self.check("DoneMany:", wire.done_many(entries, [b"55"]))
        self.check("Recalled:", wire.recalled([]))
        self.check("Bye", wire.worker_bye())

    def test_payloads(self):
        self.check("TaskError:", wire.task_error(wire.UNKNOWN_TASK, "no task 9"))
        self.check("Death:", wire.death("no", None, 11, 2, b"x"))

    def test_the_version_is_the_one_of_the_page(self):
        with open(PAGE, encoding="utf-8") as page:
            version = int(re.search(r"version (\d+)", page.readline()).group(1))
        if version < wire.VERSION:
            self.skipTest("the page is older")
        self.assertEqual(version, wire.VERSION)


class RoundTrips(unittest.TestCase):
    def check(self, frame, kind, parse, expected, payload=b""):
        found, control, data = only_frame(frame)
        self.assertEqual((found, data), (kind, payload))
        self.assertEqual(parse(control), expected)
        for end in range(len(control)):  # nothing shorter is understood
            with self.assertRaises(wire.Violation):
                parse(control[:end])
        with self.assertRaises(wire.Violation):
            parse(control + b"\0")

    def test_single_messages(self):
        self.check(wire.hello("b\u00fc", 1, 0, 2**40, False), wire.HELLO, wire.parse_hello, ("b\u00fc", 1, 0, 2**40, False))
        self.check(wire.input_chunk(1, 2, b"x"), wire.INPUT_CHUNK, wire.parse_pair, (1, 2), b"x")
        self.check(wire.result_credit(1, 2, 3), wire.RESULT_CREDIT, wire.parse_credit, (1, 2, 3))
        self.check(wire.cancel(2**64 - 1, 2), wire.CANCEL, wire.parse_pair, (2**64 - 1, 2))
        self.check(wire.recall([(1, 2), (3, 4)]), wire.RECALL, wire.parse_pairs, [(1, 2), (3, 4)])
        self.check(wire.ack(9), wire.ACK, wire.parse_number, 9)
        self.check(wire.resize(4), wire.RESIZE, wire.parse_slots, 4)
        ready = ("b", 1, 2, ["a", "\u00e4"], None)
        self.check(wire.ready(*ready), wire.READY, wire.parse_ready, ready)
        self.check(wire.started(1, 2), wire.STARTED, wire.parse_pair, (1, 2))
        self.check(wire.output(1, 2, 0, b"hi"), wire.OUTPUT, wire.parse_output, (1, 2, 0), b"hi")
        self.check(wire.progress(1, 2, 3, 4), wire.PROGRESS, wire.parse_progress, (1, 2, 3, 4))
        self.check(wire.pong(5), wire.PONG, wire.parse_number, 5)

    def test_payloads(self):
        for error in ("m", None, [], wire.ERROR), ("\u20ac", "f:1", ["a", "b"], wire.UNDECODABLE):
            message, location, chain, kind = error
            self.assertEqual(wire.parse_task_error(wire.task_error(kind, message, location, chain)), error)
        for death in ("m", 3, None, 1, b""), ("m", None, 9, 7, b"last\n"):
            self.assertEqual(wire.parse_death(wire.death(*death)), death)

    def test_a_task_error_fits_into_an_answer_whatever_is_in_it(self):
        data = wire.task_error(wire.ERROR, "\U0001f600" * 10**6, "\u20ac" * 10**6, ["\U0001f600" * 10**6] * 100)
        self.assertLess(len(data), wire.MAX_CHUNK)
        self.assertEqual(wire.parse_task_error(data)[3], wire.ERROR)
        wire.parse_task_error(wire.task_error(wire.ERROR, "\ud800"))  # no UTF-8 has it

    def test_jobs_and_answers(self):
        jobs = [(1, 1, 0, wire.RAW, 5, 3), (2, 1, 0, wire.JSON, 0, 0)]
        headers = [wire.JOB_ENTRY.pack(*job) for job in jobs]
        _, control, payload = only_frame(wire.run_many(headers, [b"abc", b""]))
        self.assertEqual(wire.parse_run_many(control, payload), jobs)
        options = (None, 0, 0, 2**33, 5)
        _, control, payload = only_frame(wire.run_many_with(wire.job_options(*options), headers, [b"abc", b""]))
        self.assertEqual(wire.parse_run_many_with(control, payload), (options, jobs))

        answers = [(1, 1, wire.OK, None, USAGE, 2), (2, 1, wire.CANCELLED, None, USAGE, 0)]
        for answers in answers, answers + [(3, 1, wire.SIGNALED, -9, USAGE, 1), (4, 2, wire.OOM, None, USAGE, 0)]:
            entries = [wire.done_entry(*answer) for answer in answers]
            payload = b"x" * sum(answer[-1] for answer in answers)
            _, control, payload = only_frame(wire.done_many(entries, [payload]))
            self.assertEqual(wire.parse_done_many(control, payload), answers)

    def test_a_blob_in_pieces(self):
        for size in 0, 1, wire.MAX_CHUNK, wire.MAX_CHUNK + 1, 3 * wire.MAX_CHUNK:
            data = os.urandom(size)
            frames = wire.FrameReader().feed(wire.blob(7, data))
            self.assertEqual(b"".join(payload for _, _, payload in frames), data)
            more = [wire.parse_blob(control) for _, control, _ in frames]
            self.assertEqual(more, [(7, True)] * (len(frames) - 1) + [(7, False)])


class Streams(unittest.TestCase):
    def test_frames_in_pieces_of_any_size(self):
        frames = [wire.ping(1), wire.input_chunk(1, 1, b"x" * 1000), wire.drain(), wire.init(b"y" * 10)]
        stream = b"".join(frames)
        expected = wire.FrameReader().feed(stream)
        self.assertEqual(len(expected), len(frames))
        for size in range(1, len(stream)):
            reader, found = wire.FrameReader(), []
            for at in range(0, len(stream), size):
                found += reader.feed(stream[at : at + size])
            self.assertEqual(found, expected, size)

    def test_a_large_frame_asks_for_large_reads(self):
        reader = wire.FrameReader()
        self.assertEqual(reader.wanted(100), 100)
        frame = wire.input_chunk(1, 1, b"x" * 10_000)
        reader.feed(frame[:50])
        self.assertEqual(reader.wanted(100), len(frame) - 50)
        self.assertEqual(len(reader.feed(frame[50:])), 1)
        self.assertEqual(reader.wanted(100), 100)

    def test_what_is_no_frame_is_refused(self):
        good = wire.ping(1)
        bad = [
            b"p",
            b"\xb1p",
            b"\xb1\x0f\x0c\x01",
            b"print\n" * 10,
            good + b"x",
            good[:-1] + b"x",
            b"\xb1\x0f\x0c\0" + (0xFFFFFFFF).to_bytes(4, "little") * 2,
            wire.frame(wire.INIT, b"", b"x" * wire.MAX_FRAME),
            wire.frame(wire.DRAIN, b"x"),
            wire.frame(wire.PING, b"\0" * 8, b"x"),
        ]
        for data in bad:
            with self.assertRaises(wire.Violation, msg=data[:20]):
                wire.FrameReader().feed(data)

    def test_the_greeting_is_found_behind_anything(self):
        self.assertEqual(wire.find_greeting(wire.greeting()), (wire.VERSION, len(wire.greeting())))
        noise = b"motd\norchestrator-worker protocol x\n"
        self.assertEqual(wire.find_greeting(noise + b"orchestrator-worker protocol 12\r\nrest"), (12, len(noise) + 33))
        self.assertIsNone(wire.find_greeting(noise + b"orchestrator-worker protocol 12"))


class Refusals(unittest.TestCase):
    def check(self, parse, *parts):
        with self.assertRaises(wire.Violation):
            parse(*parts)

    def test_lengths_that_lie(self):
        huge = (2**63).to_bytes(8, "little")
        self.check(wire.parse_hello, huge)
        self.check(wire.parse_pairs, huge)
        self.check(wire.parse_done_many, huge, b"")
        self.check(wire.parse_ready, wire.ready("b", 1, 1, [])[12:-1].replace(b"\0" * 8 + b"\0", huge + b"\0"))

    def test_jobs(self):
        for job in (0, 1, 0, 2, 0, 0), (1, 1, 0, 3, 0, 0), (1, 1, 0, 2, 0, 1), (1, 1, 0, 2, 9, 9):
            _, control, payload = only_frame(wire.run_many([wire.JOB_ENTRY.pack(*job)], [b"x"]))
            self.check(wire.parse_run_many, control, payload)

    def test_answers(self):
        for outcome in 13, wire.FAILED:
            entry = wire.DONE_ENTRY.pack(1, 1, outcome, *USAGE, 0)
            _, control, payload = only_frame(wire.done_many([entry], []))
            self.check(wire.parse_done_many, control, payload)
        _, control, payload = only_frame(wire.done_many([wire.done_entry(1, 1, 0, None, USAGE, 2)], [b"x"]))
        self.check(wire.parse_done_many, control, payload)

    def test_numbers_that_are_none(self):
        self.check(wire.parse_slots, b"\0\0\0\0")
        self.check(wire.parse_blob, b"\0" * 8 + b"\2")
        self.check(wire.parse_output, b"\0" * 12 + b"\2\0\0\0")
        self.check(wire.parse_ready, wire.ready("b", 1, 0, [])[12:-1])


if __name__ == "__main__":
    unittest.main()
