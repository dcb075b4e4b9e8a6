"""Mail and webhooks against servers that fail at random: whatever they do, each recipient has everything once, or the hub says that it is parked.

Called by `cargo xtask test` as `mail.py URL` with a coordinator's key in BONGSU_KEY, against a hub of its own that sends its mail to port MAIL_PORT of
this machine as MAIL_USER with MAIL_PASSWORD (by STARTTLS where MAIL_CERTIFICATE and MAIL_CERTIFICATE_KEY name files) and may call 127.0.0.0/8.

"Once" is what a recipient sees that keeps ids: a mail or a call whose answer was lost comes again, with the same Message-ID or webhook-id.
"""

import base64
import email
import email.policy
import hashlib
import hmac
import http.server
import json
import os
import random
import re
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

SEED = 20261121
# Batches of events, and events of each.
BATCHES = 6
EVENTS = 5
# How often a server may fail in all, and in a row: the hub waits for half a minute after the first attempt and for longer after each more.
FAILURES = 5
IN_A_ROW = 2
# Until when everything must have arrived.
WITHIN = 600
# A signature may be so old.
FRESH = 300


class Dice:
    """Says when to fail, and how: for one receiver, with a bound."""

    def __init__(self, name: str, ways: list):
        self.random = random.Random(f"{SEED} {name}")
        self.ways, self.name = ways, name
        self.left, self.row = FAILURES, 0
        self.calm = True
        self.lock = threading.Lock()

    def thrown(self, among: list | None = None):
        """How to fail now; None: not at all."""
        with self.lock:
            if self.calm or self.left == 0 or self.row >= IN_A_ROW or self.random.random() < 0.4:
                self.row = 0
                return None
            self.left, self.row = self.left - 1, self.row + 1
            return self.random.choice(among or self.ways)


class MailServer:
    """Takes mail, refuses it for now, or takes it and is gone before it says so."""

    def __init__(self, port: int, user: str, password: str):
        self.dice = Dice("mail", ["451", "drop"])
        self.taken: list = []
        self.gone: set = set()
        self.log: list = []
        self.user, self.password = user.encode(), password.encode()
        self.encrypted = "MAIL_CERTIFICATE" in os.environ
        context = None
        if self.encrypted:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(os.environ["MAIL_CERTIFICATE"], os.environ["MAIL_CERTIFICATE_KEY"])
        self.controller = Controller(
            self, hostname="127.0.0.1", port=port, tls_context=context, require_starttls=self.encrypted,
            authenticator=self.authenticate, auth_required=True, auth_require_tls=self.encrypted,
        )  # fmt: skip

    def authenticate(self, server, session, envelope, mechanism, data) -> AuthResult:
        right = data.login == self.user and data.password == self.password
        return AuthResult(success=right)

    async def handle_RCPT(self, server, session, envelope, address, options) -> str:
        if address in self.gone:
            return "550 5.1.1 no such user"
        if self.dice.thrown(["451"]):
            self.log.append("451 to the recipient")
            return "451 4.3.0 try again later"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server, session, envelope) -> str:
        way = self.dice.thrown()
        self.log.append(way or "taken")
        if way == "451":
            return "451 4.3.0 try again later"
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        for address in envelope.rcpt_tos:
            self.taken.append((address, mail, session.ssl is not None))
        if way == "drop":
            # It has the mail, and the hub does not learn of it.
            server.transport.abort()
        return "250 taken"

    def of(self, address: str) -> list:
        return [mail for to, mail, _ in list(self.taken) if to == address]


class Receiver:
    """Takes webhooks, refuses them for now, or takes them and is gone before it says so; verifies every signature by its own computation."""

    def __init__(self):
        self.dice = Dice("webhook", ["500", "503", "429", "drop", "hang up"])
        self.taken: list = []
        self.wrong: list = []
        self.gone = True
        self.asked_when_gone = 0
        self.secrets: dict = {}
        self.log: list = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receiver.receive(self.path, self.headers, body)
                if status is None:
                    self.close_connection = True
                    self.connection.close()
                    return
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

            def handle(self):
                try:
                    super().handle()
                except (ConnectionError, ValueError, OSError):
                    pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def receive(self, path: str, headers, body: bytes):
        if path == "/gone" and self.gone:
            self.asked_when_gone += 1
            return 410
        way = self.dice.thrown()
        self.log.append(way or "taken")
        if way == "hang up":
            return None
        if way and way != "drop":
            return int(way)
        try:
            self.verify(path, headers, body)
        except AssertionError as problem:
            self.wrong.append(f"{path}: {problem}")
            return 400
        self.taken.append((path, headers["webhook-id"], body))
        return None if way == "drop" else 204

    def verify(self, path: str, headers, body: bytes) -> None:
        assert headers["content-type"] == "application/json", headers["content-type"]
        identifier, moment = headers["webhook-id"], headers["webhook-timestamp"]
        assert identifier and "." not in identifier, identifier
        assert abs(time.time() - int(moment)) < FRESH, f"signed at {moment}"
        secret = self.secrets[path]
        assert secret.startswith("whsec_"), "not a secret of Standard Webhooks"
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        signed = f"{identifier}.{moment}.".encode() + body
        expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert any(hmac.compare_digest(one, expected) for one in headers["webhook-signature"].split()), "the signature is not ours"
        payload = json.loads(body)
        assert payload["type"] == "bongsu.delivery" and payload["data"]["id"] == identifier, payload.get("type")

    def of(self, path: str) -> list:
        return [(identifier, body) for to, identifier, body in list(self.taken) if to == path]


class Hub:
    """The calls that are needed, with one key."""

    def __init__(self, url: str, key: str):
        self.url, self.key = url, key

    def call(self, path: str, body=None, media: str = "application/json", method: str | None = None):
        data = None if body is None else (body if isinstance(body, bytes) else json.dumps(body).encode())
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": media}
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.code} {error.read().decode(errors='replace')}") from error

    def member(self, name: str, role: str) -> "Hub":
        wanted = {"name": name, "kind": "company", "constituency": "private", "sector": "finance", "country": "KR"}
        organisation = self.call("/api/v1/organisations", wanted)
        return Hub(self.url, self.call(f"/api/v1/organisations/{organisation['id']}/keys", {"role": role})["key"])

    def submit(self, values: list) -> None:
        lines = [{"time": time.time(), "category": "phishing", "value": value, "tlp": "green"} for value in values]
        outcome = self.call("/api/v1/events", "\n".join(map(json.dumps, lines)).encode(), "application/x-ndjson")
        assert outcome["accepted"] == len(values), outcome

    def subscribe(self, name: str, channel: dict, **fields) -> dict:
        return self.call("/api/v1/subscriptions", {"name": name, "about": "events", "filter": {}, "channel": channel, "language": "ko", **fields})

    def subscription(self, identifier: str) -> dict:
        return self.call(f"/api/v1/subscriptions/{identifier}")

    def confirm(self, identifier: str, code: str) -> None:
        self.call(f"/api/v1/subscriptions/{identifier}/confirm", {"code": code})

    def resume(self, identifier: str) -> None:
        self.call(f"/api/v1/subscriptions/{identifier}/resume", b"")


def until(what: str, true, within: float = WITHIN):
    """Waits for something to be so; gives it."""
    deadline = time.monotonic() + within
    while True:
        found = true()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within:.0f} s: {what}"
        time.sleep(0.25)


def once(copies: list, values_in) -> list:
    """The values that a recipient has who keeps ids. Copies of a message are the same."""
    by_id: dict = {}
    for identifier, content in copies:
        assert by_id.setdefault(identifier, content) == content, f"two messages have the id {identifier}"
    return [value for content in by_id.values() for value in values_in(content)]


def in_payload(body: bytes) -> list:
    return [observable["value"] for event in json.loads(body)["data"]["events"] for observable in event["observables"]]


def in_mail(attached: str) -> list:
    events = [json.loads(line) for line in attached.splitlines()]
    return [observable["value"] for line in events if "event" in line for observable in line["event"]["observables"]]


def attachment(mail, ending: str) -> str:
    """The text of an attachment; empty for a mail without one, such as a code."""
    found = [part for part in mail.iter_attachments() if (part.get_filename() or "").endswith(ending)]
    return found[0].get_payload(decode=True).decode() if found else ""


def looks_right(mail) -> None:
    """A mail of events is what the documentation says."""
    assert mail["from"].addresses[0].addr_spec == "alert@cert.example", mail["from"]
    assert mail["message-id"].endswith("@main.cert.example>"), mail["message-id"]
    assert mail["auto-submitted"] == "auto-generated" and mail["list-id"].endswith(".main.cert.example>") and mail["date"], mail.items()
    assert mail["subject"].startswith("[TLP:GREEN] [봉수] 위협정보 ") and mail["x-bongsu-tlp"] == "GREEN", mail["subject"]
    text = mail.get_body().get_content()
    assert len(text.splitlines()) <= 52 and "https://hub.cert.example" in text, text
    assert "hxxp://" in text and "http://" not in text, text
    assert attachment(mail, ".csv").startswith("record,seq,id,"), attachment(mail, ".csv")


def copies_of(mails: list) -> list:
    return [(mail["message-id"], attachment(mail, ".ndjson")) for mail in mails if attachment(mail, ".ndjson")]


def main() -> int:
    url, key = sys.argv[1], os.environ["BONGSU_KEY"]
    server = MailServer(int(os.environ["MAIL_PORT"]), os.environ["MAIL_USER"], os.environ["MAIL_PASSWORD"])
    server.controller.start()
    receiver = Receiver()
    coordinator = Hub(url, key)
    reporter, member = coordinator.member("Reporter", "reporter"), coordinator.member("Subscriber", "member-admin")

    # Each channel twice: one whose receiver fails now and then, one whose receiver is gone for a while.
    mails, hooks = {}, {}
    for address in ("duty@bank.example", "gone@bank.example"):
        mails[address] = member.subscribe(address, {"mail": {"address": address}})["id"]
        asked = until(f"the code for {address}", lambda: server.of(address))[0]  # noqa: B023
        assert member.subscription(mails[address])["state"] == "unconfirmed"
        code = re.search(r"\b[0-9A-F]{4}(-[0-9A-F]{4}){2}\b", asked.get_body().get_content())
        assert code, asked.get_body().get_content()
        member.confirm(mails[address], code.group())
    for path in ("/hook", "/gone"):
        made = member.subscribe(path, {"webhook": {"url": receiver.url(path)}})
        hooks[path], receiver.secrets[path] = made["id"], made["secret"]
        assert "secret" not in member.subscription(made["id"]), "a secret is shown once"
    server.gone.add("gone@bank.example")
    server.dice.calm = receiver.dice.calm = False

    values = [f"http://evil-{number}.example/login" for number in range(BATCHES * EVENTS)]
    for start in range(0, len(values), EVENTS):
        reporter.submit(values[start : start + EVENTS])
        time.sleep(1.5)

    wanted = sorted(values)
    until("all by webhook", lambda: set(once(receiver.of("/hook"), in_payload)) >= set(values))
    until("all by mail", lambda: set(once(copies_of(server.of("duty@bank.example")), in_mail)) >= set(values))
    # An answer that was lost makes the hub try once more; let it.
    for identifier in (hooks["/hook"], mails["duty@bank.example"]):
        until("nothing on its way", lambda: member.subscription(identifier)["delivery"]["queued"] == 0)  # noqa: B023
    assert sorted(once(receiver.of("/hook"), in_payload)) == wanted, "each once by webhook"
    assert sorted(once(copies_of(server.of("duty@bank.example")), in_mail)) == wanted, "each once by mail"
    assert not receiver.wrong, receiver.wrong
    for mail in server.of("duty@bank.example"):
        if attachment(mail, ".ndjson"):
            looks_right(mail)
    if server.encrypted:
        assert all(encrypted for _, _, encrypted in server.taken), "a mail came without TLS"
    print(f"webhook: {len(receiver.of('/hook'))} calls taken, {len({one for one, _ in receiver.of('/hook')})} messages; it answered {receiver.log}", flush=True)
    duty = copies_of(server.of("duty@bank.example"))
    print(f"mail: {len(duty)} mails taken, {len({one for one, _ in duty})} messages; it answered {server.log}", flush=True)

    # What is gone is parked where everybody can see it, is not asked again and again, and goes on when somebody resumes it.
    for name, identifier in (("mail", mails["gone@bank.example"]), ("webhook", hooks["/gone"])):
        shown = until(f"{name} parked", lambda: (one := member.subscription(identifier))["state"] == "parked" and one, 60)  # noqa: B023
        assert shown["delivery"]["parked"] and re.search("410|550", shown["delivery"]["last_error"]), shown["delivery"]
    assert receiver.asked_when_gone == 1, f"a receiver that is gone was asked {receiver.asked_when_gone} times"
    server.dice.calm = receiver.dice.calm = True
    receiver.gone = False
    server.gone.clear()
    member.resume(hooks["/gone"])
    member.resume(mails["gone@bank.example"])
    until("all by webhook after it was resumed", lambda: sorted(once(receiver.of("/gone"), in_payload)) == wanted, 60)
    until("all by mail after it was resumed", lambda: sorted(once(copies_of(server.of("gone@bank.example")), in_mail)) == wanted, 60)
    assert not receiver.wrong, receiver.wrong
    print("what was parked came after it was resumed, each once", flush=True)
    server.controller.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
