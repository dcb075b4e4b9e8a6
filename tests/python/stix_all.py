"""All STIX that the hub makes of the shared data, over every door, before stix2-validator in strict mode.

Called by `cargo xtask test` as `stix_all.py URL [FOLDER] [--all]` with a coordinator's key in BONGSU_KEY, against a hub of its own. FOLDER is `../shared/data`
beside the project, or BONGSU_SHARED_DATA; where it is absent nothing is tested, and that is said. BONGSU_STIX_LIMIT is how many lines of each file are sent (entries
of a document's lists); without it all of them, which takes half an hour. BONGSU_STIX_EACH is how many objects of each shape the validator sees, BONGSU_STIX_SEED
makes a run's choice again.

Flow: `stix_send` → TAXII, products, searches of MISP → `stix_checks` in two processes; what members contributed is compared with what they sent.
Objects of the same shape differ in values alone: our own checks see all objects, the validator some of each shape, and all of them with `--all`.
"""

import collections
import itertools
import json
import multiprocessing
import os
import pathlib
import queue
import re
import shutil
import sys
import time
import urllib.parse

from stix_checks import STANDARD_MARKINGS, awake, follows_from_content, pieces, strict, work
from stix_send import FOLLOWS_WITHIN, LAST, MARKINGS, TAXII, Hub, member, send

# Objects of a page of TAXII's; attributes or events of one of MISP's.
PAGE = 1_000
FOUND = {"attributes": 5_000, "events": 50}
# Objects of a collection that are asked for by their ids.
ONE_BY_ONE = 60
PROCESSES = 2
# Objects that a process validates before it answers.
AT_ONCE = 50
# Failures of a source that are named.
SHOWN = 10


def events_pages(hub: Hub, collection: str):
    """All versions in a collection made from events, from the beginning to the last event and what is there behind it."""
    path = f"/taxii2/main/collections/{collection}/objects/?" + urllib.parse.urlencode({"match[version]": "all", "limit": PAGE})
    added, cursor, complete, deadline = "", "", False, None
    while True:
        answer = hub.ask("GET", path + added + cursor, headers={"Accept": TAXII})
        assert answer.status_code == 200, answer.text[:500]
        yield answer.content
        complete = complete or LAST.encode() in answer.content
        date = answer.headers.get("X-TAXII-Date-Added-Last")
        going_on = re.search(rb'"more":true,"next":"([0-9a-f]+)"\}\s*$', answer.content)
        if going_on:
            cursor = f"&next={going_on[1].decode()}"
            continue
        if complete:
            return
        deadline = time.monotonic() + FOLLOWS_WITHIN if date or deadline is None else deadline
        assert time.monotonic() < deadline, f"{collection} does not hold the last event"
        time.sleep(0.5)
        added, cursor = f"&added_after={date}" if date else added, ""


def product_pages(hub: Hub, marking: str):
    """A product, cut into bundles of fewer objects; the first goes before the validator. No text holds the mark, for quotes are escaped there."""
    mark, begin, head, rest, held, first = b',{"type":"', b'"objects":[', b"", b"", [], True
    with hub.ask("GET", f"/feeds/stix?tlp={marking}", stream=True) as answer:
        assert answer.status_code == 200, answer.text[:500]
        # A mark behind the end brings out what is before it.
        for chunk in itertools.chain(answer.iter_content(1 << 20), [mark]):
            *whole, rest = (rest + chunk).split(mark)
            for piece in whole:
                if not head:
                    head, piece = piece.split(begin, 1)
                    held.append(piece)
                else:
                    held.append(mark[1:] + piece)
            while len(held) >= PAGE:
                page, held = held[:PAGE], held[PAGE:]
                first = first and bundle_is_valid(head + begin, page)
                yield head + begin + b",".join(page) + b"]}"
    if held:
        held[-1] = held[-1].rstrip().removesuffix(b"]}")
        first = first and bundle_is_valid(head + begin, held)
        yield head + begin + b",".join(held) + b"]}"


def bundle_is_valid(head: bytes, objects: list) -> bool:
    """Fails where it is not; else false, for one look is enough."""
    wrong = strict(json.loads(head + b",".join(objects[:20]).rstrip().removesuffix(b"]}") + b"]}"))
    assert not wrong, wrong
    return False


def misp_pages(hub: Hub, scope: str):
    none = 0
    for page in itertools.count(1):
        answer = hub.ask("POST", f"/misp/{scope}/restSearch", json={"returnFormat": "stix2", "limit": FOUND[scope], "page": page})
        assert answer.status_code == 200, answer.text[:500]
        if page == 1:
            bundle = answer.json()
            assert not (wrong := strict({**bundle, "objects": bundle["objects"][:20]})), wrong
        yield answer.content
        # Some events have no attribute that is shown; hardly those of two pages.
        # A long answer is sent as it is written, when its count is not known yet.
        none = 0 if int(answer.headers.get("X-Result-Count", "1")) else none + 1
        if none == 2:
            return


class Table:
    """What became of each source."""

    def __init__(self):
        self.rows = collections.defaultdict(collections.Counter)
        self.shapes, self.failures = collections.defaultdict(set), collections.defaultdict(list)

    def fail(self, source: str, problems: list) -> None:
        self.rows[source]["failures"] += len(problems)
        self.failures[source] += problems[: SHOWN - len(self.failures[source])]

    def take(self, told: dict) -> None:
        source = told["source"]
        self.rows[source].update(objects=len(told["ids"]), validated=told["validated"])
        self.fail(source, told["wrong"])

    def show(self) -> bool:
        print("| Source | Objects | Shapes | Validated in full | Failures |\n|---|---:|---:|---:|---:|")
        empty = [source for source, row in self.rows.items() if not row["objects"]]
        for source, row in self.rows.items():
            if source not in empty:
                print(f"| {source} | {row['objects']} | {len(self.shapes[source]) or '—'} | {row['validated']} | {row['failures']} |")
        print(f"{len(empty)} collections of members hold nothing", flush=True)
        for source, problems in self.failures.items():
            for problem in problems:
                print(f"{source}: {problem[:600]}")
        return not any(row["failures"] for row in self.rows.values())


class Workers:
    """Processes that judge pages."""

    def __init__(self, table: Table, full: bool, each: int, seed: int):
        self.table, self.each = table, each
        # Each process has a queue of its own, for at the end each is asked what it kept.
        self.results, self.tasks = multiprocessing.Queue(), [multiprocessing.Queue() for _ in range(PROCESSES)]
        self.processes = [multiprocessing.Process(target=work, args=(tasks, self.results, each, full, seed), daemon=True) for tasks in self.tasks]
        for tasks in self.tasks:
            # Where this process fails, it waits for nobody to take what is left.
            tasks.cancel_join_thread()
        for process in self.processes:
            process.start()

    def source(self, name: str, pages, distinct: bool = True, resolves: bool = True) -> set:
        """Judges a source, in which references resolve and no version comes twice; gives digests of its objects."""
        ids, versions, refs, digests = set(), set(), set(), set()

        def take(told: dict) -> None:
            self.table.take(told)
            ids.update(told["ids"])
            refs.update(told["refs"])
            digests.update(told["digests"])
            # What is beside the indicators stands on every page of a search.
            given = told["versions"] if distinct else [version for version in told["versions"] if version.startswith("indicator--")]
            before = len(versions)
            versions.update(given)
            twice = len(given) - (len(versions) - before)
            self.table.fail(name, [f"{twice} objects come twice"] * bool(twice))

        self.each_of(((name, body) for body in pages), take)
        lost = refs - ids - STANDARD_MARKINGS if resolves else ()
        self.table.fail(name, [f"{reference} is referred to and not there" for reference in sorted(lost)])
        return digests

    def each_of(self, tasks, take) -> None:
        """Has tasks done, a few at a time, and takes what comes of them."""
        out = 0
        for place, task in enumerate(tasks):
            self.tasks[place % PROCESSES].put(task)
            out += 1
            if out >= 4 * PROCESSES:
                take(self.answer())
                out -= 1
        for _ in range(out):
            take(self.answer())

    def answer(self):
        while True:
            try:
                told = self.results.get(timeout=10)
            except queue.Empty:
                ended = [process.exitcode for process in self.processes if not process.is_alive()]
                assert not ended, f"a process that judges ended: {ended}"
                continue
            if isinstance(told, Exception):
                raise told
            return told

    def end(self) -> None:
        """Chooses among what the processes kept and has it validated, each object once."""
        merged = collections.defaultdict(dict)

        def keep(kept: dict) -> None:
            for key, some in kept.items():
                merged[key].update(some)

        self.each_of([[] for _ in self.tasks], keep)
        sources = collections.defaultdict(list)
        for (source, shape), some in merged.items():
            self.table.shapes[source].add(shape)
            for _, piece in sorted(some.items())[: self.each]:
                sources[piece].append(source)
        chosen, said = list(sources), {}
        self.each_of((chosen[begin : begin + AT_ONCE] for begin in range(0, len(chosen), AT_ONCE)), said.update)
        for piece, problems in said.items():
            for source in sources[piece]:
                self.table.rows[source]["validated"] += 1
                self.table.fail(source, problems)
        for tasks in self.tasks:
            tasks.put(None)
        print(f"{len(chosen)} different objects validated at the end")


def kept_pages(hub: Hub, collection: str):
    more = ""
    while True:
        path = f"/taxii2/main/collections/{collection}/objects/?" + urllib.parse.urlencode({"match[version]": "all", "match[spec_version]": "2.0,2.1", "limit": PAGE})
        page = hub.call("GET", path + more, headers={"Accept": TAXII})
        yield page.get("objects", [])
        if not page.get("more"):
            return
        more = f"&next={page['next']}"


def as_others_see(entry: dict, creator: str):
    """A contributed object where its contributor does not show its name; `None` where it is not shown."""
    if entry["type"] == "identity" and entry.get("identity_class") != "class":
        return None
    shown = {name: value for name, value in entry.items() if name not in ("where_sighted_refs", "authors")}
    own = shown.get("created_by_ref")
    return json.loads(json.dumps(shown).replace(json.dumps(own), json.dumps(creator))) if isinstance(own, str) else shown


def is_part(found, whole) -> bool:
    """Whether something is what it was, or that without parts of it."""
    if isinstance(found, dict) and isinstance(whole, dict):
        return all(name in whole and is_part(value, whole[name]) for name, value in found.items())
    if isinstance(found, list) and isinstance(whole, list):
        return all(any(is_part(item, other) for other in whole) for item in found)
    return found == whole


def contributed(table: Table, name: str, pages, sent: dict, own: bool = True, creator=None) -> None:
    """Compares what comes back with what was sent; `creator` stands for the contributor to those who may not know it. To others than the contributor
    parts with a marking of their own may be missing."""
    found = collections.Counter()
    for page in pages:
        table.rows[name]["objects"] += len(page)
        for entry in page:
            found[entry["id"]] += 1
            allowed = [as_others_see(version, creator) if creator else version for version in sent.get(entry["id"], ())]
            marked = [version for version in allowed if version and "granular_markings" in version and not own]
            if entry not in allowed and not any(is_part(entry, version) for version in marked):
                table.fail(name, [f"{entry['id']} came back changed"])
            if not follows_from_content(entry):
                table.fail(name, [f"{entry['id']} does not follow from the content"])
    for missing, versions in sent.items():
        # Others do not see what names somebody, or what its marking keeps from them.
        may_be = [version for version in versions if own or (creator is None or as_others_see(version, creator)) and "object_marking_refs" not in version]
        if not found[missing] and may_be:
            table.fail(name, [f"{missing} did not come back"])


def read_made(coordinator: Hub, members: dict, titles: list, workers: Workers, say) -> None:
    """All that the hub makes itself, out of every door."""
    given = {}
    for title in titles:
        name = f"TAXII {title.split('-org_')[0]}"
        given[title] = workers.source(name, events_pages(coordinator, title))
        ids = list({json.loads(piece)["id"]: None for piece in pieces(next(events_pages(coordinator, title)))})
        asked = [f"/taxii2/main/collections/{title}/objects/{id}/?match[version]=all" for id in ids[:: len(ids) // ONE_BY_ONE or 1]]
        bodies = (coordinator.ask("GET", path, headers={"Accept": TAXII}).content for path in asked)
        other = len(workers.source(f"{name}, objects by id", bodies, distinct=False, resolves=False) - given[title])
        workers.table.fail(name, [f"{other} objects are others by their id"] * bool(other))
        say(name)
    for marking in MARKINGS:
        name = f"/feeds/stix {marking}"
        other = len(workers.source(name, product_pages(coordinator, marking)) - given[f"events-{marking}"])
        workers.table.fail(name, [f"{other} objects are not byte for byte as over TAXII"] * bool(other))
        say(name)
    for scope in FOUND:
        for who, hub in (("coordinator", coordinator), ("contributor", members["amber"]), ("another member", members["clear"])):
            workers.source(f"/misp/{scope}/restSearch, {who}", misp_pages(hub, scope), distinct=False)
    say("/misp/ restSearch")


def read_contributed(coordinator: Hub, members: dict, titles: list, sent: dict, table: Table) -> None:
    first = map(json.loads, pieces(next(events_pages(coordinator, "events-clear"))))
    creator = next(entry["id"] for entry in first if entry["type"] == "identity" and entry["name"] != "Bongsu")
    for title in titles:
        contributed(table, f"TAXII {title}", kept_pages(coordinator, title), sent.get(title, {}), own=title == "private")
    for title in ("intelligence", "sector-telecom"):
        contributed(table, f"TAXII {title}, contributor", kept_pages(members["green"], title), sent[title])
        contributed(table, f"TAXII {title}, another member", kept_pages(members["clear"], title), sent[title], own=False, creator=creator)


def main() -> int:
    arguments = [word for word in sys.argv[1:] if not word.startswith("--")]
    beside = os.environ.get("BONGSU_SHARED_DATA") or pathlib.Path(__file__).resolve().parents[3] / "shared/data"
    url, folder = arguments[0], pathlib.Path(arguments[1] if len(arguments) > 1 else beside)
    if not folder.is_dir():
        print(f"SKIPPED: there is no {folder}; name the shared data by BONGSU_SHARED_DATA")
        return 0
    if shutil.which("zstd") is None:
        print("SKIPPED: most of the shared data is packed with zstd, which is not installed")
        return 0
    limit, each = int(os.environ.get("BONGSU_STIX_LIMIT", "0")), int(os.environ.get("BONGSU_STIX_EACH", "25"))
    seed, full = int(os.environ.get("BONGSU_STIX_SEED", str(int(time.time())))), "--all" in sys.argv
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {text}", flush=True)

    say(f"{limit or 'all'} lines a file, {'all' if full else each} objects of each shape before the validator, seed {seed}")
    awake()
    coordinator = Hub(url, os.environ["BONGSU_KEY"])
    members = {marking: member(url, coordinator, f"Sends {marking}") for marking in MARKINGS}
    sent = send(coordinator, members, folder, limit, say)
    table = Table()
    workers = Workers(table, full, each, seed)
    titles = [entry["title"] for entry in coordinator.call("GET", "/taxii2/main/collections/", headers={"Accept": TAXII})["collections"]]
    made = [title for title in titles if title.startswith(("events-", "agreement-"))]
    assert len(made) == 4, made
    read_made(coordinator, members, made, workers, say)
    read_contributed(coordinator, members, [title for title in titles if title not in made], sent, table)
    say("contributed objects: compared with what was sent, not validated")
    workers.end()
    say("the validator is through")
    return 0 if table.show() else 1


if __name__ == "__main__":
    sys.exit(main())
