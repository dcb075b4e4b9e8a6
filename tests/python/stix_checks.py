"""What is asked of every STIX object that the hub makes, and which of them the validator sees.

Flow: raw objects → `check` (our own rules, for all of them) → `shape` → the `Judge` of a process keeps some of each shape → `validate`, which is stix2-validator.
Not here: where objects come from (`stix_all.py`).
"""

import hashlib
import json
import re
import uuid

from stix2patterns.v21.pattern import Pattern
from stix2validator import ValidationOptions, validate_instance

OPTIONS = ValidationOptions(version="2.1", strict=True)
EXTENSION = "extension-definition--9c3f7d1e-5b64-4c0a-8f52-6d1f0e7a4b39"
TLP_EXTENSION = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"
# The namespace of ids that follow from an observable's content. Source: STIX 2.1, 2.9.
NAMESPACE = uuid.UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")
# Definitions of TLP 2.0 and 1, which every reader of STIX has.
STANDARD_MARKINGS = {
    f"marking-definition--{name}"
    for name in (
        "94868c89-83c2-464b-929b-a1a8aa3c8487", "bab4a63c-aed9-4cf5-a766-dfca5abac2bb", "55d920b0-5e8b-4f79-9ee9-91f868d9b421",
        "939a9414-2ddd-4d32-a0cd-375ea402b003", "e828b379-4e03-4974-9ac4-e53a884c97c1", "613f2e26-407d-48c7-9eca-b8e91df99dc9",
        "34098fce-860f-48ae-8e50-ebd3cc5e41da", "f88d31f6-486f-44da-b317-01333bde0b82", "5e57c739-391a-4eb3-b6be-7d15ca92d5ed",
    )
}  # fmt: skip

ID = re.compile(r"([a-z][a-z0-9-]*)--[0-9a-f]{8}-[0-9a-f]{4}-([1-5])[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-(0\d|1[0-2])-[0-3]\d[T][0-2]\d:[0-5]\d:[0-5]\d\.\d{3}Z")
PATTERN = re.compile(r"\[([a-z0-9-]+:[^=\n]+?) = (?:'((?:[^'\\]|\\['\\])*)'|(\d+))\]")
PLAIN = re.compile(r"[A-Za-z0-9._:/@+-]*")
# Where each type of ours is in STIX.
PATHS = {
    "ipv4": ("ipv4-addr:value",), "ipv6": ("ipv6-addr:value",), "cidr": ("ipv4-addr:value", "ipv6-addr:value"), "domain": ("domain-name:value",),
    "url": ("url:value",), "email": ("email-addr:value",), "mac": ("mac-addr:value",), "md5": ("file:hashes.MD5",), "sha1": ("file:hashes.'SHA-1'",),
    "sha256": ("file:hashes.'SHA-256'",), "sha512": ("file:hashes.'SHA-512'",), "ssdeep": ("file:hashes.SSDEEP",), "filename": ("file:name",),
    "asn": ("autonomous-system:number",), "user-agent": ("network-traffic:extensions.'http-request-ext'.request_header.'User-Agent'",),
    "x509-sha1": ("x509-certificate:hashes.'SHA-1'",), "x509-sha256": ("x509-certificate:hashes.'SHA-256'",),
}  # fmt: skip
COMMON = {"type", "spec_version", "id", "created", "modified"}
HEAD = COMMON | {"created_by_ref", "object_marking_refs"}
# What the hub makes: properties that must be there, and those that may.
MADE = {
    "indicator": (HEAD | {"name", "description", "indicator_types", "pattern", "pattern_type", "pattern_version", "valid_from", "labels", "extensions"},
                  {"revoked", "valid_until", "confidence"}),
    "malware": (HEAD | {"name", "is_family", "malware_types"}, {"revoked"}),
    "attack-pattern": (HEAD | {"name", "external_references"}, {"revoked"}),
    "vulnerability": (HEAD | {"name", "external_references"}, {"revoked"}),
    "relationship": (HEAD | {"relationship_type", "source_ref", "target_ref"}, {"revoked"}),
    "identity": (COMMON | {"name", "description", "identity_class"}, set()),
    "extension-definition": (COMMON | {"created_by_ref", "name", "description", "schema", "version", "extension_types"}, set()),
    "marking-definition": ((COMMON | {"name", "extensions"}) - {"modified"}, set()),
}  # fmt: skip
OWN = ({"extension_type", "category", "observable_type", "observable_value", "pap", "last_seen"}, {"malware", "sectors", "warning_lists", "reserved"})


def ids_of_content(value: str) -> uuid.UUID:
    """The UUID of an observable whose only contributing property is its value."""
    return uuid.uuid5(NAMESPACE, json.dumps({"value": value}, ensure_ascii=False, separators=(",", ":")))


def follows_from_content(entry: dict) -> bool:
    """Whether an observable's id does, where it claims so and one text decides."""
    if entry["type"] not in ("ipv4-addr", "ipv6-addr", "domain-name", "url", "email-addr", "mac-addr") or not isinstance(entry.get("value"), str):
        return True
    own = uuid.UUID(entry["id"].split("--")[1])
    return own.version != 5 or own == ids_of_content(entry["value"])


def references(entry: dict) -> set:
    found = set(entry.get("object_marking_refs", ()))
    found.update(value for name, value in entry.items() if name.endswith("_ref"))
    found.update(name for name in entry.get("extensions", ()) if name != TLP_EXTENSION)
    return found


def check(entry: dict) -> list:
    """What is wrong with an object that the hub made."""
    kind = entry.get("type")
    if kind not in MADE:
        return [f"type {kind}: the hub makes none such"]
    wrong = []
    must, may = MADE[kind]
    if not must <= entry.keys() <= must | may:
        wrong.append(f"properties: missing {sorted(must - entry.keys())}, unexpected {sorted(entry.keys() - must - may)}")
        return wrong
    for reference in (entry["id"], *references(entry)):
        shaped = ID.fullmatch(reference)
        if not shaped or shaped[2] not in "45" or (shaped[2] == "5" and shaped[1] in MADE):
            wrong.append(f"id {reference}")
    if not entry["id"].startswith(f"{kind}--"):
        wrong.append("the id is of another type")
    if entry["spec_version"] != "2.1":
        wrong.append("spec_version")
    for name in ("created", "modified", "valid_from", "valid_until"):
        if name in entry and not TIME.fullmatch(entry[name]):
            wrong.append(f"{name} is {entry[name]}")
    if "modified" in entry and entry["created"] > entry["modified"]:
        wrong.append("modified before it was created")
    if empty(entry):
        wrong.append("a null, or something empty")
    if kind == "indicator":
        wrong += check_indicator(entry)
    return wrong


def check_indicator(entry: dict) -> list:
    wrong = []
    if not 0 <= entry.get("confidence", 0) <= 100:
        wrong.append("confidence")
    if entry["valid_from"] >= entry.get("valid_until", "9"):
        wrong.append("valid_until is not after valid_from")
    own = entry["extensions"].get(EXTENSION, {})
    if list(entry["extensions"]) != [EXTENSION] or not OWN[0] <= own.keys() <= OWN[0] | OWN[1]:
        return [*wrong, "the extension's properties"]
    if not TIME.fullmatch(own["last_seen"]) or own["last_seen"] < entry["valid_from"]:
        wrong.append("last_seen")
    said = PATTERN.fullmatch(entry["pattern"])
    if not said:
        return [*wrong, "the pattern is none of ours"]
    path, text, number = said.groups()
    value = number if text is None else re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
    if path not in PATHS.get(own["observable_type"], ()) or value != own["observable_value"]:
        wrong.append("the pattern says another value than the extension")
    if entry["labels"] != [own["category"]] or not entry["name"].startswith(f"{own['category']}: "):
        wrong.append("label and category differ")
    return wrong


def empty(value) -> bool:
    if isinstance(value, dict):
        return not value or any(map(empty, value.values()))
    if isinstance(value, list):
        return not value or any(map(empty, value))
    return value is None or value == ""


def kind_of_text(text: str) -> str:
    if PLAIN.fullmatch(text):
        return "plain"
    parts = [name for name, found in (("quoted", "'" in text or "\\" in text), ("control", not text.isprintable()), ("beyond", not text.isascii())) if found]
    return " ".join(parts) or "ascii"


def shape(entry: dict) -> tuple:
    """Objects of the same shape differ in values alone."""
    own = entry.get("extensions", {}).get(EXTENSION, {})
    said = PATTERN.match(entry.get("pattern", ""))
    return (
        entry["type"], *sorted(entry), "|", *sorted(entry.get("extensions", ())), *sorted(own), "|", said and said[1], kind_of_text(own.get("observable_value", "")),
        kind_of_text(own.get("malware", "")), own.get("pap"), *entry.get("labels", ()), *entry.get("indicator_types", ()), entry.get("relationship_type"),
        *entry.get("object_marking_refs", ()), *(entry.get(name, "").split("--")[0] for name in ("source_ref", "target_ref")), *entry.get("malware_types", ()),
    )  # fmt: skip


def strict(entry: dict) -> list:
    """What stix2-validator says of an object, warnings included."""
    try:
        result = validate_instance(entry, OPTIONS)
    except Exception as error:  # What makes the validator fail is a finding, too.
        return [f"the validator failed: {error!r}"]
    said = [*(result.errors or []), *(getattr(result, "warnings", None) or [])]
    return [f"strict: {problem}" for problem in said] or ([] if result.is_valid else ["strict: not valid"])


def pieces(body: bytes) -> list:
    """The objects of an envelope or bundle of the hub's own, byte for byte. No text holds the mark, for quotes are escaped there."""
    mark = b'{"type":"'
    begin, end = body.find(b'"objects":['), body.rfind(b"]")
    inner = body[begin + 11 : end] if begin >= 0 else b""
    return [mark + piece.rstrip(b",") for piece in inner.split(mark)[1:]]


class Judge:
    """Of one process: looks at every object and, where not `full`, keeps some of each shape: those with the lowest of numbers that follow from a seed and their bytes,
    so that what leaves by several doors is chosen at each and validated once."""

    def __init__(self, each: int, full: bool, seed: int):
        self.each, self.full, self.seed = each, full, seed.to_bytes(16, "big")
        self.kept, self.parsed = {}, set()

    def page(self, source: str, body: bytes) -> dict:
        told = {"source": source, "ids": [], "versions": [], "refs": set(), "digests": [], "wrong": [], "validated": 0}
        for piece in pieces(body):
            entry = json.loads(piece)
            told["ids"].append(entry.get("id", ""))
            told["versions"].append(f"{entry.get('id')} {entry.get('modified')}")
            told["digests"].append(hashlib.blake2b(piece, digest_size=8).digest())
            told["refs"] |= references(entry)
            wrong = check(entry) + self.pattern(entry)
            if self.full:
                told["validated"] += 1
                wrong += strict(entry)
            self.keep(source, shape(entry), piece)
            told["wrong"] += [f"{named(entry)}: {problem}" for problem in wrong]
        return told

    def pattern(self, entry: dict) -> list:
        """Parses a pattern with stix2-patterns, each once."""
        text = entry.get("pattern")
        if text is None or text in self.parsed:
            return []
        self.parsed.add(text)
        try:
            Pattern(text)
        except Exception as error:  # Its own errors have several bases.
            return [f"stix2-patterns: {error}"]
        return []

    def keep(self, source: str, key: tuple, piece: bytes) -> None:
        kept = self.kept.setdefault((source, key), {})
        if self.full:
            return
        kept[hashlib.blake2b(piece, digest_size=16, key=self.seed).digest()] = piece
        if len(kept) > 4 * self.each:
            self.kept[source, key] = dict(sorted(kept.items())[: self.each])


def named(entry: dict) -> str:
    return f"{entry.get('id')} {entry.get('pattern', '')}".strip()


def validate(chosen: list) -> list:
    """Objects and what the validator says of each."""
    return [(piece, [f"{named(entry)}: {problem}" for problem in strict(entry)]) for piece, entry in ((piece, json.loads(piece)) for piece in chosen)]


def work(tasks, results, each: int, full: bool, seed: int) -> None:
    """A process: pages, each a source and a body, until there are no more; then gives what it kept, and validates lists of objects."""
    judge = Judge(each, full, seed)
    while (task := tasks.get()) is not None:
        try:
            if isinstance(task, tuple):
                results.put(judge.page(*task))
            elif task:
                results.put(validate(task))
            else:
                results.put(judge.kept)
        except Exception as error:  # Else whoever waits for the answer would not learn of it.
            results.put(RuntimeError(f"{task[:1]}: {error!r}"))


def awake() -> None:
    """Fails where the checks themselves no longer find what is wrong."""
    head = {"spec_version": "2.1", "created": "2026-01-02T00:00:00.000Z", "modified": "2026-01-02T00:00:00.000Z"}
    sound = {
        "type": "indicator", "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f", **head, "created_by_ref": "identity--f431f809-377b-45e0-aa1c-6a4751cae5ff",
        "name": "other: a.kr", "description": "a domain", "indicator_types": ["unknown"], "pattern": "[domain-name:value = 'a.kr']", "pattern_type": "stix",
        "pattern_version": "2.1", "valid_from": "2026-01-01T00:00:00.000Z", "labels": ["other"],
        "object_marking_refs": ["marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487"],
        "extensions": {EXTENSION: {"extension_type": "property-extension", "category": "other", "observable_type": "domain", "observable_value": "a.kr", "pap": "green",
                                   "last_seen": "2026-01-01T00:00:00.000Z"}},
    }  # fmt: skip
    assert not check(sound) and not strict(sound), (check(sound), strict(sound))
    for wrong in (
        {"created": "2026-01-03T00:00:00.000Z"}, {"valid_until": "2026-01-01T00:00:00.000Z"}, {"id": "indicator--8e2e2d2b-17d4-1cbf-938f-98ee46b3cd3f"}, {"labels": []},
        {"pattern": "[domain-name:value = 'b.kr']"}, {"pattern": "[domain-name:value = 'a.kr''"}, {"confidence": 101}, {"x_own": 1}, {"created_by_ref": "identity--1"},
    ):  # fmt: skip
        assert check({**sound, **wrong}), wrong
    for wrong in ({"pattern": "[domain-name:value = 'a.kr''"}, {"indicator_types": ["bad"]}, {"x_own": 1}, {"created": "2026-01-03T00:00:00.000Z"}):
        assert strict({**sound, **wrong}), wrong
    address = {"type": "ipv4-addr", "value": "203.0.113.5", "id": "ipv4-addr--826fe3cb-56b0-5620-9d30-4c17ed7b24e3"}
    assert follows_from_content(address) and not follows_from_content({**address, "value": "203.0.113.6"})
