"""Certificates for tests, made with the openssl command.

    ca = Authority(folder)
    cert, key = ca.issue("good", ["localhost", "127.0.0.1"])    # paths of PEM files
    cert, key = ca.issue("old", ["localhost"], end="20200101000000Z")
    ca.path                                                     # the authority's own
"""

import os
import subprocess

_CONFIG = """
[ca]
default_ca = this
[this]
database = @dir@/@name@.index
new_certs_dir = @dir@
serial = @dir@/@name@.serial
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = dn
prompt = no
[dn]
commonName = test
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
"""


def _openssl(*arguments):
    done = subprocess.run(["openssl", *arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise RuntimeError("openssl %s: %s" % (arguments[0], done.stdout.decode()[-1000:]))


class Authority:
    def __init__(self, folder, name="ca"):
        self.folder = folder
        self.name = name
        self.path = self._file(name + ".pem")
        self.key = self._file(name + ".key")
        self._write(name + ".index", "")
        self._write(name + ".serial", "1000\n")
        self._config = self._write(name + ".cnf", _CONFIG.replace("@dir@", folder)
                                   .replace("@name@", name))
        self._make_key(self.key)
        _openssl("req", "-x509", "-new", "-config", self._config, "-extensions", "authority",
                 "-key", self.key, "-subj", "/CN=" + name, "-days", "3650", "-out", self.path)

    def _file(self, name):
        return os.path.join(self.folder, name)

    def _write(self, name, text):
        with open(self._file(name), "w") as f:
            f.write(text)
        return self._file(name)

    @staticmethod
    def _make_key(path):
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
        os.chmod(path, 0o644)

    def issue(self, name, hosts=(), subject=None, start="20200101000000Z", end="20990101000000Z"):
        """A certificate for hosts (names and IPv4 addresses); returns the paths of it and its key."""
        cert, key = self._file(name + ".pem"), self._file(name + ".key")
        self._make_key(key)
        _openssl("req", "-new", "-config", self._config, "-key", key,
                 "-subj", "/CN=" + (subject or name), "-out", self._file(name + ".csr"))
        names = ["%s:%s" % ("IP" if host.replace(".", "").isdigit() else "DNS", host)
                 for host in hosts]
        extensions = self._write(name + ".ext", "basicConstraints = CA:FALSE\n" +
                                 ("subjectAltName = %s\n" % ",".join(names) if names else ""))
        _openssl("ca", "-batch", "-notext", "-config", self._config, "-cert", self.path,
                 "-keyfile", self.key, "-in", self._file(name + ".csr"), "-extfile", extensions,
                 "-startdate", start, "-enddate", end, "-out", cert)
        return cert, key
