"""Real NGINX with Weir's modules, and scripted upstream servers, for end-to-end tests.

    from weirnginx import Nginx, Upstream

    def answer(request, reply):
        reply.json(200, {"echo": request.json()})

    up = Upstream(answer)
    ng = Nginx(modules=["core", "auth"], http='''
        server {
            listen 127.0.0.1:@port@;
            location / { proxy_pass http://127.0.0.1:@upstream@; }
        }
    ''', vars={"upstream": up.port})
    r = ng.request("POST", "/v1/chat/completions", json={"model": "m"})
    is_(r.status, 200, "answered")
    ng.reload()
    done_testing()

@port@, @port2@, ... become free ports (ng.port, ng.ports["port2"]); @dir@ the run folder; other
@names@ come from vars. Everything is stopped by done_testing(), or when the test ends in any other
way; the error log is then checked and a test fails when it holds an alert, emerg or crit message
or a sanitizer's report that was not announced with allow=[regex] or ng.allow(regex).

Environment: WEIR_NGINX (the binary), WEIR_MODULES (folder of the .so files), WEIR_KEEP=1 keeps
the run folders.
"""

import atexit
import ctypes
import fcntl
import http.client
import json as _json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import weirtap

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.path.join(ROOT, "build")

_BAD = re.compile(
    r"\[(alert|emerg|crit)\]|(Address|Leak|UndefinedBehavior|Thread|Memory)Sanitizer"
    r"|runtime error:|stack smashing|double free|free\(\): |malloc\(\): |Assertion .* failed")

_any_port = random.SystemRandom()
_held_ports = {}


def nginx_binary():
    chosen = os.environ.get("WEIR_NGINX") or shutil.which(
        "nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not chosen:
        weirtap.bail_out("nginx is not installed: ./quickstart installs it")
    return os.path.abspath(chosen)


def modules_dir():
    return os.path.abspath(os.environ.get("WEIR_MODULES") or os.path.join(BUILD, "modules"))


def _test_build(path):
    if not os.path.exists(path):
        built = subprocess.run(["make", "--no-print-directory", "-C", ROOT, "test-modules"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, check=False)
        if built.returncode != 0:
            weirtap.diag(built.stdout.decode("utf-8", "replace")[-3000:])
    return path


def test_module(name):
    """The path of a module of t/modules, for Nginx(modules=[...]); built where it is missing."""
    return _test_build(os.path.join(
        os.path.abspath(os.environ.get("WEIR_MODULES") or os.path.join(BUILD, "test-modules")),
        "ngx_http_weir_%s_module.so" % name))


def test_plugin(name):
    """The path of a plugin of t/plugins, for weir_plugin."""
    return _test_build(os.path.join(
        os.path.abspath(os.environ.get("WEIR_PLUGINS") or os.path.join(BUILD, "plugins")),
        name + ".so"))


def free_port():
    """A loopback TCP port that nobody listens on and that no other test is given while this one
    runs: below those that the system takes for connections, with a locked file for each."""
    folder = os.path.join(tempfile.gettempdir(), "weir-ports-%d" % os.getuid())
    os.makedirs(folder, exist_ok=True)
    while True:
        port = _any_port.randrange(10240, 32768)
        if port in _held_ports:
            continue
        held = os.open(os.path.join(folder, str(port)), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as s:
                s.bind(("127.0.0.1", port))
        except OSError:
            os.close(held)
            continue
        _held_ports[port] = held
        return port


def run_dir(prefix="weir-t-"):
    """A folder for one test, removed at its end unless WEIR_KEEP is set. Workers of another user
    may pass through it."""
    path = tempfile.mkdtemp(prefix=prefix)
    os.chmod(path, 0o755)
    if os.environ.get("WEIR_KEEP"):
        weirtap.diag("kept: " + path)
    else:
        atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def children(pid):
    """The process ids of pid's children."""
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            return [int(word) for word in f.read().split()]
    except OSError:
        return []


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except OSError:
        return False


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


class Response:
    """status, reason, headers (http.client's, case-insensitive .get), body (bytes)."""

    def __init__(self, raw, body):
        self.status = raw.status
        self.reason = raw.reason
        self.headers = raw.headers
        self.body = body

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        return _json.loads(self.body)

    def events(self):
        """The data of each event of an event stream, as text."""
        return sse_data(self.text)


def sse_data(text):
    """The data fields of the events in text (lines joined as the standard says)."""
    out = []
    for block in re.split(r"\r\n\r\n|\n\n|\r\r", text):
        lines = [line[5:].removeprefix(" ") for line in block.splitlines()
                 if line.startswith("data:")]
        if lines:
            out.append("\n".join(lines))
    return out


class Stream:
    """An answer that is read while it comes: status, headers, then events() or pieces()."""

    def __init__(self, connection, raw):
        self._connection = connection
        self._raw = raw
        self.status = raw.status
        self.headers = raw.headers

    def pieces(self):
        """Bytes as they come."""
        while True:
            piece = self._raw.read1(65536)
            if not piece:
                return
            yield piece

    def events(self):
        """(seconds since the first read, data) for each event, as it comes."""
        start = time.monotonic()
        rest = ""
        for piece in self.pieces():
            rest += piece.decode("utf-8", "replace")
            while "\n\n" in rest:
                block, rest = rest.split("\n\n", 1)
                for data in sse_data(block):
                    yield time.monotonic() - start, data

    def read(self):
        return self._raw.read()

    def close(self):
        """Goes away, whether the answer is complete or not."""
        sock = self._connection.sock
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._raw.close()
        self._connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def http_connection(where, timeout=30):
    """where: a port on 127.0.0.1, or the path of a Unix socket."""
    if isinstance(where, int):
        return http.client.HTTPConnection("127.0.0.1", where, timeout=timeout)
    return _UnixConnection(where, timeout)


def _send(connection, method, path, body, json, headers):
    headers = dict(headers or {})
    if json is not None:
        body = _json.dumps(json).encode()
        headers.setdefault("Content-Type", "application/json")
    connection.request(method, path, body=body, headers=headers)
    return connection.getresponse()


def request(where, method, path, body=None, json=None, headers=None, timeout=30):
    """One request on its own connection; the whole answer."""
    connection = http_connection(where, timeout)
    try:
        raw = _send(connection, method, path, body, json, headers)
        return Response(raw, raw.read())
    finally:
        connection.close()


def stream(where, method, path, body=None, json=None, headers=None, timeout=30):
    """One request; returns when the header of the answer is there."""
    connection = http_connection(where, timeout)
    try:
        return Stream(connection, _send(connection, method, path, body, json, headers))
    except BaseException:
        connection.close()
        raise


class Nginx:
    """One NGINX (master and workers) with its own run folder."""

    def __init__(self, http="", modules=(), workers=1, main="", events="", vars=None, allow=(),
                 name="nginx", start=True, env=None, dir=None, log_level="info", timeout=20):
        self.name = name
        self.dir = dir or run_dir()
        self.ports = {}
        self.vars = dict(vars or {})
        self.log = os.path.join(self.dir, "error.log")
        self.process = None
        self._parts = {"http": http, "modules": list(modules), "workers": workers, "main": main,
                       "events": events}
        self._allow = [re.compile(a) for a in allow]
        self._env = env
        self._log_level = log_level
        self._timeout = timeout
        self._offset = 0
        weirtap.at_finish(self.stop)
        atexit.register(self._kill)
        self.write_config()
        if start:
            self.start()

    # -- configuration

    @property
    def port(self):
        return self.ports["port"]

    def expand(self, text):
        def value(match):
            name = match.group(1)
            if name == "dir":
                return self.dir
            if name in self.vars:
                return str(self.vars[name])
            if re.fullmatch(r"port\d*", name):
                if name not in self.ports:
                    self.ports[name] = free_port()
                return str(self.ports[name])
            raise KeyError("@%s@ has no value" % name)
        return re.sub(r"@([a-z_][a-z0-9_]*)@", value, text)

    def write_config(self, http=None, main=None):
        """Writes nginx.conf; http and main replace what was given before (then call reload())."""
        if http is not None:
            self._parts["http"] = http
        if main is not None:
            self._parts["main"] = main
        p = self._parts
        loads = "".join("load_module %s/ngx_http_weir_%s_module.so;\n" % (modules_dir(), m)
                        if "/" not in m else "load_module %s;\n" % m for m in p["modules"])
        temps = "".join("    %s_temp_path %s/tmp-%s;\n" % (t, self.dir, t)
                        for t in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        text = (loads + "daemon off;\npid %s/nginx.pid;\nerror_log %s %s;\n"
                % (self.dir, self.log, self._log_level)
                + "worker_processes %d;\n" % p["workers"] + self.expand(p["main"])
                + "\nevents {\n    worker_connections 512;\n" + self.expand(p["events"]) + "}\n"
                + "http {\n    access_log %s/access.log;\n" % self.dir + temps
                + self.expand(p["http"]) + "\n}\n")
        self.conf = os.path.join(self.dir, "nginx.conf")
        with open(self.conf, "w") as f:
            f.write(text)

    def file(self, name, content, mode=0o644):
        """Writes a file in the run folder; returns its path."""
        path = os.path.join(self.dir, name)
        with open(path, "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        os.chmod(path, mode)
        return path

    def _command(self, *more):
        return [nginx_binary(), "-p", self.dir + "/", "-c", self.conf, "-e", self.log, *more]

    def _environment(self):
        env = dict(os.environ)
        # The master keeps its configuration until exit; the leak check belongs to unit tests.
        env.setdefault("ASAN_OPTIONS", "detect_leaks=0:detect_odr_violation=0:abort_on_error=0")
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
        env.update(self._env or {})
        return env

    def test(self):
        """nginx -t: (accepted?, messages). For configurations that must be refused."""
        r = subprocess.run(self._command("-t"), env=self._environment(), stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=self._timeout)
        messages = r.stdout.decode("utf-8", "replace")
        # -t logs to error.log, too: what it said is the caller's to judge.
        self._offset = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        return r.returncode == 0, messages

    # -- life

    def start(self):
        """Starts and waits until a worker is there and every @port@ accepts."""
        self.stderr = os.path.join(self.dir, "stderr.log")
        with open(self.stderr, "ab") as err:
            self.process = subprocess.Popen(
                self._command(), cwd=self.dir, env=self._environment(), stdin=subprocess.DEVNULL,
                stdout=err, stderr=err, preexec_fn=_die_with_parent)
        if not weirtap.wait_for(self._ready, self._timeout):
            text = self.read_log() + self._read(self.stderr)
            self._kill()
            raise RuntimeError("%s did not start:\n%s" % (self.name, text[-4000:]))

    def _ready(self):
        if self.process.poll() is not None:
            text = self._read(self.stderr) + self.read_log()
            raise RuntimeError("%s ended at start with %d:\n%s"
                               % (self.name, self.process.returncode, text[-4000:]))
        if len(self.workers()) < self._parts["workers"]:
            return False
        return all(self._accepts(port) for port in self.ports.values())

    @staticmethod
    def _accepts(port):
        # Listening is not enough: NGINX ignores a port given to it only in a comment.
        with open("/proc/net/tcp") as f:
            return any(line.split()[1].endswith(":%04X" % port) and line.split()[3] == "0A"
                       for line in f.readlines()[1:])

    @property
    def pid(self):
        return self.process.pid

    def workers(self):
        """Process ids of live workers (old ones that still serve a stream after a reload too)."""
        found = []
        for pid in children(self.pid):
            try:
                with open("/proc/%d/cmdline" % pid, "rb") as f:
                    if b"worker process" in f.read() and alive(pid):
                        found.append(pid)
            except OSError:
                pass
        return found

    def send_signal(self, number):
        os.kill(self.pid, number)

    def reload(self, wait_old=True):
        """HUP; returns when new workers serve (and, with wait_old, the old ones are gone). Raises
        when the new configuration is refused."""
        before = set(self.workers())
        mark = len(self.read_log())
        self.send_signal(signal.SIGHUP)

        def reloaded():
            if "[emerg]" in self.read_log()[mark:]:
                raise RuntimeError("reload refused:\n" + self.read_log()[mark:][-2000:])
            now = set(self.workers())
            fresh = now - before
            return len(fresh) >= self._parts["workers"] and not (wait_old and now & before)
        if not weirtap.wait_for(reloaded, self._timeout):
            raise RuntimeError("no new workers after HUP:\n" + self.read_log()[mark:][-2000:])

    def kill_worker(self, number=signal.SIGKILL):
        """Kills the first worker and announces the alert; returns its process id."""
        pid = self.workers()[0]
        self.allow(r"exited on signal %d" % number)
        os.kill(pid, number)
        return pid

    def stop(self, quick=False):
        """QUIT (TERM with quick), then the log check. Safe to call twice."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.send_signal(signal.SIGTERM if quick else signal.SIGQUIT)
            try:
                self.process.wait(self._timeout if not quick else 5)
            except subprocess.TimeoutExpired:
                self.send_signal(signal.SIGTERM)
                try:
                    self.process.wait(5)
                except subprocess.TimeoutExpired:
                    self._kill()
        self.process = None
        self.check_log()

    def _kill(self):
        if self.process is None or self.process.poll() is not None:
            return
        workers = children(self.pid)
        self.process.kill()
        self.process.wait()
        for pid in workers:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass

    # -- logs

    def allow(self, regex):
        """A message that the test provokes and that may stand in the error log."""
        self._allow.append(re.compile(regex))

    @staticmethod
    def _read(path):
        try:
            with open(path, "rb") as f:
                return f.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def read_log(self):
        return self._read(self.log)

    def access_log(self):
        return self._read(os.path.join(self.dir, "access.log"))

    def bad_lines(self):
        with open(self.log, "rb") as f:
            f.seek(self._offset)
            text = f.read().decode("utf-8", "replace")
        text += self._read(self.stderr)
        return [line for line in text.splitlines()
                if _BAD.search(line) and not any(a.search(line) for a in self._allow)]

    def check_log(self):
        bad = self.bad_lines()
        if not weirtap.ok(not bad, "%s: nothing bad in its error log" % self.name):
            for line in bad[:10]:
                weirtap.diag("  " + line)
            if any("Sanitizer" in line or "runtime error" in line for line in bad):
                weirtap.diag((self.read_log() + self._read(self.stderr))[-6000:])

    # -- requests

    def url(self, path="/"):
        return "http://127.0.0.1:%d%s" % (self.port, path)

    def request(self, method, path, body=None, json=None, headers=None, timeout=30, port=None):
        return request(port or self.port, method, path, body, json, headers, timeout)

    def get(self, path, headers=None):
        return self.request("GET", path, headers=headers)

    def stream(self, method, path, body=None, json=None, headers=None, timeout=30, port=None):
        return stream(port or self.port, method, path, body, json, headers, timeout)

    def raw(self, data, timeout=5, port=None):
        """Sends bytes as they are and reads until the other side closes, or timeout without
        news."""
        with socket.create_connection(("127.0.0.1", port or self.port), timeout) as s:
            s.sendall(data)
            out = b""
            try:
                while True:
                    piece = s.recv(65536)
                    if not piece:
                        break
                    out += piece
            except (TimeoutError, ConnectionResetError):
                pass
        return out


class UpstreamRequest:
    """What the upstream received: method, path (with query), headers (last wins, lower case),
    header_list [(name, value)], body (bytes)."""

    def __init__(self, method, path, header_list, body):
        self.method = method
        self.path = path
        self.header_list = header_list
        self.headers = {name.lower(): value for name, value in header_list}
        self.body = body

    def json(self):
        return _json.loads(self.body)


class Reply:
    """The upstream's answer: one call of json() or send(), or begin() with pieces and end()."""

    def __init__(self, sock):
        self.sock = sock
        self.keep = True
        self.began = False
        self._chunked = False

    def _head(self, status, headers, **more):
        merged = {"Content-Type": "application/json", **more, **(headers or {})}
        lines = "".join("%s: %s\r\n" % item for item in merged.items() if item[1] is not None)
        self.began = True
        reason = http.client.responses.get(status, "Unknown")
        return ("HTTP/1.1 %d %s\r\n%s\r\n" % (status, reason, lines)).encode()

    def raw(self, data):
        """Bytes on the connection as they are."""
        self.began = True
        self.sock.sendall(data)

    def send(self, status, body=b"", headers=None):
        body = body.encode() if isinstance(body, str) else body
        self.raw(self._head(status, headers, **{"Content-Length": str(len(body))}) + body)

    def json(self, status, value, headers=None):
        self.send(status, _json.dumps(value), headers)

    def begin(self, status=200, headers=None, chunked=True):
        """The head of a streamed answer; an event stream unless headers say otherwise. Without
        chunked the end is the end of the connection."""
        self._chunked = chunked
        merged = {"Content-Type": "text/event-stream", **(headers or {})}
        if chunked:
            self.raw(self._head(status, merged, **{"Transfer-Encoding": "chunked"}))
        else:
            self.keep = False
            self.raw(self._head(status, merged, Connection="close"))

    def piece(self, data):
        """Part of the body, sent at once."""
        data = data.encode() if isinstance(data, str) else data
        if self._chunked:
            data = b"%x\r\n%s\r\n" % (len(data), data)
        if data:
            self.sock.sendall(data)

    def event(self, data):
        """One event: text, or a value that is sent as JSON."""
        if not isinstance(data, str):
            data = _json.dumps(data)
        self.piece("data: %s\n\n" % data)

    def end(self):
        if self._chunked:
            self.sock.sendall(b"0\r\n\r\n")

    def abort(self):
        """Cuts the connection with a reset."""
        self.keep = False
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def wait_closed(self, timeout=10):
        """True when the gateway closes this connection within timeout."""
        self.keep = False
        self.sock.settimeout(timeout)
        try:
            while self.sock.recv(4096):
                pass
            return True
        except TimeoutError:
            return False
        except OSError:
            return True


class Upstream:
    """An HTTP/1.1 server run by handler(request, reply), one thread per connection. port, or the
    Unix socket path; requests holds what came, in order; errors what handlers raised."""

    def __init__(self, handler, unix=None):
        self.handler = handler
        self.requests = []
        self.errors = []
        self.connections = 0
        if unix:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(unix)
            os.chmod(unix, 0o666)
            self.port = None
        else:
            self._listener = socket.socket()
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.port = free_port()
            self._listener.bind(("127.0.0.1", self.port))
        self.unix = unix
        self._listener.listen(128)
        self._stopped = False
        threading.Thread(target=self._accept, daemon=True).start()
        weirtap.at_finish(self.stop)

    def stop(self):
        """Closes the listener: new connections are refused."""
        if not self._stopped:
            self._stopped = True
            try:
                self._listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self._listener.close()
            for error in self.errors:
                weirtap.ok(False, "upstream handler raised: %s" % error)

    def _accept(self):
        while not self._stopped:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        if self.port is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = sock.makefile("rb")
        try:
            while True:
                received = self._read_request(stream)
                if received is None:
                    return
                self.requests.append(received)
                reply = Reply(sock)
                try:
                    self.handler(received, reply)
                except (BrokenPipeError, ConnectionResetError):
                    return
                if not reply.keep or not reply.began \
                        or received.headers.get("connection", "").lower() == "close":
                    return
        except (OSError, ValueError):
            pass
        except Exception as error:  # pylint: disable=broad-except
            self.errors.append(repr(error))
        finally:
            stream.close()
            sock.close()

    @staticmethod
    def _read_request(stream):
        line = stream.readline().decode("latin-1")
        if not line.strip():
            return None
        method, path, _ = line.split(" ", 2)
        headers = []
        while True:
            line = stream.readline().decode("latin-1").rstrip("\r\n")
            if not line:
                break
            name, _, value = line.partition(":")
            headers.append((name, value.strip()))
        lower = {name.lower(): value for name, value in headers}
        body = b""
        if lower.get("transfer-encoding", "").lower() == "chunked":
            while True:
                size = int(stream.readline().split(b";")[0], 16)
                body += stream.read(size)
                stream.readline()
                if size == 0:
                    break
        elif "content-length" in lower:
            body = stream.read(int(lower["content-length"]))
        return UpstreamRequest(method, path, headers, body)
