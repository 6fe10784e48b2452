"""Requests over HTTP/2 with prior knowledge, frame by frame (RFC 9113): what no client would send,
and what a client makes of an answer that ends before the request has.

    answers = exchange(port, [([(":method", "GET"), ...], b"")])
    status, body = answers[1]           # by stream: 1, 3, ...
    status, body = post(port, "/v1/messages", {"authorization": "..."}, data)
"""

import socket

DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def _frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") \
        + payload


def _string(text):
    """RFC 7541, 5.2, up to 253 bytes."""
    text = text.encode()
    return (bytes([len(text)]) if len(text) < 127 else b"\x7f" + bytes([len(text) - 127])) + text


def _status(block):
    """:status comes first: indexed, or a literal with an indexed name."""
    static = {0x88: 200, 0x89: 204, 0x8a: 206, 0x8b: 304, 0x8c: 400, 0x8d: 404, 0x8e: 500}
    while block[0] & 0xe0 == 0x20:
        block = block[1:]
    return static.get(block[0]) or int(block[2:5])


def _request(stream, headers, body):
    block = b"".join(b"\0" + _string(name) + _string(value) for name, value in headers)
    out = _frame(HEADERS, END_HEADERS | (0 if body else END_STREAM), stream, block)
    for at in range(0, len(body), 16384):
        last = END_STREAM if at + 16384 >= len(body) else 0
        out += _frame(DATA, last, stream, body[at:at + 16384])
    return out


def exchange(port, requests, timeout=10):
    """Sends requests (header list, body) as streams 1, 3, ...; {stream: (status, body)} of what
    was answered."""
    out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(SETTINGS, 0, 0)
    for number, (headers, body) in enumerate(requests):
        out += _request(2 * number + 1, headers, body)
    answers = {}
    with socket.create_connection(("127.0.0.1", port), timeout) as s:
        s.sendall(out)
        received = s.makefile("rb")
        ended = 0
        while ended < len(requests):
            head = received.read(9)
            if len(head) < 9:
                break
            payload = received.read(int.from_bytes(head[:3], "big"))
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
            status, text = answers.get(stream, (0, b""))
            if kind == SETTINGS and not flags & ACK:
                s.sendall(_frame(SETTINGS, ACK, 0))
            elif kind == HEADERS:
                answers[stream] = (status or _status(payload), text)
            elif kind == DATA:
                answers[stream] = (status, text + payload)
            elif kind == GOAWAY:
                break
            if kind == RST_STREAM or (kind in (DATA, HEADERS) and flags & END_STREAM):
                ended += 1
    return answers


def post(port, path, headers, body, length=True):
    """(status, body) of one POST; length: with content-length."""
    fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x")]
    fields += [(name.lower(), value) for name, value in headers.items()]
    if length:
        fields.append(("content-length", str(len(body))))
    return exchange(port, [(fields, body)]).get(1, (0, b""))
