#!/usr/bin/env python3
"""The outgoing HTTP client (modules/client), driven by the test module in t/modules/fetch: what
servers, resolvers and certificates may do to it, and what a worker that ends does."""

import os
import socket
import socketserver
import ssl
import struct
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from weircerts import Authority  # noqa: E402
from weirnginx import Nginx, Upstream, free_port, run_dir, test_module  # noqa: E402
from weirtap import at_finish, done_testing, is_, like, ok, wait_for  # noqa: E402

FETCH = test_module("fetch")
folder = run_dir()
ca = Authority(folder)
other_ca = Authority(folder, "other-ca")
GOOD = ca.issue("good", ["localhost", "127.0.0.1", "tls.test"])
WRONG_HOST = ca.issue("wrong", ["elsewhere.test"])
EXPIRED = ca.issue("expired", ["localhost"], end="20210101000000Z")
FOREIGN = other_ca.issue("foreign", ["localhost"])
CLIENT = ca.issue("client", subject="weir gateway")

# -- servers

cases = {}
go_on = threading.Event()
closed = []


def case(function):
    cases["/" + function.__name__] = function
    return function


def answer(received, reply):
    cases[received.path.split("?")[0]](received, reply)


@case
def echo(received, reply):
    reply.json(200, {"method": received.method, "path": received.path,
                     "headers": received.header_list, "body": received.body.decode("latin-1")})


@case
def missing(_, reply):
    reply.json(404, {"error": "missing"})


@case
def moved(_, reply):
    reply.send(302, "", {"Location": "http://127.0.0.1:1/"})


@case
def chunked(_, reply):
    reply.raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    reply.raw(b"3;x=y\r\nabc\r\n")
    time.sleep(0.01)
    reply.raw(b"2\r\nde\r\n0\r\nT: u\r\n\r\n")


@case
def bytewise(_, reply):
    for byte in b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 5\r\n\r\nhello":
        reply.raw(bytes([byte]))


@case
def to_close(_, reply):
    reply.raw(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
    reply.keep = False


@case
def http10(_, reply):
    reply.raw(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi")


@case
def cut_length(_, reply):
    reply.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nonly this")
    reply.keep = False


@case
def cut_chunk(_, reply):
    reply.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly")
    reply.keep = False


@case
def cut_header(_, reply):
    reply.raw(b"HTTP/1.1 200 OK\r\nContent-Le")
    reply.keep = False


@case
def nothing(_, reply):
    reply.raw(b"")
    reply.keep = False


@case
def reset(_, reply):
    reply.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nonly")
    time.sleep(0.01)
    reply.abort()


@case
def garbage(_, reply):
    reply.raw(b"220 mail.example ESMTP\r\n")
    closed.append(reply.wait_closed(10))


@case
def ambiguous(_, reply):
    reply.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")


@case
def large(_, reply):
    reply.send(200, "x" * 200000, {"Content-Type": "text/plain"})


@case
def endless(_, reply):
    reply.raw(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(1000):
        reply.raw(b"x" * 10000)


@case
def huge_header(_, reply):
    reply.raw(b"HTTP/1.1 200 OK\r\n" + b"A: %s\r\n" % (b"x" * 100000) + b"\r\n")


@case
def never(_, reply):
    reply.keep = False
    closed.append(reply.wait_closed(20))


@case
def trickle(_, reply):
    reply.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(400):
        reply.raw(b"x")
        time.sleep(0.01)


@case
def when_told(_, reply):
    go_on.wait(20)
    reply.json(200, {"told": True})


@case
def twice_stale(_, reply):
    """The first call gets an answer; whoever asks again on that connection gets none."""
    if reply.sock.fileno() in stale:
        reply.raw(b"")
        reply.keep = False
        return
    stale.add(reply.sock.fileno())
    reply.json(200, {"first": True})


@case
def closes_after(_, reply):
    reply.json(200, {"closing": True})
    reply.keep = False


stale = set()


class TlsUpstream(Upstream):
    def __init__(self, handler, cert, client_ca=None):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*cert)
        self.names = []
        self.context.sni_callback = lambda _, name, __: self.names.append(name)
        if client_ca:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(client_ca)
        super().__init__(handler)

    def _serve(self, sock):
        try:
            super()._serve(self.context.wrap_socket(sock, server_side=True))
        except OSError:
            sock.close()


class EarlyAnswer:
    """Answers 413 after a few bytes of the request and closes."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(16)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            sock, _ = self.listener.accept()
            sock.recv(100)
            sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
            time.sleep(0.2)
            sock.close()


class Resolver(socketserver.BaseRequestHandler):
    """A name server: A records of NAMES; others do not exist; silent.test gets no answer."""

    NAMES = {"ok.test": ["127.0.0.1"], "tls.test": ["127.0.0.1"], "private.test": ["10.1.2.3"],
             "two.test": ["127.0.0.9", "127.0.0.1"]}
    asked = []

    def handle(self):
        data, sock = self.request
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode())
            at += 1 + data[at]
        name = ".".join(labels).lower()
        question = data[12:at + 5]
        kind = struct.unpack(">H", data[at + 1:at + 3])[0]
        if kind == 1:
            self.asked.append(name)
        if name == "silent.test":
            return
        found = self.NAMES.get(name)
        addresses = found if found and kind == 1 else []
        flags = 0x8180 if found else 0x8183
        out = data[:2] + struct.pack(">HHHHH", flags, 1, len(addresses), 0, 0) + question
        for address in addresses:
            out += b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(address)
        sock.sendto(out, self.client_address)


names = socketserver.ThreadingUDPServer(("127.0.0.1", 0), Resolver)
names.daemon_threads = True
threading.Thread(target=names.serve_forever, daemon=True).start()
at_finish(names.shutdown)

up = Upstream(answer)
sock_up = Upstream(answer, unix=os.path.join(folder, "up.sock"))
early = EarlyAnswer()
tls_good = TlsUpstream(answer, GOOD)
tls_wrong = TlsUpstream(answer, WRONG_HOST)
tls_expired = TlsUpstream(answer, EXPIRED)
tls_foreign = TlsUpstream(answer, FOREIGN)
tls_mutual = TlsUpstream(answer, GOOD, client_ca=ca.path)

HTTP = """
    weir_client_ca_file @ca@;
    weir_client_keepalive_timeout 60s;
    weir_client_connect_timeout 2s;
    @more@
    client_body_buffer_size 8m;
    client_max_body_size 8m;
    server {
        listen 127.0.0.1:@port@;
        location /up/ { weir_fetch http://127.0.0.1:@up@; }
        location /unix/ { weir_fetch http://unix:@dir@/up.sock:/echo; }
        location /no_unix/ { weir_fetch http://unix:@dir@/none.sock:/echo; }
        location /early/ { weir_fetch http://127.0.0.1:@early@/; }
        location /refused/ { weir_fetch http://127.0.0.1:@free@/; }
        location /name/ { weir_fetch http://ok.test:@up@/echo; }
        location /two/ { weir_fetch http://two.test:@up@/echo; }
        location /no_name/ { weir_fetch http://none.test:@up@/echo; }
        location /silent/ { weir_fetch http://silent.test:@up@/echo; }
        location /tls/ { weir_fetch https://localhost.tls.test:@tls@/echo name=localhost; }
        location /tls_name/ { weir_fetch https://TLS.test:@tls@/echo; }
        location /tls_address/ { weir_fetch https://127.0.0.1:@tls@/echo; }
        location /tls_wrong/ { weir_fetch https://127.0.0.1:@tls_wrong@/echo name=localhost; }
        location /tls_other_name/ {
            weir_fetch https://127.0.0.1:@tls_wrong@/echo name=elsewhere.test;
        }
        location /tls_expired/ { weir_fetch https://127.0.0.1:@tls_expired@/echo name=localhost; }
        location /tls_foreign/ { weir_fetch https://127.0.0.1:@tls_foreign@/echo name=localhost; }
        location /tls_other_ca/ {
            weir_fetch https://127.0.0.1:@tls_foreign@/echo name=localhost ca=@other_ca@;
        }
        location /tls_insecure/ { weir_fetch https://127.0.0.1:@tls_foreign@/echo insecure; }
        location /tls_mutual/ {
            weir_fetch https://127.0.0.1:@tls_mutual@/echo cert=@cert@ key=@key@;
        }
        location /tls_no_cert/ { weir_fetch https://127.0.0.1:@tls_mutual@/echo; }
        location /not_tls/ { weir_fetch https://127.0.0.1:@early@/echo; }
        location /any { weir_fetch_any; }
        location /fast { return 200 "ok"; }
    }
"""
Resolver.NAMES["localhost.tls.test"] = ["127.0.0.1"]
VARS = {"ca": ca.path, "other_ca": other_ca.path, "cert": CLIENT[0], "key": CLIENT[1],
        "up": up.port, "early": early.port, "free": free_port(), "tls": tls_good.port,
        "tls_wrong": tls_wrong.port, "tls_expired": tls_expired.port,
        "tls_foreign": tls_foreign.port, "tls_mutual": tls_mutual.port,
        "more": "weir_client_resolver 127.0.0.1:%d ipv6=off;" % names.server_address[1]}
ng = Nginx(modules=["client", FETCH], http=HTTP, vars=VARS, dir=folder,
           allow=[r"none\.sock failed", r"SSL_do_handshake\(\) failed",
                  r"SSL_read\(\) failed .*certificate required"])


def ask(where, method="GET", body=None, server=ng, **arguments):
    """The outcome of a call, and whether it began only after start() had returned."""
    query = urllib.parse.urlencode(arguments, quote_via=urllib.parse.quote)
    r = server.request(method, where + ("?" + query if query else ""), body=body)
    if r.status != 200:
        raise RuntimeError("%s: %d %s" % (where, r.status, r.text))
    out = r.json()
    if out["too_early"]:
        ok(False, "%s: the handler was called from within start()" % where)
    return out


def failed(where, error, text, name, **arguments):
    out = ask(where, **arguments)
    is_((out["error"], out["status"]), (error, 0), name)
    like(out["text"], text, name + ": the text")


# -- requests and answers

out = ask("/up/", suffix="echo?a=b")
is_((out["error"], out["status"], out["text"]), ("ok", 200, ""), "a call and its answer")
is_(up.requests[-1].header_list,
    [("Host", "127.0.0.1:%d" % up.port), ("User-Agent", "weir"), ("Accept-Encoding", "identity")],
    "the header that goes out")
is_((up.requests[-1].method, up.requests[-1].path), ("GET", "/echo?a=b"), "method and path")
ok(["Content-Type", "application/json"] in out["headers"], "headers come back")
out = ask("/up/", "POST", body=b"\x00\xff{}", suffix="echo", header="X-A:b c")
is_((up.requests[-1].method, up.requests[-1].body, up.requests[-1].headers["content-length"],
     up.requests[-1].headers["x-a"]), ("POST", b"\x00\xff{}", "4", "b c"), "a body and a header")
ask("/up/", "POST", suffix="echo")
is_(up.requests[-1].headers.get("content-length"), "0", "POST without content says so")
ask("/up/", suffix="echo", header="user-agent:mine")
is_([v for k, v in up.requests[-1].header_list if k.lower() == "user-agent"], ["mine"],
    "the caller's own User-Agent")
r = ng.request("GET", "/up/?method=HEAD&suffix=large").json()
is_((r["error"], r["status"], r["body"]), ("ok", 200, ""), "HEAD")
out = ask("/up/", suffix="missing")
is_((out["error"], out["status"], out["body"]), ("ok", 404, '{"error": "missing"}'),
    "404 is an answer")
before = len(up.requests)
out = ask("/up/", suffix="moved")
is_((out["status"], len(up.requests) - before), (302, 1), "a redirect is not followed")
is_(ask("/up/", suffix="chunked")["body"], "abcde", "an interim answer, chunks, a trailer")
is_(ask("/up/", suffix="bytewise")["body"], "hello", "one byte at a time")
is_(ask("/up/", suffix="to_close")["body"], "until the end", "ended by the connection")
is_(ask("/up/", suffix="http10")["body"], "hi", "HTTP/1.0")
is_(ask("/unix/")["status"], 200, "a Unix socket")
is_((sock_up.requests[-1].path, sock_up.requests[-1].headers["host"]), ("/echo", "localhost"),
    "a Unix socket: path and Host")
is_(len(ask("/up/", suffix="large")["body"]), 200000, "200 KB of answer")
big = os.urandom(4000000)
out = ask("/up/", "POST", body=big, suffix="large")
ok(out["status"] == 200 and up.requests[-1].body == big, "4 MB of request")
out = ask("/early/", "POST", body=big)
is_((out["error"], out["status"], out["body"]), ("ok", 413, "big"),
    "an answer that comes before the request is sent")
is_(ask("/up/", suffix="echo", self_cancel=1)["status"], 200,
    "cancelling a call from its own handler does nothing")

# -- connections

before = up.connections
outs = ask("/up/", suffix="echo", again=20)
is_(up.connections - before <= 1, True, "twenty calls, one connection")
is_(outs["reused"], True, "the last one was kept")
before = up.connections
out = ask("/up/", suffix="echo", again=3, once=1)
is_((up.connections - before, out["reused"]), (3, False), "once: each its own connection")
is_(up.requests[-1].headers.get("connection"), "close", "and the server is told")
before = up.connections
ask("/up/", suffix="closes_after", again=3)
is_(3 - (up.connections - before) <= 1, True, "a server that closes after each answer")
ask("/up/", suffix="echo")
before, requests = up.connections, len(up.requests)
stale.clear()
out = ask("/up/", suffix="twice_stale", again=2)
is_((out["error"], out["status"]), ("ok", 200),
    "a kept connection that the server closes without an answer: repeated once")
ok(len(up.requests) - requests == 3 and up.connections - before == 1,
   "three requests came, the last on a new connection (%d, %d)"
   % (len(up.requests) - requests, up.connections - before))
before = up.connections
threads = [threading.Thread(target=ask, args=("/up/",), kwargs={"suffix": "echo"})
           for _ in range(30)]
for t in threads:
    t.start()
for t in threads:
    t.join()
ok(up.connections - before <= 30, "thirty at once")

# -- what may go wrong

failed("/up/", "closed", "middle of its answer", "cut within the length", suffix="cut_length")
failed("/up/", "closed", "middle of its answer", "cut within a chunk", suffix="cut_chunk")
failed("/up/", "closed", "middle of its answer", "cut within the header", suffix="cut_header")
failed("/up/", "closed", "without an answer", "no answer", suffix="nothing", once=1)
failed("/up/", "closed", "middle of its answer", "a reset", suffix="reset")
failed("/up/", "protocol", "not an HTTP/1.1 response", "another protocol", suffix="garbage")
failed("/up/", "protocol", "in two ways", "ambiguous framing", suffix="ambiguous")
failed("/up/", "too_large", "larger than 1000 bytes", "a body over the cap", suffix="large",
       max=1000)
failed("/up/", "too_large", "larger than 1048576", "a body without end", suffix="endless")
failed("/up/", "too_large", "header is larger", "a header over the cap", suffix="huge_header")
failed("/up/", "timeout", r"within 200 ms \(waiting for the answer\)", "no answer in time",
       suffix="never", deadline=200)
failed("/up/", "timeout", "within 300 ms", "the deadline is for all of it", suffix="trickle",
       deadline=300)
ok(wait_for(lambda: len(closed) >= 2 and all(closed), 10), "given-up connections are closed")
failed("/refused/", "connect", r"127\.0\.0\.1:\d+: no connection", "nobody listens")
failed("/no_unix/", "connect", "no connection", "no socket")

for name, arguments in [
        ("a header with a line break", {"header": "X:a\r\nY: b"}),
        ("a header's name with a blank", {"header": "X Y:a"}),
        ("no name", {"header": ":a"}),
        ("Host", {"header": "host:evil"}),
        ("Content-Length", {"header": "Content-Length:3"}),
        ("Transfer-Encoding", {"header": "transfer-encoding:chunked"}),
        ("a path with a line break", {"suffix": "echo HTTP/1.1\r\nX: y"}),
        ("a path with a fragment", {"suffix": "echo#x"}),
        ("a method with a blank", {"method": "GET /"}),
        ("CONNECT", {"method": "CONNECT"})]:
    before = len(up.requests)
    query = urllib.parse.urlencode(arguments, quote_via=urllib.parse.quote)
    r = ng.request("GET", "/up/?" + query).json()
    is_((r["error"], len(up.requests) - before), ("invalid", 0), "refused unsent: " + name)

# -- names

is_(ask("/name/")["status"], 200, "a name, by the resolver")
is_(up.requests[-1].headers["host"], "ok.test:%d" % up.port, "Host is the name")
asked = len(Resolver.asked)
out = ask("/two/")
is_(out["status"], 200, "two addresses, the first of which does not answer")
failed("/no_name/", "resolve", r"none\.test:\d+: the name could not be resolved: Host not found",
       "a name that does not exist")
failed("/silent/", "timeout", r"looking up the name", "a name server that is silent", deadline=200)

# -- TLS

is_(ask("/tls_name/")["status"], 200, "TLS, verified")
is_(tls_good.names[-1], "tls.test", "the server's name is sent in lower case")
out = ask("/tls_name/", again=5)
is_((out["status"], out["reused"]), (200, True), "TLS connections are kept")
before = len(tls_good.names)
is_(ask("/tls_address/")["status"], 200, "an address in the certificate")
is_(tls_good.names[-1], None, "addresses are not sent as names")
is_(ask("/tls/")["status"], 200, "another name than the URL's")
is_(ask("/tls_other_name/")["status"], 200, "the certificate's name, set by the caller")
failed("/tls_wrong/", "tls", "is for another host", "a certificate for another host")
failed("/tls_expired/", "tls", "not trusted: certificate has expired", "an expired certificate")
failed("/tls_foreign/", "tls", "not trusted: unable to ", "an unknown authority")
is_(len(tls_wrong.requests) - 1 + len(tls_expired.requests) + len(tls_foreign.requests), 0,
    "nothing was sent to any of them")
is_(ask("/tls_other_ca/")["status"], 200, "another authority for this target")
is_(ask("/tls_insecure/")["status"], 200, "unverified, by explicit wish")
is_(ask("/tls_mutual/")["status"], 200, "a client certificate")
is_(ask("/tls_no_cert/")["error"] in ("tls", "closed"), True, "no client certificate")
failed("/not_tls/", "tls", "handshake failed", "a server without TLS")

# -- URLs that come from data

port = up.port
for url, error in [("http://127.0.0.1:%d/echo" % port, "forbidden"),
                   ("http://10.0.0.1/", "forbidden"), ("http://169.254.169.254/", "forbidden"),
                   ("http://[::1]:%d/" % port, "forbidden"),
                   ("http://[::ffff:127.0.0.1]:%d/" % port, "forbidden"),
                   ("http://unix:%s/up.sock:/echo" % folder, "forbidden"),
                   ("http://private.test/", "forbidden"),
                   ("http://ok.test:%d/echo" % port, "forbidden"),
                   ("http://user@ok.test/", "invalid"), ("file:///etc/passwd", "invalid"),
                   ("http://ok.test/\r\nX: y", "invalid"), ("", "invalid"),
                   ("http://[x]/", "invalid"), ("http://999.1.1.1/", "resolve")]:
    before = len(up.requests)
    out = ask("/any", url=url)
    is_((out["error"], len(up.requests) - before), (error, 0), "guarded: %s" % ascii(url))
is_(ask("/any", url="http://127.0.0.1:%d/echo" % port, trusted=1)["status"], 200,
    "a trusted URL may be anywhere")
ask("/any", url="http://ok.test:%d/echo" % port, trusted=1)
is_(ask("/any", url="http://ok.test:%d/echo" % port)["error"], "forbidden",
    "a kept connection to a private address is not for guarded calls")

# -- callers and workers that go

before = len(closed)
for _ in range(5):
    s = ng.stream("GET", "/fast")
    s.read()
    s.close()
    with socket.create_connection(("127.0.0.1", ng.port), 5) as raw:
        requests = len(up.requests)
        raw.sendall(b"GET /up/?suffix=never&deadline=15000 HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda n=requests: len(up.requests) > n)
ok(wait_for(lambda: len(closed) >= before + 5 and all(closed), 10),
   "callers that leave: their calls are cancelled")
with socket.create_connection(("127.0.0.1", ng.port), 5) as raw:
    raw.sendall(b"GET /silent/?deadline=15000 HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_for(lambda: "silent.test" in Resolver.asked)
is_(ask("/up/", suffix="echo")["status"], 200, "while the name is looked up, too")

ask("/tls_name/", again=2)
results = []
go_on.clear()
requests = len(up.requests)
t = threading.Thread(target=lambda: results.append(ask("/up/", suffix="when_told",
                                                       deadline=20000)))
t.start()
wait_for(lambda: len(up.requests) > requests)
old = ng.workers()
ng.reload(wait_old=False)
ok(not wait_for(lambda: old[0] not in ng.workers(), 0.5), "a call in flight keeps the old worker")
go_on.set()
t.join()
is_((results[0]["error"], results[0]["status"]), ("ok", 200), "and gets its answer")
ok(wait_for(lambda: old[0] not in ng.workers(), 10),
   "then the old worker ends, idle connections or not")

ask("/up/", suffix="echo")
ng.reload()
ok(True, "a worker with only idle connections ends")

ng.allow(r"open socket #\d+ left in connection")
ng.allow(r"aborting")
requests = len(up.requests)
with socket.create_connection(("127.0.0.1", ng.port), 5) as raw:
    raw.sendall(b"GET /up/?suffix=never&deadline=60000&background=1 HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_for(lambda: len(up.requests) > requests)
    ng.reload()
ok(True, "a background call keeps no worker")

requests = len(up.requests)
with socket.create_connection(("127.0.0.1", ng.port), 5) as raw:
    raw.sendall(b"GET /up/?suffix=never&deadline=60000 HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_for(lambda: len(up.requests) > requests)
    ng.stop(quick=True)
ok(True, "TERM with a call in flight")

# -- limits and configuration

limited = Nginx(modules=["client", FETCH], http=HTTP, allow=[r"SSL_do_handshake"], vars={
    **VARS, "more": VARS["more"] + "weir_client_max_calls 2; weir_client_keepalive 1;"
    "weir_client_allow 127.0.0.0/8 fd00::/8; weir_client_timeout 15s;"})
go_on.clear()
requests = len(up.requests)
threads = [threading.Thread(target=ask, args=("/up/",),
                            kwargs={"suffix": "when_told", "server": limited}) for _ in range(2)]
for t in threads:
    t.start()
wait_for(lambda: len(up.requests) == requests + 2)
is_(ask("/up/", suffix="echo", server=limited)["error"], "busy", "more calls than allowed")
go_on.set()
for t in threads:
    t.join()
is_(ask("/up/", suffix="echo", server=limited)["status"], 200, "and again when some have ended")
is_(ask("/any", url="http://127.0.0.1:%d/echo" % port, server=limited)["status"], 200,
    "weir_client_allow opens a network")
is_(ask("/any", url="http://10.0.0.1/", server=limited)["error"], "forbidden", "and no other")
limited.stop()

off = Nginx(modules=["client", FETCH], http=HTTP, vars={
    **VARS, "more": VARS["more"] + "weir_client_keepalive 0; weir_client_verify off;"})
before = up.connections
out = ask("/up/", suffix="echo", again=3, server=off)
is_((up.connections - before, out["reused"]), (3, False), "weir_client_keepalive 0")
off.stop()

short = Nginx(modules=["client", FETCH], http=HTTP.replace("_timeout 60s", "_timeout 50ms"),
              vars=VARS)
ask("/up/", suffix="echo", server=short)
time.sleep(0.3)
is_(ask("/up/", suffix="echo", server=short)["reused"], False, "idle connections end in time")
short.stop()

for more, http, text, name in [
        ("", "location / { weir_fetch ftp://h/; }", "invalid URL \"ftp://h/\"", "another scheme"),
        ("", "location / { weir_fetch http://[x]/; }", "host holds a byte", "a bad address"),
        ("", "location / { weir_fetch http://none.invalid/; }",
         r"host not found in \"http://none.invalid/\".*weir_client_resolver",
         "an unknown name without a resolver"),
        ("weir_client_ca_file /none.pem;", "", "none.pem", "no file of authorities"),
        ("weir_client_certificate a.pem;", "", "needs both", "a certificate without a key"),
        ("weir_client_max_calls 0;", "", "must not be zero", "no calls"),
        ("weir_client_allow 10.0.0.0/99;", "", "invalid network", "a bad network"),
        ("weir_client_max_header 10;", "", "at least 1k", "a tiny header")]:
    bad = Nginx(modules=["client", FETCH], start=False, allow=["emerg"],
                http=more + "server { listen 127.0.0.1:@port@; %s }" % http)
    accepted, messages = bad.test()
    ok(not accepted, "refused: " + name)
    like(messages, text, "refused: %s: the message" % name)

alone = Nginx(modules=[FETCH], start=False, allow=["emerg"],
              http="server { listen 127.0.0.1:@port@; location / { weir_fetch_any; } }")
accepted, messages = alone.test()
like(messages, "the test module needs ngx_http_weir_client_module: add", "without the client")
for order in (["client", FETCH], [FETCH, "client"]):
    either = Nginx(modules=order, start=False,
                   http="server { listen 127.0.0.1:@port@; location / "
                        "{ weir_fetch http://localhost/; } }")
    ok(either.test()[0], "loaded in this order: %s" % [os.path.basename(m) for m in order])

done_testing()
