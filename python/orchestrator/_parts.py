"""Control parts' building blocks: bincode with integers of fixed size (docs/protocol.md, section 4)."""

import struct

U64 = struct.Struct("<Q")


class Violation(Exception):
    """The peer broke the protocol: the link has no meaning any more."""


def string(text):
    data = text.encode("utf-8", "replace")
    return U64.pack(len(data)) + data


def optional(layout, value):
    return b"\0" if value is None else b"\1" + struct.pack(layout, value)


class Parts:
    """Takes a control part apart, from front to back."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, layout):
        try:
            (value,) = struct.unpack_from(layout, self.data, self.at)
        except struct.error:
            raise Violation("a control part ends early") from None
        self.at += struct.calcsize(layout)
        return value

    def bytes(self):
        length = self.take("<Q")
        if length > len(self.data) - self.at:
            raise Violation("a length goes beyond the control part")
        self.at += length
        return bytes(self.data[self.at - length : self.at])

    def string(self):
        try:
            return self.bytes().decode("utf-8")
        except UnicodeDecodeError:
            raise Violation("a string is not UTF-8") from None

    def flag(self):
        value = self.take("<B")
        if value > 1:
            raise Violation("a bool is neither 0 nor 1")
        return value == 1

    def variant(self, count):
        value = self.take("<I")
        if value >= count:
            raise Violation("no such variant: %d" % value)
        return value

    def optional(self, layout):
        return self.take(layout) if self.flag() else None

    def strings(self):
        count = self.take("<Q")
        if count > (len(self.data) - self.at) // 8:
            raise Violation("a list is longer than its control part")
        return [self.string() for _ in range(count)]

    def end(self):
        if self.at != len(self.data):
            raise Violation("bytes left over behind a control part")


def exactly(layout, control):
    if len(control) != layout.size:
        raise Violation("a control part of %d bytes instead of %d" % (len(control), layout.size))
    return layout.unpack(control)


def list_of(layout, control, at=0):
    if len(control) < at + 8:
        raise Violation("a control part ends early")
    if U64.unpack_from(control, at)[0] * layout.size != len(control) - at - 8:
        raise Violation("a list is not as long as it says")
    return list(layout.iter_unpack(control[at + 8 :]))
