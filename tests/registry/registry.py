# SPDX-License-Identifier: Apache-2.0
"""Real registries on loopback: Debian's docker-registry in each mode, its certificates, a token service.

Nothing here knows caisson: bench and other tests use it as well. All of it lives in a directory that the
caller gives and ends by close().
"""

import base64
import contextlib
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.parse

from web import Server

READY_SECONDS = 15
USER, PASSWORD = "alice", "s3cret"
# bcrypt with the least cost: the tests log in often.
HTPASSWD = "alice:$2b$04$tullhFYsCrGsfuPBYT3Q2uE6f.R9xul07lRnNb0eJDEgn4Vep6apy\n"
# What docker-registry adds to a token's end: it would take an hour of tests to see one expire.
REGISTRY_LEEWAY_SECONDS = 60


def run(*command, **more):
    """A command that has to succeed; its standard output."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, **more)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.decode(errors='replace')[-2000:]}"
    return done.stdout


def free_port(host="127.0.0.1"):
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, 0))
        return sock.getsockname()[1]


# ---- certificates ----------------------------------------------------------------------------------

class Certificate:
    """Files of one certificate: `chain` and `key`, both PEM."""

    def __init__(self, chain, key):
        self.chain, self.key = chain, key


class Authority:
    """A certificate authority of one's own. `directory` is a docker-style certs.d entry: ca.crt."""

    def __init__(self, directory, name="caisson test authority"):
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        # No *.key and *.cert: those would be a client's pair.
        self.key, self.certificate = os.path.join(directory, "ca.private"), os.path.join(directory, "ca.crt")
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-days", "2",
            "-keyout", self.key, "-out", self.certificate)

    def issue(self, name, hosts=("DNS:localhost", "IP:127.0.0.1", "IP:127.0.0.2"), days=2):
        """A server's certificate; days may be negative."""
        path = os.path.join(self.directory, name)
        run("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout",
            path + ".private", "-out", path + ".request")
        with open(path + ".extensions", "w") as file:
            file.write(f"subjectAltName={','.join(hosts)}\n")
        run("openssl", "x509", "-req", "-in", path + ".request", "-CA", self.certificate, "-CAkey", self.key,
            "-CAcreateserial", "-days", str(days), "-extfile", path + ".extensions", "-out", path + ".pem")
        return Certificate(path + ".pem", path + ".private")

    def context(self):
        return ssl.create_default_context(cafile=self.certificate)


# ---- tokens ----------------------------------------------------------------------------------------

def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class TokenService(Server):
    """GET /token as Docker's specification has it. What a token is worth can be changed at any time:
    lifetime (seconds that the registry takes it for), told (expires_in as told; None: not told),
    anonymous (whether a pull needs an account), actions (what an account may do)."""

    service, issuer = "caisson-test", "caisson-test-issuer"

    def __init__(self, certificate, lifetime=300, told=300, anonymous=False):
        self.certificate = certificate
        self.lifetime, self.told, self.anonymous = lifetime, told, anonymous
        self.actions = {"pull", "push", "delete", "*"}
        self.field = "token"
        super().__init__(certificate=certificate)

    @property
    def realm(self):
        return self.url + "/token"

    def answer(self, exchange):
        if exchange.command != "GET" or not exchange.path.startswith("/token"):
            exchange.reply(404, {"details": "not here"})
            return
        who = self.account(exchange.headers.get("Authorization"))
        if who is None:
            exchange.reply(401, {"details": "incorrect username or password"})
            return
        allowed = self.actions if who else {"pull"} & self.actions
        access = []
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(exchange.path).query)
        for scope in " ".join(query.get("scope", [])).split():
            kind, name, actions = scope.split(":", 2)
            access.append({"type": kind, "name": name,
                           "actions": [a for a in actions.split(",") if a in allowed]})
        answer = {self.field: self.token(who, access)}
        if self.told is not None:
            answer["expires_in"] = self.told
        exchange.reply(200, answer, {"Content-Type": "application/json"})

    def account(self, authorization):
        """The user's name, "" for nobody in particular, None for a wrong password."""
        if authorization is None:
            return "" if self.anonymous else None
        with contextlib.suppress(ValueError):
            kind, value = authorization.split()
            if kind.lower() == "basic" and base64.b64decode(value).decode() == f"{USER}:{PASSWORD}":
                return USER
        return None

    def token(self, who, access):
        with open(self.certificate.chain) as file:
            der = ssl.PEM_cert_to_DER_cert(file.read())
        now = int(time.time())
        head = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        claims = {"iss": self.issuer, "sub": who, "aud": self.service, "iat": now - 120, "nbf": now - 120,
                  "exp": now + self.lifetime - REGISTRY_LEEWAY_SECONDS, "jti": os.urandom(8).hex(),
                  "access": access}
        text = b".".join(base64url(json.dumps(part).encode()) for part in (head, claims))
        signature = run("openssl", "dgst", "-sha256", "-sign", self.certificate.key, input=text)
        return (text + b"." + base64url(signature)).decode()


# ---- the registry ----------------------------------------------------------------------------------

class Registry:
    """docker-registry; `tls` is a Certificate, `htpasswd` says that it wants USER and PASSWORD, `tokens` is
    the TokenService that it believes. kill() and start() keep its data and its port."""

    def __init__(self, directory, tls=None, htpasswd=False, tokens=None, authority=None):
        self.directory = directory
        self.storage = os.path.join(directory, "storage")
        os.makedirs(self.storage, exist_ok=True)
        self.port, self.tls, self.authority, self.process = free_port(), tls, authority, None
        self.accounts = bool(htpasswd or tokens)
        config = {
            "version": "0.1", "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": self.storage}, "delete": {"enabled": True},
                        "maintenance": {"uploadpurging": {"enabled": False}}},
            "http": {"addr": f"127.0.0.1:{self.port}", "secret": "of the tests"},
        }
        if tls is not None:
            config["http"]["tls"] = {"certificate": tls.chain, "key": tls.key}
        if htpasswd:
            path = os.path.join(directory, "htpasswd")
            with open(path, "w") as file:
                file.write(HTPASSWD)
            config["auth"] = {"htpasswd": {"realm": "caisson-test", "path": path}}
        if tokens is not None:
            config["auth"] = {"token": {"realm": tokens.realm, "service": tokens.service,
                                        "issuer": tokens.issuer, "rootcertbundle": authority.certificate}}
        self.config = os.path.join(directory, "config.yml")
        with open(self.config, "w") as file:
            json.dump(config, file)  # YAML takes JSON
        self.log_path = os.path.join(directory, "log")

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://{self.address}"

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "docker-registry", "serve", self.config],
                                            stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/")
        end = time.monotonic() + READY_SECONDS
        while not self.ready():
            assert self.process.poll() is None and time.monotonic() < end, self.log()
            time.sleep(0.02)
        return self

    def ready(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            with contextlib.closing(self.connection(2)) as connection:
                connection.request("GET", "/v2/")
                return connection.getresponse().status in (200, 401)
        return False

    def connection(self, timeout=60):
        if self.tls is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout,
                                           context=self.authority.context())

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()[-2000:]

    def kill(self):
        """As a crash would end it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    close = kill

    def blob(self, digest):
        """The path of a blob's bytes in the registry's own storage."""
        hexadecimal = digest.split(":")[1]
        return os.path.join(self.storage, "docker/registry/v2/blobs/sha256", hexadecimal[:2], hexadecimal, "data")

    # what skopeo does with it
    def skopeo_options(self, side="src"):
        """Of `skopeo copy` for this end: "src-" and "dest-"; of `skopeo inspect` with side ""."""
        side = side + "-" if side else ""
        options = [f"--{side}cert-dir={self.authority.directory}"] if self.tls else [f"--{side}tls-verify=false"]
        return options + ([f"--{side}creds={USER}:{PASSWORD}"] if self.accounts else [])

    def fill(self, source, name, *options):
        """skopeo copy of anything that skopeo names to name:tag here; returns the manifest's digest."""
        digests = os.path.join(self.directory, "digest")
        skopeo("copy", "--quiet", f"--digestfile={digests}", *options, *self.skopeo_options("dest"), source,
               f"docker://{self.address}/{name}")
        with open(digests) as file:
            return file.read().strip()

    def inspect(self, name):
        """What skopeo says of name:tag or name@digest."""
        return json.loads(skopeo("inspect", *self.skopeo_options(""), f"docker://{self.address}/{name}"))

    def manifest(self, name):
        """The manifest's bytes, as they are here."""
        return skopeo("inspect", "--raw", *self.skopeo_options(""), f"docker://{self.address}/{name}")

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()


def skopeo(command, *arguments):
    """skopeo with a policy and a temporary directory of its own."""
    with tempfile.TemporaryDirectory(prefix="caisson-skopeo.") as top:
        policy = os.path.join(top, "policy.json")
        with open(policy, "w") as file:
            json.dump({"default": [{"type": "insecureAcceptAnything"}]}, file)
        environment = {"PATH": os.environ["PATH"], "HOME": top, "TMPDIR": top, "XDG_RUNTIME_DIR": top}
        return run("skopeo", "--policy", policy, "--tmpdir", top, command, *arguments, env=environment)


def available():
    """What is missing to run all of this, or None."""
    missing = [name for name in ("docker-registry", "skopeo", "openssl") if shutil.which(name) is None]
    return f"{', '.join(missing)} not installed" if missing else None
