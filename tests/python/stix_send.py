"""Sends the shared data to a hub in every way that members have: events, STIX objects over TAXII, events of MISP.

Flow: `send` → every source of every file in the name of three members, as clear, green and amber → STIX and MISP again over TAXII and `/misp/` → some taken back →
a last event, by which the collections are known to be complete.
Not here: what comes out (`stix_all.py`).
"""

import collections
import gzip
import io
import json
import pathlib
import subprocess
import tarfile
import time

import requests

PARTS = ("ioc", "stix", "misp", "taxii")
MARKINGS = ("clear", "green", "amber")
# One for each file that says none, in turn, so that every category's words are seen.
CATEGORIES = (
    "phishing", "c2-server", "infected-system", "scanner", "system-compromise", "other", "malware-distribution", "ddos", "spam", "brute-force", "exploit",
    "malware-configuration", "masquerade", "dos", "sniffing", "undetermined", "data-leak", "ddos-amplifier",
)  # fmt: skip
# Of so many sources one is taken back, by all three members.
TAKEN_BACK = 40
# STIX objects of a request.
BUNDLE = 5_000
LAST = "the-last-of-all.stix-all.kr"
FOLLOWS_WITHIN = 900
TAXII = "application/taxii+json;version=2.1"
HASTE = {429, 503}


class Hub:
    """The hub, for one key."""

    def __init__(self, url: str, key: str):
        self.url, self.session = url, requests.Session()
        self.session.headers["Authorization"] = f"Bearer {key}"

    def ask(self, method: str, path: str, **more) -> requests.Response:
        deadline = time.monotonic() + FOLLOWS_WITHIN
        while True:
            answer = self.session.request(method, self.url + path, timeout=600, **more)
            if answer.status_code not in HASTE or time.monotonic() > deadline:
                return answer
            time.sleep(min(float(answer.headers.get("Retry-After", "1")), 5))

    def call(self, method: str, path: str, **more):
        answer = self.ask(method, path, **more)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()


def member(url: str, coordinator: Hub, name: str, **more) -> Hub:
    about = {"name": name, "kind": "company", "constituency": "private", "sector": "telecom", **more}
    organisation = coordinator.call("POST", "/api/v1/organisations", json=about)["id"]
    return Hub(url, coordinator.call("POST", f"/api/v1/organisations/{organisation}/keys", json={"role": "analyst"})["key"])


def partner(coordinator: Hub) -> None:
    """So that there is a collection of an agreement, too."""
    about = {"name": "Partner", "kind": "partner", "country": "DE"}
    path = f"/api/v1/organisations/{coordinator.call('POST', '/api/v1/organisations', json=about)['id']}/agreement"
    version = coordinator.call("GET", path)["version"]
    coordinator.call("PUT", path, json={"version": version, "max_tlp": "amber", "reason": "a test"})


def unpacked(name: str, data: bytes):
    """The sources of a file, as `bongsu submit` reads through packings."""
    if data[:2] == b"\x1f\x8b":
        yield from unpacked(name.removesuffix(".gz"), gzip.decompress(data))
    elif data[:4] == b"\x28\xb5\x2f\xfd":
        data = subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE, check=True).stdout
        yield from unpacked(name.removesuffix(".zst"), data)
    elif data[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for entry in filter(tarfile.TarInfo.isfile, archive):
                yield from unpacked(f"{name}:{entry.name}", archive.extractfile(entry).read())
    else:
        yield name, data


def shortened(value, limit: int):
    if isinstance(value, list):
        return [shortened(item, limit) for item in value[:limit]]
    if isinstance(value, dict):
        inside = ("objects", "response", "Event", "Attribute", "Object")
        return {name: shortened(item, limit) if name in inside else item for name, item in value.items()}
    return value


def sources(folder: pathlib.Path, limit):
    """Name, bytes and the document, where it is one."""
    for path in sorted(path for part in PARTS for path in (folder / part).rglob("*") if path.is_file()):
        for name, data in unpacked(str(path.relative_to(folder)), path.read_bytes()):
            try:
                document = json.loads(data) if data.lstrip()[:1] in (b"{", b"[") else None
            except ValueError:
                document = None
            if limit and document is not None:
                document = shortened(document, limit)
                data = json.dumps(document, ensure_ascii=False).encode()
            elif limit:
                data = b"".join(data.splitlines(keepends=True)[:limit])
            yield name, data, document


def media(name: str) -> str:
    ending = name.rsplit(".", 1)[-1].lower()
    return {"stix": "application/stix+json", "stix2": "application/stix+json", "ndjson": "application/x-ndjson", "jsonl": "application/x-ndjson"}.get(
        ending, "application/octet-stream"
    )


def submit(members: dict, folder: pathlib.Path, limit) -> tuple:
    """Sends everything, each marking in the name of a member of its own: what has no time merges with what its sender said before."""
    counts, back, documents = collections.Counter(), [], []
    for place, (name, data, document) in enumerate(sources(folder, limit)):
        counts["sources"] += 1
        if document is not None:
            documents.append((name, document))
        if not data.strip():
            continue
        for marking, hub in members.items():
            parameters = {"tlp": marking, "category": CATEGORIES[place % len(CATEGORIES)], **({} if marking == "clear" else {"role": "attacker"})}
            answer = hub.ask("POST", "/api/v1/events", params=parameters, data=data, headers={"Content-Type": media(name)})
            assert answer.status_code in (200, 400, 422), f"{name}: {answer.status_code} {answer.text[:300]}"
            outcome = answer.json()
            counts.update({word: outcome.get(word) or 0 for word in ("accepted", "merged", "refused")})
            counts["requests without an event"] += not answer.ok
            if place % TAKEN_BACK == 0 and outcome.get("receipt"):
                back.append((hub, outcome["receipt"]))
    return counts, back, documents


def contribute(hub: Hub, collection: str, documents: list) -> tuple:
    """STIX objects as a member posts them; gives what was taken, by id, and counts."""
    sent, counts = collections.defaultdict(list), collections.Counter()
    for document in documents:
        given = document.get("objects") if isinstance(document, dict) else None
        objects = [entry for entry in given or [] if isinstance(entry, dict) and "type" in entry] if isinstance(given, list) else []
        for begin in range(0, len(objects), BUNDLE):
            some = objects[begin : begin + BUNDLE]
            path, headers = f"/taxii2/main/collections/{collection}/objects/", {"Content-Type": TAXII, "Accept": TAXII}
            answer = hub.ask("POST", path, data=json.dumps({"objects": some}), headers=headers)
            if answer.status_code == 422:
                counts["refused"] += len(some)
                continue
            assert answer.status_code == 202, answer.text[:500]
            status = answer.json()
            failed = {failure["id"] for failure in status.get("failures", ())}
            counts.update(taken=status["success_count"], refused=status["failure_count"])
            for entry in some:
                if entry.get("id") not in failed and entry not in sent[entry.get("id")]:
                    sent[entry["id"]].append(entry)
    return sent, counts


def misp_events(document) -> list:
    if isinstance(document, list):
        return [event for item in document for event in misp_events(item)]
    if not isinstance(document, dict):
        return []
    if isinstance(document.get("Event"), dict):
        return [document["Event"]]
    if "response" in document:
        return misp_events(document["response"])
    return [document] if "info" in document and "uuid" in document else []


def add_to_misp(hub: Hub, documents: list) -> collections.Counter:
    counts = collections.Counter()
    for name, document in documents:
        for event in misp_events(document) if name.startswith("misp/") else []:
            answer = hub.ask("POST", "/misp/events/add", json={"Event": {**event, "published": False}})
            if not answer.ok:
                counts[f"refused: {answer.json().get('errors', answer.text)}"[:160]] += 1
                continue
            found = answer.json()["Event"]
            counts.update(added=1, attributes=len(found.get("Attribute", [])) + sum(len(thing.get("Attribute", [])) for thing in found.get("Object", [])))
            counts["published"] += hub.ask("POST", f"/misp/events/publish/{found['uuid']}").ok
    return counts


def send(coordinator: Hub, members: dict, folder: pathlib.Path, limit: int, say) -> dict:
    """Everything in; gives what was contributed, by collection and id."""
    partner(coordinator)
    counts, back, documents = submit(members, folder, limit)
    say(f"sent: {dict(counts)}")
    for hub, receipt in back:
        hub.call("POST", "/api/v1/events/withdraw", json={"receipt": receipt, "reason": "a test"})
    say(f"{len(back)} requests taken back")
    sent = {}
    for collection, hub, part in (("intelligence", members["green"], ""), ("sector-telecom", members["green"], "stix/unit42"), ("private", coordinator, "stix/samples")):
        sent[collection], counts = contribute(hub, collection, [document for name, document in documents if name.startswith(part)])
        say(f"objects posted to {collection}: {dict(counts)}")
    say(f"events added at /misp/: {dict(add_to_misp(members['amber'], documents))}")
    last = {"time": time.time(), "category": "phishing", "value": LAST, "tlp": "clear"}
    members["clear"].call("POST", "/api/v1/events", data=json.dumps(last), headers={"Content-Type": "application/x-ndjson"})
    return sent
