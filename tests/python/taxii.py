"""Clients from PyPI against a running hub: taxii2-client and stix2 page through everything while a writer adds, and what the hub makes is valid STIX.

Called by `cargo xtask test` as `taxii.py URL` with a coordinator's key in BONGSU_KEY, against a hub of its own.
TAXII_OBJECTS is how many objects are there before paging begins, 100000 by default.
"""

import json
import os
import sys
import threading
import time
import urllib.request
import uuid

import stix2
from stix2validator import ValidationOptions, validate_instance
from taxii2client.common import TokenAuth
from taxii2client.v21 import Server, as_pages

OBJECTS = int(os.environ.get("TAXII_OBJECTS", "100000"))
BATCH = 5000
PAGE = 1000
# The whole is validated in steps of so many objects.
FOLLOWS_WITHIN = 60
MADE = ("indicator", "malware", "attack-pattern", "vulnerability", "relationship", "identity", "marking-definition", "extension-definition")


class Bearer(TokenAuth):
    """A bearer key; the client's own token scheme is called Token."""

    def __call__(self, request):
        request.headers["Authorization"] = f"Bearer {self.key}"
        return request


def tool(number: int) -> dict:
    moment = "2026-01-01T00:00:00.000Z"
    return {"type": "tool", "spec_version": "2.1", "id": f"tool--{uuid.UUID(int=number, version=4)}", "created": moment, "modified": moment, "name": f"tool {number}"}


def call(url: str, key: str, path: str, body=None, media: str = "application/json"):
    data = None if body is None else (body if isinstance(body, bytes) else json.dumps(body).encode())
    request = urllib.request.Request(url + path, data=data, headers={"Authorization": f"Bearer {key}", "Content-Type": media})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def collection(server: Server, title: str):
    return next(found for found in server.default.collections if found.title == title)


def by_cursor(shared) -> list:
    return [entry["id"] for page in as_pages(shared.get_objects, per_request=PAGE) for entry in page.get("objects", [])]


def by_manifest(shared) -> list:
    return [entry["id"] for page in as_pages(shared.get_manifest, per_request=PAGE) for entry in page.get("objects", [])]


def by_date(shared) -> list:
    """With `added_after` alone, as clients do that keep a date between two runs."""
    found, after = [], "2000-01-01T00:00:00.000000Z"
    while True:
        records = shared.get_manifest(limit=PAGE, added_after=after).get("objects", [])
        if not records:
            return found
        found += [record["id"] for record in records]
        after = records[-1]["date_added"]


def by_source(shared) -> list:
    return [entry["id"] for entry in stix2.TAXIICollectionSource(shared, items_per_page=PAGE).query([stix2.Filter("type", "=", "tool")])]


def page_while_written(shared) -> None:
    """Nothing is missing and nothing comes twice, whichever way a client pages."""
    ready = [tool(number) for number in range(1, OBJECTS + 1)]
    began = time.monotonic()
    for start in range(0, OBJECTS, BATCH):
        status = shared.add_objects({"objects": ready[start : start + BATCH]})
        assert status.failure_count == 0 and status.status == "complete", status.failures
    print(f"{OBJECTS} objects added, {OBJECTS / (time.monotonic() - began):.0f}/s with the client's own time", flush=True)
    stop, written = threading.Event(), []

    def write() -> None:
        number = OBJECTS
        while not stop.is_set():
            batch = [tool(number + step) for step in range(1, 51)]
            number += len(batch)
            shared.add_objects({"objects": batch})
            written.extend(entry["id"] for entry in batch)
            time.sleep(0.02)

    writer = threading.Thread(target=write)
    writer.start()
    expected = {entry["id"] for entry in ready}
    try:
        for style in (by_cursor, by_manifest, by_date, by_source):
            before = set(written)
            began = time.monotonic()
            found = style(shared)
            assert len(found) == len(set(found)), f"{style.__name__}: {len(found) - len(set(found))} come twice"
            missing = (expected | before) - set(found)
            assert not missing, f"{style.__name__}: {len(missing)} are missing"
            print(f"{style.__name__}: {len(found)} objects, none missing, none twice, {len(found) / (time.monotonic() - began):.0f}/s", flush=True)
    finally:
        stop.set()
        writer.join()


def sink_and_source(shared) -> None:
    indicator = stix2.v21.Indicator(
        pattern="[domain-name:value = 'sink.example.net']", pattern_type="stix", labels=["phishing"], object_marking_refs=[stix2.v21.TLP_GREEN]
    )
    stix2.TAXIICollectionSink(shared).add(indicator)
    source = stix2.TAXIICollectionSource(shared)
    assert source.get(indicator.id).pattern == indicator.pattern
    newer = indicator.new_version(confidence=70)
    stix2.TAXIICollectionSink(shared).add(newer)
    assert source.get(indicator.id).confidence == 70
    assert len(source.all_versions(indicator.id)) == 2
    shared.delete_object(indicator.id)
    assert source.get(indicator.id) is None


def until_made(shared, wanted: int) -> list:
    """Everything in a collection, once it holds so many indicators."""
    deadline = time.monotonic() + FOLLOWS_WITHIN
    while True:
        made = [entry for page in as_pages(shared.get_objects, per_request=PAGE) for entry in page.get("objects", [])]
        # What was contributed before was an event, too, and was taken back with the object.
        count = sum(entry["type"] == "indicator" and "sink.example.net" not in entry["pattern"] for entry in made)
        if count >= wanted or time.monotonic() > deadline:
            assert count == wanted, f"{count} indicators instead of {wanted}"
            return made
        time.sleep(0.2)


def strictly_valid(url: str, key: str, server: Server) -> None:
    """Every object that the hub makes of events passes the validator in strict mode."""
    values = {
        "ipv4": ["203.0.113.5"], "ipv6": ["2001:db8::5"], "cidr": ["203.0.113.0/24", "2001:db8::/48"], "domain": ["a.example.com", "b.example.kr"],
        "url": ["http://a.example.com/it's?x=%5C&y=한"], "email": ["a@example.com"], "md5": ["d41d8cd98f00b204e9800998ecf8427e"],
        "sha1": ["da39a3ee5e6b4b0d3255bfef95601890afd80709"], "sha256": ["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
        "ssdeep": ["3:AXGBicFlgVNhBGcL6wCrFQEv:AXGHsNhxLsr2C"], "asn": ["AS64500"], "filename": ["it's \\here.exe"], "mac": ["00:11:22:33:44:55"],
        "user-agent": ["curl/8 'x'"], "ja3": ["e7d705a3286e19ea42f587b344ee6865"], "x509-sha1": ["0a39a3ee5e6b4b0d3255bfef95601890afd80709"],
        "x509-sha256": ["03b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"], "bitcoin": ["1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"],
    }  # fmt: skip
    unsaid = {"ja3", "bitcoin"}
    observables = [{"type": kind, "value": value, "role": "attacker", "detect": True} for kind, all_of in values.items() for value in all_of]
    categories = ["phishing", "c2-server", "infected-system", "scanner", "system-compromise", "other"]
    now = time.time()
    events = [
        {"time": now - 60, "category": categories[place % len(categories)], "observables": [observable], "tlp": "green", "confidence": place % 101, "malware": "Emo\"tet",
         "sector": "energy", "origin": "manual"}
        for place, observable in enumerate(observables)
    ]  # fmt: skip
    lines = "\n".join(json.dumps(event) for event in events).encode()
    outcome = call(url, key, "/api/v1/events", lines, "application/x-ndjson")
    assert outcome["accepted"] == len(events), outcome
    wanted = sum(len(all_of) for kind, all_of in values.items() if kind not in unsaid)
    green = collection(server, "events-green")
    until_made(green, wanted)
    # One by itself, too: of what comes at once not everything has room for a relationship beside it.
    alone = {"time": now - 60, "category": "c2-server", "value": "alone.example.com", "tlp": "green", "malware": "Alone", "technique": ["T1566.001", "T1190"],
             "cve": ["CVE-2024-3400"]}  # fmt: skip
    call(url, key, "/api/v1/events", json.dumps(alone).encode(), "application/x-ndjson")
    made = until_made(green, wanted + 1)
    indicators = [entry for entry in made if entry["type"] == "indicator"]
    options = ValidationOptions(version="2.1", strict=True)
    wrong = []
    for title in ("events-clear", "events-green", "events-amber"):
        for page in as_pages(collection(server, title).get_objects, per_request=PAGE):
            for entry in page.get("objects", []):
                assert entry["type"] in MADE, entry["type"]
                result = validate_instance(entry, options)
                if not result.is_valid or result.warnings:
                    wrong.append((entry["id"], entry.get("pattern"), [str(problem) for problem in [*(result.errors or []), *(result.warnings or [])]]))
    for problem in wrong[:20]:
        print(problem)
    assert not wrong, f"{len(wrong)} objects are not valid"
    known = {entry["id"] for entry in made}
    for entry in indicators:
        assert entry["created_by_ref"] in known and set(entry["object_marking_refs"]) <= known and set(entry["extensions"]) <= known
    relationships = [entry for entry in made if entry["type"] == "relationship"]
    named = {entry["id"]: entry["name"] for entry in made if entry["type"] in ("malware", "attack-pattern", "vulnerability")}
    of_alone = next(entry["id"] for entry in indicators if "alone.example.com" in entry["pattern"])
    led = {(entry["relationship_type"], named[entry["target_ref"]]) for entry in relationships if entry["source_ref"] == of_alone}
    assert led == {("indicates", "Alone"), ("indicates", "T1566.001"), ("indicates", "T1190"), ("related-to", "CVE-2024-3400")}, led
    assert relationships and all({entry["source_ref"], entry["target_ref"]} <= known for entry in relationships), relationships
    print(f"{len(made)} objects made of events, all strictly valid", flush=True)


def main() -> int:
    url, key = sys.argv[1], os.environ["BONGSU_KEY"]
    server = Server(f"{url}/taxii2/", auth=Bearer(key))
    assert len(server.api_roots) == 1 and server.default.url.endswith("/taxii2/main/"), server.default.url
    Server(f"{url}/taxii2/", user="anyone", password=key).refresh()
    shared = collection(server, "intelligence")
    assert shared.can_read and shared.can_write and shared.get_objects() == {}
    sink_and_source(shared)
    page_while_written(shared)
    strictly_valid(url, key, server)
    return 0


if __name__ == "__main__":
    sys.exit(main())
