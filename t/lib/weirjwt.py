"""Keys and JSON Web Tokens for end-to-end tests, made by the openssl command.

    key = Key("rsa", kid="a")            # rsa, rsa1024, p256, ed25519
    token = key.token({"iss": ..., "aud": ..., "exp": ...})
    document = jwks(key)
"""

import base64
import json
import os
import re
import subprocess
import tempfile

ALGORITHMS = {"rsa": "RS256", "p256": "ES256", "ed25519": "EdDSA"}
GENERATE = {"rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            "p256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            "ed25519": ["-algorithm", "ED25519"]}


def encode(data):
    """Base64url without padding; text, bytes, or a value that is written as JSON."""
    if not isinstance(data, (bytes, str)):
        data = json.dumps(data)
    data = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*arguments, data=b""):
    return subprocess.run(["openssl", *arguments], input=data, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=True).stdout


def der_integers(der):
    """The two integers of an ECDSA signature."""
    out = []
    at = 2 if der[1] < 0x80 else 3
    for _ in range(2):
        length = der[at + 1]
        out.append(int.from_bytes(der[at + 2:at + 2 + length], "big"))
        at += 2 + length
    return out


class Key:
    """A private key in a temporary file, and what its owner publishes."""

    def __init__(self, kind, kid=None, alg=None):
        self.kind = kind
        self.kid = kid
        self.alg = alg or ALGORITHMS[kind]
        handle, self.path = tempfile.mkstemp(prefix="weir-key-")
        os.close(handle)
        openssl("genpkey", *GENERATE[kind], "-out", self.path)

    def __del__(self):
        if os.path.exists(self.path):
            os.unlink(self.path)

    def public_pem(self):
        return openssl("pkey", "-in", self.path, "-pubout")

    def jwk(self, **more):
        """The public key as a JWK; more replaces members, None leaves one out."""
        der = openssl("pkey", "-in", self.path, "-pubout", "-outform", "DER")
        if self.kind == "rsa":
            text = openssl("rsa", "-in", self.path, "-noout", "-modulus").decode()
            modulus = bytes.fromhex(re.search("Modulus=([0-9A-F]+)", text).group(1))
            out = {"kty": "RSA", "n": encode(modulus), "e": "AQAB"}
        elif self.kind == "p256":
            out = {"kty": "EC", "crv": "P-256", "x": encode(der[-64:-32]), "y": encode(der[-32:])}
        else:
            out = {"kty": "OKP", "crv": "Ed25519", "x": encode(der[-32:])}
        out["alg"] = self.alg
        if self.kid is not None:
            out["kid"] = self.kid
        out.update(more)
        return {name: value for name, value in out.items() if value is not None}

    def sign(self, data, alg=None):
        alg = alg or self.alg
        if alg == "RS256":
            return openssl("dgst", "-sha256", "-sign", self.path, data=data)
        if alg == "PS256":
            return openssl("dgst", "-sha256", "-sign", self.path, "-sigopt", "rsa_padding_mode:pss",
                           "-sigopt", "rsa_pss_saltlen:digest", data=data)
        if alg == "ES256":
            r, s = der_integers(openssl("dgst", "-sha256", "-sign", self.path, data=data))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        with tempfile.NamedTemporaryFile() as f:
            f.write(data)
            f.flush()
            return openssl("pkeyutl", "-sign", "-inkey", self.path, "-rawin", "-in", f.name)

    def token(self, claims, header=None, alg=None):
        """A token; header replaces the whole header, claims may be text."""
        if header is None:
            header = {"alg": alg or self.alg, "typ": "JWT"}
            if self.kid is not None:
                header["kid"] = self.kid
        data = ("%s.%s" % (encode(header), encode(claims))).encode()
        return "%s.%s" % (data.decode(), encode(self.sign(data, alg)))


def jwks(*keys):
    """A key set of keys and of JWKs."""
    return {"keys": [key.jwk() if isinstance(key, Key) else key for key in keys]}


def forged(header, claims, signature):
    """A token with any signature."""
    return "%s.%s.%s" % (encode(header), encode(claims), encode(signature))
