"""Talks to build/t/bin/tokenize (see t/programs/tokenize.c for the requests)."""

import struct
import subprocess


def words(*values):
    return struct.pack("<%dI" % len(values), *values)


class Driver:
    def __init__(self, program, model, pre=None, ignore_merges=None):
        args = [program, model]
        if pre is not None:
            args += ["--pre", pre]
        if ignore_merges is not None:
            args += ["--ignore-merges", str(int(ignore_merges))]
        self.process = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait()

    def _send(self, request):
        self.process.stdin.write(request)
        self.process.stdin.flush()

    def _read(self, n):
        data = self.process.stdout.read(n)
        if len(data) != n:
            raise RuntimeError("tokenize ended with status %s" % self.process.wait())
        return data

    def _word(self):
        return struct.unpack("<I", self._read(4))[0]

    def _words(self, n):
        return list(struct.unpack("<%dI" % n, self._read(4 * n)))

    def encode_status(self, data, spans=(), add_bos=False, max_tokens=0):
        data = data.encode() if isinstance(data, str) else data
        flat = [int(x) for span in spans for x in span]
        self._send(words(1, len(spans), *flat, add_bos, max_tokens, len(data)) + data)
        status = self._word()
        return status, self._words(self._word())

    def encode(self, data, spans=(), add_bos=False):
        status, ids = self.encode_status(data, spans, add_bos)
        if status != 0:
            raise RuntimeError("encode failed with status %d" % status)
        return ids

    def _text(self):
        status = self._word()
        data = self._read(self._word())
        return status, data

    def decode(self, ids, with_special=False):
        self._send(words(2, with_special, len(ids), *ids))
        return self._text()[1]

    def sanitize(self, data, chunk=0):
        self._send(words(3, chunk, len(data)) + data)
        return self._text()[1]

    def find(self, text):
        data = text.encode()
        self._send(words(4, len(data)) + data)
        return struct.unpack("<i", self._read(4))[0]

    def token(self, token_id):
        """(special, ends generation, bytes)"""
        self._send(words(5, token_id & 0xFFFFFFFF))
        flags, data = self._text()
        return bool(flags & 1), bool(flags & 2), data

    def pieces(self, text):
        data = text.encode()
        self._send(words(6, len(data)) + data)
        return self._words(self._word())
