"""The link's protocol state, without a link: what is said, and what is made of what arrives."""

import sys
import unittest

import executor_case  # finds the package

from orchestrator import _wire as wire
from orchestrator._connection import Bye, Connection, Done, Output, Ready, Recalled, WrongVersion

USAGE = (7, 0, 0, 0, 0)


def said(connection):
    """The frames that wait to be written; they are, with this."""
    data = b"".join(connection.outgoing)
    connection.wrote(len(data))
    return wire.FrameReader().feed(data)


def connected(**options):
    connection = Connection("test", **options)
    connection.receive(wire.greeting())
    said(connection)
    return connection


def ok(job, data):
    return wire.done_many([wire.done_entry(job, 1, wire.OK, None, USAGE, len(data))], [data])


def plain(event):
    return (type(event), *(getattr(event, name) for name in event.__slots__))


class Starting(unittest.TestCase):
    def test_nothing_is_to_be_written_before_the_greeting(self):
        connection = Connection("test", b"the init")
        self.assertFalse(connection.greeted)
        connection.drain()
        self.assertEqual(connection.receive(b"Last login: today\n" + wire.greeting()[:20]), [])
        self.assertFalse(connection.greeted)
        self.assertEqual(connection.receive(wire.greeting()[20:]), [])
        self.assertTrue(connection.greeted)
        hello, init, drain = said(connection)
        self.assertEqual(wire.parse_hello(hello[1]), ("test", 1, wire.LOCAL, (1 << 63) - 1, True))
        self.assertEqual((init[0], init[2], drain[0]), (wire.INIT, b"the init", wire.DRAIN))

    def test_other_programs_and_versions(self):
        with self.assertRaisesRegex(WrongVersion, "version 4, this package %d" % wire.VERSION):
            Connection("test").receive(b"orchestrator-worker protocol 4\n")
        with self.assertRaisesRegex(wire.Violation, "no agent"):
            Connection("test").receive(b"y\n" * 40_000)

    def test_ready(self):
        connection = connected()
        (ready,) = connection.receive(wire.ready("agent", 5, 2, ["call", "segments"]))
        self.assertEqual(plain(ready), (Ready, 2, ["call", "segments"]))


class Jobs(unittest.TestCase):
    def test_one_and_several(self):
        connection = connected()
        connection.run([(1, b"alone")])
        connection.run([(2, b"b"), (3, b""), (4, b"dd")])
        connection.run([(5, b"e")], wire.job_options(priority=3))
        one, several, special = said(connection)
        self.assertEqual(wire.parse_run_many(*one[1:]), [(1, 1, 0, wire.RAW, 5, 5)])
        self.assertEqual(one, wire.FrameReader().feed(wire.run_many([wire.JOB_ENTRY.pack(1, 1, 0, 2, 5, 5)], [b"alone"]))[0])
        self.assertEqual([entry[0] for entry in wire.parse_run_many(*several[1:])], [2, 3, 4])
        self.assertEqual(special[0], wire.RUN_MANY_WITH)
        self.assertEqual(wire.parse_run_many_with(*special[1:])[0][4], 3)

    def test_many_large_ones_do_not_share_a_frame(self):
        connection = connected()
        connection.run([(n, bytes(40_000)) for n in range(1, 6)])
        self.assertEqual(len(said(connection)), 5)
        connection.run([(n, bytes(30_000)) for n in range(6, 11)])
        self.assertEqual(len(said(connection)), 3)

    def test_large_inputs_wait_for_credit(self):
        connection = connected()
        data = bytes(range(256)) * 8192  # eight chunks of 256 KiB
        connection.run([(1, data)])
        first, *chunks = said(connection)
        self.assertEqual(wire.parse_run_many(*first[1:]), [(1, 1, 0, wire.RAW, len(data), wire.MAX_CHUNK)])
        self.assertEqual([chunk[0] for chunk in chunks], [wire.INPUT_CHUNK] * 4)
        self.assertEqual(connection.receive(wire.input_credit(1, 1, 2)), [])
        chunks += said(connection)
        self.assertEqual(len(chunks), 6)
        connection.receive(wire.input_credit(1, 1, 4))
        chunks += said(connection)
        self.assertEqual(first[2] + b"".join(chunk[2] for chunk in chunks), data)
        connection.receive(wire.input_credit(1, 1, 1))  # of a complete transfer: nothing to do
        self.assertEqual(said(connection), [])

    def test_an_answer_ends_what_is_sent_for_it(self):
        connection = connected()
        connection.run([(1, bytes(8 * wire.MAX_CHUNK))])
        said(connection)
        connection.receive(ok(1, b""))
        connection.receive(wire.input_credit(1, 1, 2))
        self.assertEqual(said(connection), [])

    def test_results_in_chunks(self):
        connection = connected()
        connection.run([(1, b""), (2, b""), (3, b"")])
        said(connection)
        received = wire.result_chunk(1, 1, b"a") + wire.result_chunk(2, 1, b"x") + wire.result_chunk(1, 1, b"b")
        self.assertEqual(connection.receive(received), [])
        credit = said(connection)
        self.assertEqual([wire.parse_credit(frame[1]) for frame in credit], [(1, 1, 1), (2, 1, 1), (1, 1, 1)])
        failed = wire.done_many([wire.done_entry(2, 1, wire.FAILED, 1, USAGE, 1)], [b"y"])
        (done,) = connection.receive(ok(1, b"c") + failed + ok(3, b"z"))
        self.assertEqual(
            done.answers, [(1, 0, None, 7, b"abc"), (2, wire.FAILED, 1, 7, b"y"), (3, 0, None, 7, b"z")]
        )

    def test_events_keep_their_order_in_any_pieces(self):
        connection = connected()
        connection.run([(1, b""), (2, b""), (3, b"")])
        said(connection)
        connection.recall([3])
        data = ok(1, b"one") + wire.output(2, 1, wire.STDERR, b"text") + ok(2, b"two") + wire.recalled([(3, 1)])
        data += wire.started(2, 1) + wire.pong(4) + wire.worker_bye()
        expected = [
            Done([(1, 0, None, 7, b"one")]),
            Output(2, 1, b"text"),
            Done([(2, 0, None, 7, b"two")]),
            Recalled([3]),
            Bye(),
        ]
        events = []
        for at in range(0, len(data), 7):
            events += connection.receive(data[at : at + 7])
        self.assertEqual([plain(event) for event in events], [plain(event) for event in expected])

    def test_frames_that_are_partly_written(self):
        connection = connected()
        connection.run([(1, b"first")])
        connection.run([(2, b"second")])
        whole = b"".join(connection.outgoing)
        written = b""
        while connection.outgoing:
            piece = bytes(b"".join(connection.outgoing)[:13])
            written += piece
            connection.wrote(len(piece))
        self.assertEqual(written, whole)

    def test_violations(self):
        for data in (
            ok(9, b""),
            wire.recalled([]),
            wire.frame(0x55),
            b"Traceback (most recent call last):",
            wire.done_many([wire.DONE_ENTRY.pack(1, 1, 77, *USAGE, 0)], [b""]),
        ):
            with self.subTest(data):
                connection = connected()
                connection.run([(1, b"")])
                with self.assertRaises(wire.Violation):
                    connection.receive(data)
        connection = connected()
        connection.run([(1, b"")])
        connection.receive(ok(1, b""))
        with self.assertRaises(wire.Violation):
            connection.receive(ok(1, b""))


class Remote(unittest.TestCase):
    def test_answers_are_acknowledged(self):
        connection = connected(link=wire.REMOTE)
        connection.run([(1, b""), (2, b"")])
        said(connection)
        connection.receive(ok(1, b"") + ok(2, b""))
        self.assertEqual([(kind, wire.parse_number(control)) for kind, control, _ in said(connection)], [(wire.ACK, 1), (wire.ACK, 2)])


if __name__ == "__main__":
    unittest.main()
