"""The same requests to medallion, the reference server of OASIS, and to a running hub: every difference is listed and justified by the standard.

Called by `cargo xtask test` as `medallion.py URL` with a coordinator's key in BONGSU_KEY, against a hub of its own. medallion 3.0.0 runs in a process of
its own with its memory backend. Prints the table of docs/taxii.md; fails where an answer differs and nothing here says why, or where the hub's is not the one
that is said here to be right.

Source: OASIS TAXII 2.1; the sections are its.
"""

import base64
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

MEDIA = "application/taxii+json;version=2.1"
STIX = ["application/stix+json;version=2.1", "application/stix+json;version=2.0"]
COLLECTION = "91a7b528-80eb-42ed-a74d-c6fbd5a26116"
UNKNOWN = "0190a5b8-a1b2-4000-8000-0000000000ff"
READY_WITHIN = 30
SIX_DIGITS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
DATES = ("x-taxii-date-added-first", "x-taxii-date-added-last")


class Server:
    """One of the two, with what its paths begin with."""

    def __init__(self, url: str, root: str, password: str):
        self.address = urllib.parse.urlsplit(url).netloc
        self.places = {"root": root, "collection": COLLECTION}
        self.credentials = "Basic " + base64.b64encode(f"anyone:{password}".encode()).decode()

    def ask(self, method: str, path: str, headers: dict, body=None):
        connection = http.client.HTTPConnection(self.address, timeout=60)
        connection.putrequest(method, path.format(**self.places), skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, self.credentials if value == "CREDENTIALS" else value)
        data = None if body is None else (body if isinstance(body, bytes) else json.dumps(body).encode())
        if data is not None:
            connection.putheader("Content-Length", str(len(data)))
        connection.endheaders(data)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.headers, content


class Medallion(Server):
    """The reference server, ended with this value."""

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        super().__init__(f"http://127.0.0.1:{port}", "/main", "secret")
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        collection = {"id": COLLECTION, "title": "intelligence", "description": "-", "alias": "intelligence", "can_read": True, "can_write": True, "media_types": STIX}
        root = {"title": "-", "versions": [MEDIA], "max_content_length": 64 * 1024 * 1024}
        data = {
            "/discovery": {"title": "-", "description": "-", "default": f"http://{self.address}/main/", "api_roots": [f"http://{self.address}/main/"]},
            "main": {"information": root, "status": [], "collections": [collection | {"objects": [], "manifest": []}]},
        }
        backend = {"module": "medallion.backends.memory_backend", "module_class": "MemoryBackend", "filename": str(folder / "data.json")}
        (folder / "data.json").write_text(json.dumps(data))
        (folder / "settings.json").write_text(json.dumps({"backend": backend, "users": {"anyone": "secret"}, "taxii": {"max_page_size": 1000}}))
        command = [sys.executable, "-m", "medallion.scripts.run", "--port", str(port), str(folder / "settings.json")]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
        deadline = time.monotonic() + READY_WITHIN
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                assert self.process.poll() is None and time.monotonic() < deadline, "medallion does not start"
                time.sleep(0.1)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


class Hub(Server):
    def __init__(self, url: str, key: str):
        super().__init__(url, "/taxii2/main", key)
        _, _, content = self.ask("GET", "{root}/collections/", {"Authorization": "CREDENTIALS", "Accept": MEDIA})
        self.places["collection"] = next(found["id"] for found in json.loads(content)["collections"] if found["title"] == "intelligence")


def tool(number: int, year: int = 2020, **more) -> dict:
    head = {"type": "tool", "spec_version": "2.1", "id": f"tool--0190a5b8-a1b2-4000-8000-{number:012x}", "created": "2010-01-01T00:00:00.000Z"}
    return head | {"modified": f"{year}-01-01T00:00:00.000Z", "name": f"tool {number}"} | more


def old(number: int) -> dict:
    """An object of STIX 2.0."""
    return {name: value for name, value in tool(number).items() if name != "spec_version"}


ADDRESS = {"type": "ipv4-addr", "spec_version": "2.1", "id": "ipv4-addr--826fe3cb-56b0-5620-9d30-4c17ed7b24e3", "value": "203.0.113.5"}
A, B, C = tool(1)["id"], tool(2)["id"], tool(3)["id"]
OBJECTS, MANIFEST = "{root}/collections/{collection}/objects/", "{root}/collections/{collection}/manifest/"
FUTURE = "2999-01-01T00:00:00Z"


def get(name: str, path: str, **headers) -> tuple:
    return name, "GET", path, headers, None


def post(name: str, body, **headers) -> tuple:
    return name, "POST", OBJECTS, headers, body


def delete(name: str, path: str) -> tuple:
    return name, "DELETE", path, {}, None


def asked(name: str, query: str, listing: str = OBJECTS) -> tuple:
    return get(name, f"{listing}?{query}")


# In this order: later requests are about what earlier ones left. A header that is None is left out; {next} and {status} are what the answer before gave.
REQUESTS = [
    get("discovery", "/taxii2/"),
    get("discovery, no credentials", "/taxii2/", Authorization=None),
    get("discovery, nothing said of types", "/taxii2/", Accept=None),
    get("discovery, any type", "/taxii2/", Accept="*/*"),
    get("discovery, the type without a version", "/taxii2/", Accept="application/taxii+json"),
    get("discovery, types with weights", "/taxii2/", Accept="text/html, application/taxii+json;version=2.1;q=0.5"),
    get("discovery, version 2.0", "/taxii2/", Accept="application/taxii+json;version=2.0"),
    get("discovery, JSON", "/taxii2/", Accept="application/json"),
    get("root", "{root}/"),
    get("root without the slash", "{root}"),
    get("root, unknown", "{root}x/"),
    get("unknown path", "{root}/nothing/"),
    get("collections", "{root}/collections/"),
    get("collection", "{root}/collections/{collection}/"),
    get("collection by its alias", "{root}/collections/intelligence/"),
    get("collection, unknown", f"{{root}}/collections/{UNKNOWN}/"),
    asked("objects of nothing", ""),
    asked("manifest of nothing", "", MANIFEST),
    post("add as JSON", {"objects": [tool(1)]}, **{"Content-Type": "application/json"}),
    post("add what is no JSON", b"{"),
    post("add no envelope", {}),
    post("add a list", []),
    post("add", {"objects": [ADDRESS, tool(1), tool(2), old(3)]}),
    get("status", "{root}/status/{status}/"),
    get("status, unknown", f"{{root}}/status/{UNKNOWN}/"),
    post("add the same again", {"objects": [tool(1)]}),
    post("add an object without an id", {"objects": [{"type": "tool"}]}),
    post("add as STIX", {"objects": [tool(1)]}, **{"Content-Type": "application/stix+json"}),
    post("add, the type without a version", {"objects": [tool(1)]}, **{"Content-Type": "application/taxii+json"}),
    post("add a newer and an older version", {"objects": [tool(1, 2021), tool(1, 2019)]}),
    asked("objects", ""),
    asked("objects, two", "limit=2"),
    asked("objects, the next two", "limit=2&next={next}"),
    asked("objects, two again", "limit=2"),
    asked("objects, next with another filter", "limit=2&next={next}&match[type]=tool"),
    asked("objects, next of nonsense", "limit=2&next=nonsense"),
    asked("objects, empty next", "limit=2&next="),
    asked("objects, limit 0", "limit=0"),
    asked("objects, limit -1", "limit=-1"),
    asked("objects, limit x", "limit=x"),
    asked("objects, added after nonsense", "added_after=yesterday"),
    asked("objects, added after, twice", f"added_after=2020-01-01T00:00:00Z&added_after={FUTURE}"),
    asked("objects, added in the future", f"added_after={FUTURE}"),
    asked("objects, added since 2020", "added_after=2020-01-01T00:00:00.000000Z"),
    asked("objects, one id", f"match[id]={A}"),
    asked("objects, two ids", f"match[id]={A},{B}"),
    asked("objects, one type", "match[type]=tool"),
    asked("objects, two types", "match[type]=tool,ipv4-addr"),
    asked("objects, a type and an id", f"match[type]=ipv4-addr&match[id]={A}"),
    asked("objects, an unknown type", "match[type]=x-nothing"),
    asked("objects, all versions", "match[version]=all"),
    asked("objects, first versions", "match[version]=first"),
    asked("objects, last versions", "match[version]=last"),
    asked("objects, first and last versions", "match[version]=first,last"),
    asked("objects, a version by its date", "match[version]=2019-01-01T00:00:00.000Z"),
    asked("objects, all and last versions", "match[version]=all,last"),
    asked("objects, a version of nonsense", "match[version]=newest"),
    asked("objects of STIX 2.0", "match[spec_version]=2.0"),
    asked("objects of STIX 2.1", "match[spec_version]=2.1"),
    asked("objects, an unknown match", "match[colour]=red"),
    asked("objects, a match given twice", "match[type]=tool&match[type]=ipv4-addr"),
    asked("manifest", "", MANIFEST),
    asked("manifest, all versions", "match[version]=all", MANIFEST),
    asked("manifest, two", "limit=2", MANIFEST),
    get("object", f"{OBJECTS}{A}/"),
    get("object, all versions", f"{OBJECTS}{A}/?match[version]=all"),
    get("object, of STIX 2.0", f"{OBJECTS}{A}/?match[spec_version]=2.0"),
    get("object, of another type", f"{OBJECTS}{A}/?match[type]=malware"),
    get("object, unknown", f"{OBJECTS}{tool(9)['id']}/"),
    get("versions", f"{OBJECTS}{A}/versions/"),
    get("versions, one", f"{OBJECTS}{A}/versions/?limit=1"),
    get("versions, unknown", f"{OBJECTS}{tool(9)['id']}/versions/"),
    ("put", "PUT", OBJECTS, {}, {"objects": []}),
    delete("delete a version", f"{OBJECTS}{A}/?match[version]=2019-01-01T00:00:00.000Z"),
    get("object, all versions but that", f"{OBJECTS}{A}/?match[version]=all"),
    delete("delete", f"{OBJECTS}{A}/"),
    get("object after that", f"{OBJECTS}{A}/"),
    delete("delete, unknown", f"{OBJECTS}{tool(9)['id']}/"),
    delete("delete another", f"{OBJECTS}{B}/"),
    get("object after that, too", f"{OBJECTS}{B}/"),
    post("add an object with a broken id", {"objects": [tool(4, id="tool--1")]}),
]

NEGOTIATED = "1.6.8, 3.1: nothing said, ranges, weights and the type without a version are valid, and a defined type is never refused"
ERRORS = "3.1, 3.6.1: errors, too, are messages of TAXII's media type with a title and the status"
REFUSED = "3.4: what cannot be read is the client's error"
REPEATED = "3.4: a field is given once at the most"
AGAIN = "5.5: what is there in the same version already is no failure"
SIX = "2: timestamps have six digits"
NO_BODY = "5.7 asks for no body; an empty object is of the media type that every answer has (3.1)"
TAKEN = ["failure_count", "id", "pending_count", "request_timestamp", "status", "success_count", "successes", "total_count"]
FAILED = ["failure_count", "failures", "id", "pending_count", "request_timestamp", "status", "success_count", "total_count"]

# Where the two differ: the request and the fact, the hub's answer, and why the standard wants it so or leaves it open.
EXPLAINED = {
    ("discovery, no credentials", "type"): (MEDIA, ERRORS),
    ("discovery, no credentials", "message"): (True, ERRORS),
    ("discovery, no credentials", "challenge"): (["Basic", "Bearer"], "schemes beside Basic are allowed"),
    ("discovery, nothing said of types", "status"): (200, NEGOTIATED),
    ("discovery, any type", "status"): (200, NEGOTIATED),
    ("discovery, the type without a version", "status"): (200, NEGOTIATED),
    ("discovery, types with weights", "status"): (200, NEGOTIATED),
    ("root without the slash", "status"): (200, "left open: a path without its slash is answered instead of redirected"),
    ("unknown path", "type"): (MEDIA, ERRORS),
    ("unknown path", "message"): (True, ERRORS),
    ("collection by its alias", "status"): (200, "5.2.1: an alias stands for the id in a path"),
    ("add what is no JSON", "status"): (422, "5.5: a malformed body is 422"),
    ("add the same again", "success_count"): (1, AGAIN),
    ("add the same again", "failure_count"): (0, AGAIN),
    ("add the same again", "keys"): (TAKEN, AGAIN),
    ("add an object without an id", "status"): (202, "4.3, 5.5: one object that fails is in the status and fails alone"),
    ("add as STIX", "status"): (202, "left open: some clients send it, and an envelope in it is taken"),
    ("add, the type without a version", "status"): (202, NEGOTIATED),
    ("objects, empty next", "status"): (200, "left open: taxii2-client sends it for none"),
    ("objects, added after nonsense", "status"): (400, REFUSED),
    ("objects, added after, twice", "status"): (400, REPEATED),
    ("objects, all and last versions", "status"): (400, "3.4.1: all stands alone"),
    ("objects, a version of nonsense", "status"): (400, REFUSED),
    ("objects, a match given twice", "status"): (400, REPEATED),
    ("manifest", "six digits"): (True, SIX),
    ("manifest, all versions", "six digits"): (True, SIX),
    ("manifest, two", "six digits"): (True, SIX),
    ("versions", "versions"): (["2020", "2021", "2019"], "3.3: what is listed is in the order in which it was added"),
    ("versions", "six digits"): (True, SIX),
    ("versions, one", "six digits"): (True, SIX),
    ("put", "type"): (MEDIA, ERRORS),
    ("put", "message"): (True, ERRORS),
    ("delete a version", "body"): ("object", NO_BODY),
    ("delete", "body"): ("object", NO_BODY),
    ("delete another", "body"): ("object", NO_BODY),
    ("object after that", "status"): (404, "5.7: without a version the object is deleted, and then it is 404"),
    ("add an object with a broken id", "success_count"): (0, "STIX 2.1, 2.9: an id is the type and a UUID"),
    ("add an object with a broken id", "failure_count"): (1, "STIX 2.1, 2.9: an id is the type and a UUID"),
    ("add an object with a broken id", "keys"): (FAILED, "STIX 2.1, 2.9: an id is the type and a UUID"),
}


def facts(status: int, headers, content: bytes) -> dict:
    """What of an answer is compared: neither ids that are drawn nor dates nor words."""
    found = {"status": status, "type": (headers.get("content-type") or "").replace(" ", "")}
    if status == 401:
        found["challenge"] = sorted({value.split(" ")[0] for value in headers.get_all("www-authenticate") or []})
    found["dates"] = [name in headers for name in DATES]
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if status >= 400:
        found["message"] = isinstance(body, dict) and isinstance(body.get("title"), str) and body.get("http_status") == str(status)
        return found
    found["body"] = "object" if isinstance(body, dict) else "another" if content else "none"
    if found["body"] != "object":
        return found
    # Absent is false (3.7).
    found["more"], found["next"] = body.get("more", False), "next" in body
    found["keys"] = sorted(set(body) - {"more", "next", "objects"})
    found |= {name: body[name] for name in ("total_count", "success_count", "failure_count", "pending_count") if name in body}
    written = []
    if "objects" in body:
        found["objects"] = [(entry["id"], year(entry), entry.get("media_type")) for entry in body["objects"]]
        written += [entry[name] for entry in body["objects"] for name in ("date_added", "version") if name in entry]
    # The API root has versions as well: of TAXII.
    if "versions" in body and "title" not in body:
        found["versions"] = [version[:4] for version in body["versions"]]
        written += body["versions"]
    found["six digits"] = all(SIX_DIGITS.fullmatch(text) is not None for text in written)
    return found


def year(entry: dict):
    """The year of an object's version, but for one that the server chose."""
    version = entry.get("modified") or entry.get("created") or entry.get("version")
    return version[:4] if version and entry["id"] != ADDRESS["id"] else None


def differences(theirs: dict, ours: dict) -> list:
    """The facts in which two answers differ; beside another status or no body nothing else is compared."""
    for first in ("status", "body"):
        if theirs.get(first) != ours.get(first):
            return [first]
    return [fact for fact in sorted(set(theirs) | set(ours)) if theirs.get(fact) != ours.get(fact)]


def answers(server: Server) -> dict:
    told, noted = {}, {"next": "", "status": ""}
    for name, method, path, headers, body in REQUESTS:
        sent = {"Authorization": "CREDENTIALS", "Accept": MEDIA}
        if body is not None:
            sent["Content-Type"] = MEDIA
        sent |= headers
        for key, value in noted.items():
            path = path.replace(f"{{{key}}}", value)
        status, got, content = server.ask(method, path, {key: value for key, value in sent.items() if value is not None}, body)
        told[name] = facts(status, got, content)
        if name == "add":
            noted["status"] = json.loads(content)["id"]
        if b'"next"' in content:
            noted["next"] = urllib.parse.quote(json.loads(content).get("next") or noted["next"])
    return told


def main() -> int:
    url, key = sys.argv[1], os.environ["BONGSU_KEY"]
    medallion = Medallion()
    try:
        theirs = answers(medallion)
    finally:
        medallion.end()
    ours = answers(Hub(url, key))
    rows, unexplained, used = [], [], set()
    for name, *_ in REQUESTS:
        if ours[name]["type"] != MEDIA or ours[name].get("message") is False:
            unexplained.append((name, "the hub's answer is no TAXII", ours[name]))
        for fact in differences(theirs[name], ours[name]):
            one, other = theirs[name].get(fact), ours[name].get(fact)
            expected, why = EXPLAINED.get((name, fact), (None, None))
            used.add((name, fact))
            if why is None or expected != other:
                unexplained.append((name, fact, f"medallion: {one}", f"the hub: {other}", f"right would be {expected}" if why else "nothing says why"))
            rows.append((name, fact, one, other, why or "?"))
    print("| Request | Fact | medallion 3.0.0 | The hub | Why |")
    print("|---|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(f"{len(REQUESTS)} requests, {len(rows)} differences", flush=True)
    for stale in sorted(set(EXPLAINED) - used):
        print("no longer differs:", *stale)
    for problem in unexplained:
        print("unexplained:", *problem)
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
