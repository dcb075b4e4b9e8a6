"""PyMISP against a running hub: what an analyst's scripts do with events, what others propose, and the feed read by PyMISP's own classes.

PyMISP's own live tests are run by `misp_live.py`.

Called by `cargo xtask test` as `misp.py URL` with a coordinator's key in BONGSU_KEY, against a hub of its own.
"""

import hashlib
import json
import logging
import os
import sys
import time
import urllib.error
import urllib.request

from pymisp import MISPAttribute, MISPEvent, MISPEventReport, MISPObject, MISPShadowAttribute, MISPSighting, PyMISP

FOLLOWS_WITHIN = 60


def call(url: str, key: str, path: str, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data=data, headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def member(url: str, coordinator: str, name: str) -> str:
    organisation = call(url, coordinator, "/api/v1/organisations", {"name": name, "kind": "company", "constituency": "private", "sector": "finance"})
    return call(url, coordinator, f"/api/v1/organisations/{organisation['id']}/keys", {"role": "analyst"})["key"]


def connect(url: str, key: str, base: str = "/misp/") -> PyMISP:
    misp = PyMISP(url + base, key, ssl=False)
    misp.toggle_global_pythonify()
    return misp


def case() -> MISPEvent:
    event = MISPEvent()
    event.info = "A case of phishing"
    event.distribution = 3
    event.threat_level_id = 2
    event.analysis = 1
    event.set_date("2026-11-20")
    event.add_tag("tlp:clear")
    event.add_tag('rsit:fraud="phishing"')
    event.add_attribute("domain", "login.evil.kr", to_ids=True, comment="the page")
    event.attributes[0].add_tag("own:first")
    event.add_attribute("text", "what was said", to_ids=False)
    thing = MISPObject("domain-ip")
    thing.add_attribute("domain", value="cdn.evil.kr")
    thing.add_attribute("ip", value="185.60.1.99")
    event.add_object(thing)
    return event


def editing(owner: PyMISP, other: PyMISP) -> MISPEvent:
    given = case()
    assert not owner.event_exists(given)
    event = owner.add_event(given)
    assert isinstance(event, MISPEvent), event
    assert (event.uuid, len(event.attributes), len(event.objects), event.published) == (given.uuid, 2, 1, False)
    assert owner.event_exists(event.uuid) and owner.event_exists(event.id)
    assert owner.attribute_exists(event.attributes[0]) and owner.object_exists(event.objects[0])

    event.info = "Another case"
    event.attributes[0].comment = "changed"
    event.add_attribute("ip-dst", "185.60.1.98")
    event = owner.update_event(event)
    assert (event.info, event.attributes[0].comment, len(event.attributes)) == ("Another case", "changed", 3), event.to_json()
    attribute = owner.update_attribute({"comment": "again"}, event.attributes[0])
    assert isinstance(attribute, MISPAttribute) and attribute.comment == "again", attribute
    added = owner.add_attribute(event, {"type": "md5", "value": hashlib.md5(b"x").hexdigest()})
    assert added.type == "md5" and added.category == "Payload delivery", added
    twice = owner.add_attribute(event, {"type": "md5", "value": hashlib.md5(b"x").hexdigest()})
    assert "errors" in twice, twice
    several = owner.add_attribute(event, [{"type": "sha1", "value": hashlib.sha1(b"x").hexdigest()}, {"type": "sha256", "value": hashlib.sha256(b"x").hexdigest()}])
    assert len(several["attributes"]) == 2, several
    changed = owner.get_object(event.objects[0].uuid)
    changed.add_attribute("ip", value="185.60.1.97")
    assert len(owner.update_object(changed).attributes) == 3
    extra = MISPObject("file")
    extra.add_attribute("filename", "a.exe")
    extra = owner.add_object(event, extra)
    assert extra.attributes[0].value == "a.exe", extra
    assert owner.delete_object(extra)["message"] == "Object deleted"

    foreign = other.get_event(event.uuid)
    foreign.info = "not yours"
    assert other.update_event(foreign)["errors"][0] == 403
    assert other.get_event("ab2b6e28-fda5-4282-bf60-22b81de77851")["errors"][0] == 404
    return owner.get_event(event.uuid)


def searching(owner: PyMISP, other: PyMISP, event: MISPEvent):
    def events(misp, **filters):
        return [found.uuid for found in misp.search(**filters)]

    for filters in (
        {"value": "login.evil.kr"},
        {"value": "LOGIN.%"},
        {"value": "185.60.1.99", "type_attribute": "ip-dst"},
        {"tags": "own:first"},
        {"tags": other.build_complex_query(or_parameters=["tlp:clear"], not_parameters=["nothing"])},
        {"uuid": event.uuid},
        {"eventid": event.id},
        {"eventinfo": "%case%"},
        {"category": "Network activity"},
        {"timestamp": "1h"},
        {"date_from": "2026-11-20", "date_to": "2026-11-21"},
        {"published": False},
    ):
        assert events(other, **filters) == [event.uuid], filters
    for filters in ({"value": "nothing.evil.kr"}, {"tags": ["!tlp:clear"]}, {"timestamp": "5x"}, {"published": True}, {"date_to": "2026-01-01"}, {"org": owner._current_user.org_id}):
        assert events(other, **filters) == [], filters
    attributes = other.search(controller="attributes", value="login.evil.kr", include_context=True, include_event_tags=True)
    assert [found.value for found in attributes] == ["login.evil.kr"] and attributes[0].Event.uuid == event.uuid
    assert "tlp:clear" in [tag.name for tag in attributes[0].tags]
    assert [found.name for found in other.search(controller="objects", object_name="domain-ip")] == ["domain-ip"]
    assert [found.uuid for found in other.search_index(eventinfo="%case%", sort="info", limit=1, page=1)] == [event.uuid]
    assert other.search(value="login.evil.kr", metadata=True)[0].attributes == []
    assert len(other.search(return_format="csv", eventid=event.id)) == len(other.search(controller="attributes", eventid=event.id))
    patterns = [found.get("pattern", "") for found in other.search(return_format="stix2", eventid=event.id)["objects"]]
    assert any("login.evil.kr" in pattern for pattern in patterns), patterns
    assert [found.uuid for found in other.search(return_format="json", eventid=event.id)] == [event.uuid]
    hashed = hashlib.md5(b"login.evil.kr").hexdigest()
    assert f"{hashed},{event.uuid}" in other.search(return_format="cache", eventid=event.id).splitlines()
    # What is loaded into machines is what is published.
    for machines in ("text", "suricata"):
        assert "login.evil.kr" not in str(other.search(return_format=machines, eventid=event.id))
    for refused in ("openioc", "stix", "yara"):
        assert other.search(return_format=refused, eventid=event.id)["errors"][0] == 422, refused


def tagging_and_sighting(owner: PyMISP, other: PyMISP, event: MISPEvent):
    assert "successfully" in owner.tag(event, "own:case")["message"]
    assert "own:case" in [tag.name for tag in owner.get_event(event.uuid).tags]
    assert owner.untag(event, "own:case")["message"].endswith(f"successfully removed from Event({event.id}).")
    assert other.tag(event, "own:case")["errors"][0] == 403
    assert "tlp:green" in [tag.name for tag in owner.search_tags("tlp:gr%")]

    attribute = event.attributes[0]
    seen = MISPSighting()
    seen.value, seen.source, seen.type = attribute.value, "desk", "0"
    told = other.add_sighting(seen, attribute)
    assert told.source == "desk", told
    assert int(other.add_sighting({"value": attribute.value, "type": "1"}).attribute_id) == attribute.id
    assert len(other.sightings(event)) == 2 and len(owner.sightings(attribute)) == 2
    found = other.search_sightings(context="attribute", context_id=attribute.id, source="desk", include_attribute=True, include_event_meta=True)
    assert len(found) == 1 and found[0]["event"].uuid == event.uuid and found[0]["attribute"].uuid == attribute.uuid
    assert "deleted" in other.delete_sighting(told)["message"]


def proposing(owner: PyMISP, other: PyMISP, event: MISPEvent):
    """What the client falls back to where an event is another's."""
    added = other.add_attribute(event, {"type": "domain", "value": "proposed.evil.kr"})
    assert isinstance(added, MISPShadowAttribute) and added.value == "proposed.evil.kr", added
    changed = other.update_attribute({"comment": "look again"}, event.attributes[0].uuid)
    assert isinstance(changed, MISPShadowAttribute) and changed.value == event.attributes[0].value, changed
    assert other.delete_attribute(event.attributes[1])["saved"] is True
    assert [proposal.value for proposal in owner.attribute_proposals(event)][:1] == ["proposed.evil.kr"] and len(owner.attribute_proposals()) == 3
    assert owner.get_attribute_proposal(added).uuid == added.uuid
    assert other.accept_attribute_proposal(added)["errors"][0] == 403
    assert owner.accept_attribute_proposal(added)["message"] == "Proposed change accepted."
    assert owner.accept_attribute_proposal(changed)["message"] == "Proposed change accepted."
    assert other.discard_attribute_proposal(owner.attribute_proposals()[0])["message"] == "Proposal discarded."
    now = owner.get_event(event.uuid)
    assert "proposed.evil.kr" in [attribute.value for attribute in now.attributes] and now.attributes[0].comment == "look again"
    assert owner.attribute_proposals() == []


def reporting(owner: PyMISP, other: PyMISP, event: MISPEvent):
    given = MISPEventReport()
    given.name, given.content, given.distribution = "What was seen", "# A page of phishing", 5
    report = owner.add_event_report(event.id, given)
    assert isinstance(report, MISPEventReport), report
    assert (report.uuid, report.event_id, report.distribution) == (given.uuid, event.id, 5)
    assert owner.get_event(event.uuid).event_reports[0].id == report.id
    assert [found.name for found in other.get_event_reports(event.id)] == ["What was seen"]
    assert other.get_event_report(report).content == "# A page of phishing"
    report.content = "# Another page"
    assert owner.update_event_report(report).content == "# Another page"
    assert other.update_event_report(report)["errors"][0] == 403 and other.delete_event_report(report)["errors"][0] == 403
    assert owner.delete_event_report(report)["name"] == f"Event Report {report.uuid} soft deleted"
    assert owner.get_event_reports(event.id) == [] and owner.get_event(event.uuid).event_reports == []
    assert owner.delete_event_report(report, hard=True)["success"] is True
    assert owner.get_event_report(report)["errors"][0] == 404


def publishing(url: str, key: str, owner: PyMISP, event: MISPEvent):
    assert owner.publish(event)["success"] is True
    assert owner.get_event(event.uuid).published is True
    assert owner.search(return_format="text", eventid=event.id).split()[0] == "login.evil.kr"
    assert "login.evil.kr" in owner.search(return_format="suricata", eventid=event.id)
    found = call(url, key, "/api/v1/observables/domain/login.evil.kr")
    assert "phishing" in found["categories"], found


def feed(url: str):
    """Reads the public feed by PyMISP's own classes until it holds the published domain, and checks its list of hashes."""
    began = time.monotonic()
    while True:
        try:
            with urllib.request.urlopen(url + "/feeds/misp/manifest.json", timeout=60) as answer:
                manifest = json.load(answer)
        except urllib.error.HTTPError:
            manifest = {}
        values = {}
        for uuid, head in manifest.items():
            with urllib.request.urlopen(f"{url}/feeds/misp/{uuid}.json", timeout=60) as answer:
                event = MISPEvent()
                event.load(json.load(answer))
            assert event.uuid == uuid and event.manifest[uuid]["info"] == head["info"]
            values.update({attribute.value: (uuid, attribute) for attribute in event.attributes})
        if "login.evil.kr" in values:
            break
        assert time.monotonic() - began < FOLLOWS_WITHIN, values
        time.sleep(0.2)
    uuid, attribute = values["login.evil.kr"]
    assert attribute.to_ids and "tlp:clear" in [tag.name for tag in attribute.tags]
    with urllib.request.urlopen(url + "/feeds/misp/hashes.csv", timeout=60) as answer:
        hashes = answer.read().decode().splitlines()
    assert f"{attribute.hash_values('md5')[0]},{uuid}" in hashes


def deleting(owner: PyMISP, event: MISPEvent):
    event = owner.get_event(event.uuid)
    assert owner.delete_attribute(event.attributes[0])["message"] == "Attribute deleted."
    assert len(owner.get_event(event.uuid).attributes) == len(event.attributes) - 1
    assert len(owner.get_event(event.uuid, deleted=True).attributes) == len(event.attributes)
    assert owner.restore_attribute(event.attributes[0]).deleted is False
    assert owner.delete_attribute(event.attributes[0], hard=True)["message"] == "Attribute deleted."
    assert len(owner.get_event(event.uuid, deleted=True).attributes) == len(event.attributes) - 1
    assert owner.delete_event(event)["message"] == "Event deleted."
    assert not owner.event_exists(event.uuid)


def main():
    # The client logs every refusal; those here are wanted.
    logging.disable(logging.CRITICAL)
    url, coordinator = sys.argv[1], os.environ["BONGSU_KEY"]
    keys = [member(url, coordinator, name) for name in ("Owner", "Other")]
    owner, other = (connect(url, key) for key in keys)
    assert owner.misp_instance_version["perm_sync"] is True and "ip-src" in owner.types
    assert owner.get_user().org_id == owner._current_user.org_id
    # Without the slash at the end of its base URL the client leaves the path out; without a path it has none.
    for base in ("/misp", "", "/"):
        assert connect(url, keys[0], base).get_user().org_id == owner._current_user.org_id
    assert [group.name for group in owner.sharing_groups()] == ["Sector: finance"]
    assert owner.get_organisation(owner._current_user.org_id).name == "Owner"
    assert owner.values_in_warninglist(["8.8.8.8"]) == {}
    event = editing(owner, other)
    searching(owner, other, event)
    tagging_and_sighting(owner, other, event)
    proposing(owner, other, event)
    reporting(owner, other, event)
    publishing(url, keys[1], owner, event)
    feed(url)
    deleting(owner, event)
    print("PyMISP: editing, searching, tagging, sighting, proposing, reporting, publishing, the feed and deleting hold")


if __name__ == "__main__":
    main()
