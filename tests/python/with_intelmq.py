"""IntelMQ from PyPI against a running hub, both ways, with the bots' parameters as docs/intelmq/runtime.yaml has them.

Called by `cargo xtask test` as `with_intelmq.py URL` with a coordinator's key in BONGSU_KEY, against a hub of its own.
"""

import csv
import io
import json
import os
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

# Its bots look for an instance's settings even where they are used as a library.
INSTANCE = tempfile.TemporaryDirectory()
os.environ["INTELMQ_ROOT_DIR"] = INSTANCE.name
for part in ("etc", "var/log", "var/lib/bots", "var/run"):
    Path(INSTANCE.name, part).mkdir(parents=True)
Path(INSTANCE.name, "etc/runtime.yaml").write_text("global: {}\n", encoding="utf-8")

from intelmq.bots.collectors.http.collector_http import HTTPCollectorBot
from intelmq.bots.outputs.restapi.output import RestAPIOutputBot
from intelmq.bots.parsers.generic.parser_csv import GenericCsvParserBot
from intelmq.lib.bot import BotLibSettings
from ruamel.yaml import YAML

CONFIGURATION = Path(__file__).resolve().parents[2] / "docs/intelmq/runtime.yaml"
FOLLOWS_WITHIN = 60


def call(url: str, key: str, path: str, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data=data, headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def member(url: str, coordinator: str, name: str, *roles: str) -> list:
    """A key for each role of a new organisation."""
    organisation = call(url, coordinator, "/api/v1/organisations", {"name": name, "kind": "company", "constituency": "private", "sector": "finance"})
    return [call(url, coordinator, f"/api/v1/organisations/{organisation['id']}/keys", {"role": role})["key"] for role in roles]


def parameters(name: str, url: str, keys: dict) -> dict:
    """A bot's parameters as the file has them, with this hub's address and keys."""
    text = CONFIGURATION.read_text(encoding="utf-8").replace("https://hub.example", url)
    for word, key in keys.items():
        text = text.replace(word, key)
    given = dict(YAML(typ="safe").load(text)[name]["parameters"])
    given.pop("destination_queues", None)
    # What is retried is not what is tested.
    given.update({"error_max_retries": 0, "error_retry_delay": 0, "rate_limit": 0})
    return BotLibSettings | given


def events() -> list:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - 600))
    common = {"feed.name": "Test", "time.source": moment, "time.observation": moment}
    return [
        common | {"classification.type": "c2-server", "source.ip": "45.95.168.156", "source.port": 443, "malware.name": "emotet", "tlp": "GREEN", "raw": "eA=="},
        common | {"classification.type": "phishing", "source.url": "http://phish.bongsu-test.net/login", "tlp": "GREEN"},
        common | {"classification.type": "malware-distribution", "source.fqdn": "drop.bongsu-test.net", "tlp": "GREEN", "extra.campaign": "one"},
        common | {"classification.type": "infected-system", "source.ip": "45.95.168.157", "destination.ip": "45.95.168.156", "destination.port": 443},
    ]


def to_the_hub(url: str, keys: dict, analyst: str) -> None:
    bot = RestAPIOutputBot("bongsu-output", settings=parameters("bongsu-output", url, keys))
    sent = events()
    for event in sent:
        bot.process_message(dict(event))
    # The same again, as after an answer that was lost.
    bot.process_message(dict(sent[0]))
    found = call(url, analyst, "/api/v1/events?mine=1&limit=100")["events"]
    assert len(found) == len(sent), f"{len(found)} events of {len(sent)}"
    by_value = {event["observables"][0]["value"]: event for event in found}
    server = by_value["45.95.168.156"]
    assert (server["category"], server["port"], server["malware"], server["tlp"], server["original"]) == ("c2-server", 443, "emotet", "green", "eA=="), server
    infected = by_value["45.95.168.157"]
    assert (infected["observables"][0]["role"], infected["dst_ip"], infected["dst_port"]) == ("victim", "45.95.168.156", 443), infected
    assert by_value["drop.bongsu-test.net"]["extra"]["extra.campaign"] == "one"
    refused = dict(sent[0])
    del refused["source.ip"]
    try:
        bot.process_message(refused)
    except Exception as error:  # the bot's own way to say it
        assert "422" in str(error), error
    else:
        raise AssertionError("an event without a value was taken")


def from_the_hub(url: str, keys: dict) -> None:
    wanted = {"45.95.168.156": "source.ip", "http://phish.bongsu-test.net/login": "source.url", "drop.bongsu-test.net": "source.fqdn"}
    collector = HTTPCollectorBot("bongsu-collector", settings=parameters("bongsu-collector", url, keys))
    parser = GenericCsvParserBot("bongsu-parser", settings=parameters("bongsu-parser", url, keys))
    began = time.monotonic()
    while True:
        report = collect(collector)
        found = {event.get(name): event for event in parser.process_message(report).get("output", []) for name in wanted.values() if event.get(name)}
        if set(wanted) <= set(found):
            break
        assert time.monotonic() - began < FOLLOWS_WITHIN, f"IntelMQ got {sorted(found)}"
        time.sleep(0.5)
    for value, name in wanted.items():
        assert found[value].get(name) == value, found[value]
    server = found["45.95.168.156"]
    assert (server["classification.type"], server["malware.name"], server["tlp"]) == ("c2-server", "emotet", "GREEN"), server
    assert server["time.source"].startswith("20") and server["extra.confidence"] is not None
    # A victim is in no product.
    assert "45.95.168.157" not in found


def collect(bot) -> dict:
    """One round of a collector, which takes no message, so that the library's way to run a bot does not fit it."""
    bot.process()
    (report,) = bot._Bot__destination_pipeline.state.pop("output")
    return json.loads(report) if isinstance(report, str) else dict(report)


def main() -> None:
    url, coordinator = sys.argv[1].rstrip("/"), os.environ["BONGSU_KEY"]
    reporter, analyst = member(url, coordinator, "IntelMQ out", "reporter", "analyst")
    (reader,) = member(url, coordinator, "IntelMQ in", "reader")
    keys = {"KEY_OF_A_REPORTER": reporter, "KEY_OF_A_READER": reader}
    to_the_hub(url, keys, analyst)
    from_the_hub(url, keys)
    # The file's columns are the product's.
    columns = parameters("bongsu-parser", url, keys)["columns"]
    request = urllib.request.Request(url + "/feeds/csv", headers={"Authorization": f"Bearer {keys['KEY_OF_A_READER']}"})
    header = next(csv.reader(io.StringIO(urllib.request.urlopen(request, timeout=60).read().decode())))
    assert len(header) == len(columns), (header, columns)
    print("IntelMQ, unchanged, sends to the hub and takes from it")


if __name__ == "__main__":
    main()
