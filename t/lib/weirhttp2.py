"""One request over HTTP/2 with prior knowledge, frame by frame (RFC 9113), for tests in which the
server ends a stream before it has the whole body: clients differ in what they then make of it.

    status, body = exchange(port, "POST", "/v1/messages", {"authorization": "..."}, data)
"""

import socket
import struct

DATA, HEADERS, RST_STREAM, SETTINGS = 0, 1, 3, 4
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def _frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _field(name, value):
    """A literal without indexing (RFC 7541, 6.2.2); at most 126 bytes each."""
    out = b"\0"
    for text in (name.encode(), value.encode()):
        assert len(text) < 127
        out += bytes([len(text)]) + text
    return out


def _status(block):
    """:status comes first: indexed, or a literal with an indexed name."""
    static = {0x88: 200, 0x89: 204, 0x8a: 206, 0x8b: 304, 0x8c: 400, 0x8d: 404, 0x8e: 500}
    while block[0] & 0xe0 == 0x20:
        block = block[1:]
    return static.get(block[0]) or int(block[2:5])


def exchange(port, method, path, headers, body, length=True, timeout=10):
    """(status, body) of the answer. length: send content-length."""
    fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "x")]
    fields += [(name.lower(), value) for name, value in headers.items()]
    if length:
        fields.append(("content-length", str(len(body))))
    out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(SETTINGS, 0, 0)
    out += _frame(HEADERS, END_HEADERS, 1, b"".join(_field(*field) for field in fields))
    for at in range(0, len(body), 16384):
        last = END_STREAM if at + 16384 >= len(body) else 0
        out += _frame(DATA, last, 1, body[at:at + 16384])
    status, text, got = 0, b"", b""
    with socket.create_connection(("127.0.0.1", port), timeout) as s:
        s.sendall(out)
        while True:
            while len(got) < 9 or len(got) < 9 + int.from_bytes(got[:3], "big"):
                piece = s.recv(65536)
                if not piece:
                    return status, text
                got += piece
            size, kind, flags = int.from_bytes(got[:3], "big"), got[3], got[4]
            stream, payload, got = got[5:9], got[9:9 + size], got[9 + size:]
            if kind == SETTINGS and not flags & ACK:
                s.sendall(_frame(SETTINGS, ACK, 0))
            if stream != b"\0\0\0\1":
                continue
            if kind == HEADERS:
                status = _status(payload)
            if kind == DATA:
                text += payload
            if kind == RST_STREAM or (kind in (DATA, HEADERS) and flags & END_STREAM):
                return status, text
