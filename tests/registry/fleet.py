# SPDX-License-Identifier: Apache-2.0
"""All servers of a session, with addresses that the engines' configuration can name before they start."""

import base64
import json
import os
import shutil

import harness
from chaos import Proxy, Store
from registry import PASSWORD, USER, Authority, Registry, TokenService, free_port
from web import Server


def nobody(exchange):
    exchange.reply(404, {"errors": [{"code": "NAME_UNKNOWN", "message": "nothing here"}]})


class Fleet:
    """registries: anonymous, basic, tls, token; proxies: plain (before anonymous), secure (before tls),
    bearer (before token); `hostile` answers as a test says, and so does `stage`, which heal() leaves alone; servers with bad certificates."""

    def __init__(self, top):
        self.authority = Authority(os.path.join(top, "authority"))
        stranger = Authority(os.path.join(top, "stranger"), "an authority that nobody knows")
        self.certificate = self.authority.issue("server")
        self.tokens = TokenService(self.certificate)
        at = lambda name: os.path.join(top, name)  # noqa: E731
        self.anonymous = Registry(at("anonymous"))
        self.basic = Registry(at("basic"), htpasswd=True)
        self.tls = Registry(at("tls"), tls=self.certificate, authority=self.authority)
        self.token = Registry(at("token"), tls=self.certificate, tokens=self.tokens, authority=self.authority)
        self.registries = {"anonymous": self.anonymous, "basic": self.basic, "tls": self.tls, "token": self.token}

        self.plain = Proxy(self.anonymous)
        self.plain_basic = Proxy(self.basic)
        self.secure = Proxy(self.tls, self.certificate)
        self.bearer = Proxy(self.token, self.certificate)
        self.proxies = [self.plain, self.plain_basic, self.secure, self.bearer]
        self.elsewhere = Store(self.token, self.certificate)
        self.elsewhere_plain = Store(self.anonymous)

        self.hostile, self.stage = Server(nobody), Server(nobody)
        self.unknown_authority = Proxy(self.tls, stranger.issue("server"))
        self.wrong_host = Proxy(self.tls, self.authority.issue("other", hosts=("DNS:other.example",)))
        self.expired = Proxy(self.tls, self.authority.issue("expired", days=-1))
        self.not_tls = Proxy(self.anonymous)
        self.bad = {"unknown authority": self.unknown_authority, "wrong host": self.wrong_host,
                    "expired": self.expired, "not TLS": self.not_tls}

    @property
    def insecure(self):
        """Addresses that speak plain HTTP and may."""
        return [server.address for server in (self.anonymous, self.basic, self.plain, self.plain_basic,
                                              self.hostile, self.stage, self.elsewhere_plain)]

    def configure(self, directory):
        """Writes caisson's registries.conf for all of them. Names without a registry are those of `anonymous`;
        mirrored.test has two mirrors, of which the first is not there. Credentials for plain_basic stand in
        it, those for bearer in an auth.json; all others are for the tests to give."""
        os.makedirs(directory, exist_ok=True)
        password, accounts = os.path.join(directory, "password"), os.path.join(directory, "auth.json")
        both = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        for path, text in ((password, PASSWORD + "\n"),
                           (accounts, json.dumps({"auths": {self.bearer.address: {"auth": both}}}))):
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o640), "w") as file:
                file.write(text)
            shutil.chown(path, group=harness.gateway_user())
        sections = {address: ["plain_http = yes"] for address in self.insecure}
        sections[self.plain_basic.address] += [f"username = {USER}", f"password_file = {password}"]
        for server in (self.tls, self.token, self.secure, self.bearer, self.elsewhere, *self.bad.values()):
            sections[server.address] = [f"ca = {self.authority.certificate}"]
        sections["mirrored.test"] = [f"mirror = 127.0.0.1:{free_port()}", f"mirror = {self.plain.address}"]
        path = os.path.join(directory, "registries.conf")
        with open(path, "w") as file:
            file.write(f"[registries]\ndefault = {self.anonymous.address}\nauthfile = {accounts}\n")
            for address, lines in sections.items():
                file.write(f'[registry "{address}"]\n' + "".join(line + "\n" for line in lines))
        return path

    def start(self):
        for registry in self.registries.values():
            registry.start()

    def close(self):
        for server in (*self.proxies, *self.bad.values(), self.hostile, self.stage, self.elsewhere,
                       self.elsewhere_plain, self.tokens, *self.registries.values()):
            server.close()

    def heal(self):
        """As new: no fault, nothing counted, tokens that live."""
        for server in (*self.proxies, *self.bad.values(), self.hostile, self.elsewhere, self.elsewhere_plain,
                       self.tokens):
            server.records.clear()
            server.errors.clear()
            if server.listener is None:
                server.open()
        for proxy in (*self.proxies, *self.bad.values()):
            proxy.heal()
        for registry in self.registries.values():
            if registry.process is None:
                registry.start()
        self.hostile.answer = nobody
        self.tokens.lifetime = self.tokens.told = 300
        self.tokens.anonymous, self.tokens.field = False, "token"
        self.tokens.actions = {"pull", "push", "delete", "*"}
