"""Inputs, results and Init: both sides in one process, segments in two."""

import array
import os
import pickle
import subprocess
import sys
import unittest
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from orchestrator import _payload as payload
from orchestrator import _segments as segments

LARGE = segments.LARGE


class NeedsTwo(Exception):
    """Has a pickle of which none can be made."""

    def __init__(self, first, second):
        super().__init__("%s and %s" % (first, second))


class Unpicklable(Exception):
    def __reduce__(self):
        raise RuntimeError("no pickle")


class SilentError(Exception):
    def __str__(self):
        raise ValueError("no text")


class Registered:
    """Pickled only by a reducer that is registered with multiprocessing."""

    def __reduce__(self):
        raise TypeError("not this way")


class Raises:
    def __reduce__(self):
        return _raise, ()


def _raise():
    raise SystemExit(3)


class Array:
    """A type with a buffer of its own, as arrays of numbers have it."""

    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        return Array, (pickle.PickleBuffer(self.data),)


def raised(exception, *args):
    """The exception, having been raised."""
    try:
        raise exception(*args)
    except BaseException as error:
        return error


def cause_of(error):
    return str(error.__cause__)


class Calls(unittest.TestCase):
    def test_every_kind(self):
        for kind, value in (
            (payload.CALL, (len, ([1],), {"a": 2})),
            (payload.CALL_BLOB, (([1],), {})),
            (payload.CHUNK, (len, [(1,), (2,)])),
            (payload.CHUNK_BLOB, [(1,), (2,)]),
            (payload.COLUMNS, (pow, [[1, 2], [3, 4]])),
            (payload.COLUMNS_BLOB, [[1, 2], [3, 4]]),
        ):
            blob = 9 if kind % 2 else 0
            data, lease = payload.encode_call(kind, blob, value)
            self.assertIsNone(lease)
            self.assertEqual(payload.decode_call(data, None), (kind, blob, value, None))

    def test_the_bytes_of_a_call(self):
        data, _ = payload.encode_call(payload.CALL_BLOB, 0x0102, ((), {}))
        self.assertEqual(data[:9], b"\x01\x02\x01\0\0\0\0\0\0")
        self.assertEqual(pickle.loads(data[9:]), ((), {}))

    def test_what_has_no_pickle_is_an_error_of_pickle(self):
        for value in (lambda: None), open(os.devnull), raised(Unpicklable):
            with self.assertRaises((pickle.PicklingError, AttributeError, TypeError, RuntimeError)):
                payload.encode_call(payload.CALL, 0, (len, (value,), {}))
            if hasattr(value, "close"):
                value.close()

    def test_without_cloudpickle_by_value_changes_nothing_but_time(self):
        with mock.patch.dict(sys.modules, {"cloudpickle": None}):
            with self.assertRaises((pickle.PicklingError, AttributeError)):
                payload.dumps(lambda: None, None, True)
            self.assertEqual(pickle.loads(payload.dumps(3, None, "main")), 3)


class Reducers(unittest.TestCase):
    """What programs register with multiprocessing counts here too."""

    def setUp(self):
        from multiprocessing import reduction

        self.registered = reduction.ForkingPickler._extra_reducers
        patch = mock.patch.dict(self.registered)
        patch.start()
        self.addCleanup(patch.stop)
        self.register = reduction.ForkingPickler.register

    def test_a_registered_type(self):
        with self.assertRaises(TypeError):
            payload.dumps(Registered())
        self.register(Registered, lambda value: (str, ("one",)))
        self.assertEqual(pickle.loads(payload.dumps([Registered()])), ["one"])
        self.register(Registered, lambda value: (str, ("two",)))
        self.assertEqual(pickle.loads(payload.dumps([Registered()])), ["two"])
        self.assertEqual(payload.decode_result(payload.encode_value(Registered())), (payload.VALUE, "two"))

    def test_copyreg_counts_as_well(self):
        import copyreg

        with mock.patch.dict(copyreg.dispatch_table):
            copyreg.pickle(Registered, lambda value: (str, ("copyreg",)))
            self.assertEqual(pickle.loads(payload.dumps(Registered())), "copyreg")

    def test_a_socket(self):
        import socket

        first, second = socket.socketpair()
        with first, second:
            self.assertTrue(payload.dumps(first))  # its receiver asks this process for it

    def test_one_pickle_knows_nothing_of_the_one_before(self):
        shared = ["x"] * 100
        for _ in range(10):
            self.assertEqual(pickle.loads(payload.dumps((shared, shared))), (shared, shared))
        with self.assertRaises(TypeError):
            payload.dumps((shared, Registered()))
        self.assertEqual(pickle.loads(payload.dumps(shared)), shared)


class Results(unittest.TestCase):
    def setUp(self):
        # Another test may have imported it, and what it pickles is not what is looked at here.
        without = mock.patch.object(payload, "_cloudpickle", return_value=None)
        without.start()
        self.addCleanup(without.stop)

    def test_a_value(self):
        for value in None, 1, "x" * 10_000, [1, {"a": b"2"}]:
            self.assertEqual(payload.decode_result(payload.encode_value(value)), (payload.VALUE, value))

    def test_an_exception_with_its_traceback(self):
        tag, error = payload.decode_result(payload.encode_raised(raised(ValueError, 1, "two")))
        self.assertEqual(tag, payload.RAISED)
        self.assertEqual((type(error), error.args), (ValueError, (1, "two")))
        from concurrent.futures.process import _RemoteTraceback

        self.assertIs(type(error.__cause__), _RemoteTraceback)
        self.assertIn("raise exception(*args)", cause_of(error))
        self.assertTrue(cause_of(error).startswith('\n"""\nTraceback'))

    def test_exceptions_that_are_no_exceptions(self):
        for kind in KeyboardInterrupt, SystemExit, GeneratorExit:
            tag, error = payload.decode_result(payload.encode_raised(raised(kind, 3)))
            self.assertEqual((tag, type(error), error.args), (payload.RAISED, kind, (3,)))

    def test_an_exception_that_cannot_be_made_again_arrives_as_text(self):
        for error, name, text in (
            (raised(NeedsTwo, 1, 2), "NeedsTwo", "1 and 2"),
            (raised(Unpicklable, "why"), "Unpicklable", "why"),
            (raised(SilentError), "SilentError", "<ValueError in its __str__>"),
            (raised(ValueError, lambda: None), "ValueError", None),
            (raised(ValueError, Raises()), "ValueError", None),
        ):
            tag, value = payload.decode_result(payload.encode_raised(error))
            if name == "SilentError":
                self.assertEqual(tag, payload.RAISED)  # it has a pickle
                continue
            self.assertEqual((tag, value[0]), (payload.RAISED_TEXT, name))
            self.assertIn(name, value[2])
            if text is not None:
                self.assertEqual(value[1], text)

    def test_a_value_without_a_pickle_raises(self):
        for value in (lambda: None), raised(Unpicklable):
            with self.assertRaises(Exception):
                payload.encode_value(value)

    def test_a_chunk_of_which_an_item_raised(self):
        data = payload.encode_partial([1, 2], raised(ValueError, "x"))
        self.assertEqual(data[1:5], b"\x02\0\0\0")
        tag, (results, error, as_text) = payload.decode_result(data)
        self.assertEqual((tag, results, type(error), as_text), (payload.PARTIAL, [1, 2], ValueError, False))
        self.assertIn("ValueError: x", cause_of(error))
        data = payload.encode_partial([1], raised(NeedsTwo, 1, 2))
        tag, (results, (name, text, _), as_text) = payload.decode_result(data)
        self.assertEqual((tag, results, name, text, as_text), (payload.PARTIAL, [1], "NeedsTwo", "1 and 2", True))

    def test_a_chunk_of_which_a_result_has_no_pickle(self):
        results = [1, 2, lambda: None, 4]
        for data in payload.encode_results(results), payload.encode_partial(results, raised(ValueError)):
            tag, (before, error, _) = payload.decode_result(data)
            self.assertEqual((tag, before), (payload.PARTIAL, [1, 2]))
            self.assertIsInstance(error, (pickle.PicklingError, AttributeError))

    def test_unpickling_that_raises_is_not_hidden(self):
        with self.assertRaises(SystemExit):
            payload.decode_result(payload.encode_value(Raises()))


@unittest.skipUnless(segments.WORTHWHILE, "no segments here")
class Beside(unittest.TestCase):
    """Large buffers, in segments."""

    def setUp(self):
        self.segments = segments.Segments()
        self.addCleanup(self.segments.close)
        self.segments.enabled = True
        self.neighbour = segments.Neighbour(self.segments.address())

    def there(self, kind, value):
        data, lease = payload.encode_call(kind, 1 if kind % 2 else 0, value, self.segments)
        self.assertIsNotNone(lease)
        self.assertLess(len(data), 1000)
        _, _, found, segment = payload.decode_call(data, self.neighbour)
        return found, segment, lease

    def test_bytes_stay_bytes(self):
        large, small = os.urandom(LARGE), os.urandom(LARGE - 1)
        for kind, value in (
            (payload.CALL_BLOB, ((large, b"small"), {"a": large})),
            (payload.CALL, (len, (large,), {})),
            (payload.CHUNK, (len, [(large, 1), (large, 2)])),
            (payload.COLUMNS_BLOB, [[large, large], [b"x", b"y"]]),
        ):
            found, segment, lease = self.there(kind, value)
            self.assertEqual(found, value)
            for result in large, [large, 1], (large, large):
                data = payload.encode_value(result, segment)
                self.assertLess(len(data), 1000)
                self.assertEqual(payload.decode_result(data, lease), (payload.VALUE, result))
            self.assertEqual(payload.decode_result(payload.encode_value(small, segment), lease)[1], small)
            lease.release(True)

    def test_other_buffers_can_be_written_to(self):
        for size in LARGE, 1 << 20, 5_000_001:
            data = bytearray(os.urandom(size))
            (args, _), segment, lease = self.there(payload.CALL_BLOB, ((Array(data), Array(data)), {}))
            for found in args:
                view = memoryview(found.data)
                self.assertEqual(bytes(view), bytes(data))
                view[:] = bytes(size)  # of this one alone
            result = payload.encode_value([Array(data)], segment)
            lease_result = payload.decode_result(result, lease)[1]
            lease.release(True)
            self.there(payload.CALL_BLOB, ((Array(bytearray(size)),), {}))[2].release(True)
            self.assertEqual(bytes(memoryview(lease_result[0].data)), bytes(data))

    def test_empty_and_shaped_buffers(self):
        shaped = memoryview(array.array("d", range(60_000))).cast("B").cast("d", [300, 200])
        (args, _), _, lease = self.there(payload.CALL_BLOB, ((Array(shaped), Array(b"")), {}))
        self.assertEqual(bytes(args[0].data), shaped.tobytes())
        self.assertEqual(bytes(args[1].data), b"")
        lease.release(True)

    def test_nothing_is_left_open_and_segments_are_used_again(self):
        large = os.urandom(LARGE)
        self.there(payload.CALL_BLOB, ((large,), {}))[2].release(True)
        before = sorted(os.listdir("/proc/self/fd"))
        for _ in range(2000):
            _, segment, lease = self.there(payload.CALL_BLOB, ((large,), {}))
            payload.decode_result(payload.encode_value(large, segment), lease)
            lease.release(True)
        self.assertEqual(sorted(os.listdir("/proc/self/fd")), before)

    def test_a_lease_that_ends_badly_is_not_used_again(self):
        _, segment, lease = self.there(payload.CALL_BLOB, ((b"x" * LARGE,), {}))
        lease.release(False)
        lease.release(False)
        self.assertEqual(self.segments._free, [])
        self.assertEqual(self.segments._leased, 0)

    def test_too_many_leases_go_by_the_link(self):
        large = os.urandom(LARGE)
        leases = [self.there(payload.CALL_BLOB, ((large,), {}))[2] for _ in range(64)]
        data, lease = payload.encode_call(payload.CALL_BLOB, 1, ((large,), {}), self.segments)
        self.assertIsNone(lease)
        self.assertEqual(payload.decode_call(data, None)[2], ((large,), {}))
        for lease in leases:
            lease.release(True)
        self.assertLessEqual(len(self.segments._free), 8)

    def test_large_results_are_expected_after_one(self):
        self.assertIsNone(payload.encode_call(payload.CALL_BLOB, 1, ((), {}), self.segments)[1])
        self.segments.saw_result(LARGE)
        data, lease = payload.encode_call(payload.CALL_BLOB, 1, ((), {}), self.segments)
        segment = payload.decode_call(data, self.neighbour)[3]
        result = payload.encode_value(b"x" * LARGE, segment)
        self.assertEqual(payload.decode_result(result, lease)[1], b"x" * LARGE)
        lease.release(True)
        for _ in range(64):
            self.segments.saw_result(10)
        self.assertIsNone(payload.encode_call(payload.CALL_BLOB, 1, ((), {}), self.segments)[1])

    def test_another_process_sees_them_or_knows_that_it_does_not(self):
        script = (
            "import sys; sys.path.insert(0, %r)\n"
            "from orchestrator import _segments\n"
            "pid, board, secret = %r\n"
            "print(_segments.Neighbour((pid, board, secret)).visible,"
            " _segments.Neighbour((pid, board, b'x' * 16)).visible, _segments.Neighbour((pid, 999, secret)).visible)"
        ) % (os.path.dirname(os.path.dirname(os.path.abspath(__file__))), self.segments.address())
        found = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True).stdout
        self.assertEqual(found.split(), [b"True", b"False", b"False"])

    def test_the_tracker_is_shown(self):
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        self.addCleanup(os.close, write)
        self.assertIsNone(self.neighbour.tracker())
        self.segments.show_tracker(write)
        opened = self.neighbour.tracker()
        os.write(opened, b"hello")
        os.close(opened)
        self.assertEqual(os.read(read, 100), b"hello")


class Init(unittest.TestCase):
    def test_round_trip(self):
        data, lease = payload.encode_init({"a": 1}, None, print, (1, "x"))
        self.assertIsNone(lease)
        preparation, neighbour, start = payload.decode_init(data)
        self.assertEqual((preparation, neighbour), ({"a": 1}, None))
        self.assertEqual(pickle.loads(start), (print, (1, "x")))
        self.assertIsNone(payload.decode_init(payload.encode_init({})[0])[2])

    def test_an_initializer_without_a_pickle(self):
        with self.assertRaises((pickle.PicklingError, AttributeError)):
            payload.encode_init({}, None, lambda: None)

    @unittest.skipUnless(hasattr(os, "memfd_create"), "no memory files here")
    def test_large_initargs(self):
        pool = segments.Segments()
        self.addCleanup(pool.close)
        large = os.urandom(3_000_000)
        data, lease = payload.encode_init({}, pool, len, (large,))
        self.assertLess(len(data), 10_000)
        self.assertEqual(pickle.loads(payload.decode_init(data)[2]), (len, (large,)))
        lease.release(False)
        with self.assertRaises(ValueError):
            payload.encode_init({}, None, len, (large,))


if __name__ == "__main__":
    unittest.main()
