"""PyMISP's own live tests against a running hub: each is passed, not applicable (and why), or failing.

Called by `cargo xtask test` as `misp_live.py URL` with a coordinator's key in BONGSU_KEY, against a hub of its own. The tests are those of PyMISP's source archive on
PyPI, in the version that is installed; nothing of them is in this repository. They run as they are, but for where their organisations and keys come from: an administrator
of a MISP makes them by calls that a hub has not. The coordinator stands for the administrator, two analysts for the users of an organisation, a third for another one.
"""

import importlib.metadata
import importlib.util
import json
import logging
import os
import pathlib
import subprocess
import sys
import tarfile
import time
import types
import unittest
import urllib.request
import uuid

from pymisp import MISPUser, PyMISP

MODULE = "tests/testlive_comprehensive.py"
CLASS = "TestComprehensive"

ADMINISTRATION = "administers a MISP: its users, roles, settings, feeds or servers; a hub is administered at /api/v1"
LIBRARIES = "changes the instance's libraries of galaxies, taxonomies, templates, notices or decaying models; those are the client's"
LISTS = "turns the instance's warning lists on and off; a hub's are its operator's"
ROLES = "goes by MISP's roles: here whoever may write may publish and tag, and the coordinator publishes nobody else's event"
TAG_RECORDS = "keeps tags as records of their own, with owners and switches; here a tag is there by being used"
GROUPS = "makes sharing groups; a hub's groups are made at /api/v1/groups"
SAMPLES = "needs malware samples that are not on PyPI"
NOT_KEPT = "adds analyst data one by one; here it stays with the event that carries it"
OTHER_DOOR = "hands in text or STIX, for which there are other doors"
NAMES = "asks for an organisation of the name that a new MISP has"

NOT_APPLICABLE = {
    "test_add_event_with_attachment": SAMPLES,
    "test_add_event_with_attachment_object_controller": SAMPLES,
    "test_add_event_with_attachment_object_controller__hard": SAMPLES,
    "test_analyst_data_ACL": NOT_KEPT,
    "test_analyst_data_CRUD": NOT_KEPT,
    "test_attach_galaxy_cluster": LIBRARIES,
    "test_attribute": ROLES + "; the calls it makes are those of misp.py",
    "test_blocklists": ADMINISTRATION,
    "test_communities": ADMINISTRATION,
    "test_correlation_exclusions": ADMINISTRATION,
    "test_custom_template": SAMPLES,
    "test_db_schema": ADMINISTRATION,
    "test_event_galaxy": LIBRARIES,
    "test_expansion": SAMPLES,
    "test_feeds": ADMINISTRATION,
    "test_freetext": OTHER_DOOR,
    "test_galaxies": LIBRARIES,
    "test_galaxy_cluster": LIBRARIES,
    "test_lief_and_sign": SAMPLES,
    "test_live_acl": ADMINISTRATION,
    "test_noticelists": LIBRARIES,
    "test_object_template": LIBRARIES,
    "test_org_search": NAMES,
    "test_organisation": NAMES,
    "test_registrations": ADMINISTRATION,
    "test_roles": ADMINISTRATION,
    "test_roles_expanded": ADMINISTRATION,
    "test_search_csv": ROLES,
    "test_search_decay": LIBRARIES,
    "test_search_galaxy": LIBRARIES,
    "test_search_stix": "asks for STIX 1, which is not given; STIX 2.1 is",
    "test_server_settings": ADMINISTRATION,
    "test_servers": ADMINISTRATION,
    "test_sharing_group": GROUPS,
    "test_sharing_group_search": GROUPS,
    "test_sharing_groups": GROUPS,
    "test_simple_event": ROLES + ", and " + LISTS,
    "test_statistics": "counts over everybody's data, which a hub gives to nobody",
    "test_tags": TAG_RECORDS,
    "test_taxonomies": LIBRARIES,
    "test_upload_stix": OTHER_DOOR,
    "test_user": ADMINISTRATION,
    "test_user_perms": ROLES,
    "test_user_search": ADMINISTRATION,
    "test_user_settings": ADMINISTRATION,
    "test_warninglists": LISTS,
    "test_zmq": ADMINISTRATION,
}
# Tests of calls that are served which do not hold yet, and why. One that passes must leave this table.
FAILING: dict[str, str] = {}


def call(url: str, key: str, path: str, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data=data, headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def source() -> pathlib.Path:
    """The folder of PyMISP's source archive, fetched once for the installed version."""
    version = importlib.metadata.version("pymisp")
    kept = pathlib.Path(sys.prefix) / "pymisp-source"
    folder = kept / f"pymisp-{version}"
    if not (folder / MODULE).exists():
        print(f"fetching the source archive of pymisp {version} from PyPI into {kept}", flush=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", "pymisp"]
        subprocess.run([*command, "--dest", str(kept), f"pymisp=={version}"], check=True)
        with tarfile.open(next(kept.glob("pymisp-*.tar.gz"))) as archive:
            archive.extractall(kept, filter="data")
    return folder


def load(url: str, key: str):
    """The class of the live tests. It looks for `keys`, and for a folder of samples that it would fetch from elsewhere were it not there."""
    folder = source()
    os.chdir(folder)
    (folder / "tests/viper-test-files").mkdir(exist_ok=True)
    keys = types.ModuleType("keys")
    keys.url, keys.key = url, key
    sys.modules["keys"] = keys
    spec = importlib.util.spec_from_file_location("testlive_comprehensive", folder / MODULE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, CLASS)


def people(case, url: str, misp: str, coordinator: str):
    """Gives the tests their organisations and keys."""

    def organisation(name: str) -> str:
        return call(url, coordinator, "/api/v1/organisations", {"name": name, "kind": "company", "constituency": "private", "sector": "finance"})["id"]

    def analyst(of: str) -> PyMISP:
        return PyMISP(misp, call(url, coordinator, f"/api/v1/organisations/{of}/keys", {"role": "analyst"})["key"], False)

    def user(of) -> MISPUser:
        found = MISPUser()
        found.email, found.org_id = "analyst@hub.example", of.id
        return found

    case.maxDiff = None
    case.admin_misp_connector = PyMISP(misp, coordinator, False)
    own, other = organisation("Test Org"), organisation("Test Org - delegate")
    case.user_misp_connector, case.pub_misp_connector, case.delegate_user_misp_connector = analyst(own), analyst(own), analyst(other)
    case.user_misp_connector.toggle_global_pythonify()
    case.delegate_user_misp_connector.toggle_global_pythonify()
    case.test_org, case.test_org_delegate = (
        case.admin_misp_connector.get_organisation(str(uuid.UUID(hex=of.removeprefix("org_"))), pythonify=True) for of in (own, other)
    )
    case.test_usr, case.test_pub, case.test_usr_delegate = user(case.test_org), user(case.test_org), user(case.test_org_delegate)


def outcome(case, name: str) -> tuple[str, str]:
    """What becomes of a test, and in which words."""
    method = getattr(case, name)
    if name in NOT_APPLICABLE:
        return "not applicable", NOT_APPLICABLE[name]
    if getattr(method, "__unittest_skip__", False):
        return "not applicable", f"PyMISP itself passes it over: {method.__unittest_skip_why__}"
    result = unittest.TestResult()
    case(name).run(result)
    # A test that failed in the middle leaves its events behind, which the next one would count.
    for event in case.admin_misp_connector.events(pythonify=False):
        case.admin_misp_connector.delete_event(event["id"])
    if result.wasSuccessful():
        return "passed", ""
    _, trace = (result.errors + result.failures)[0]
    return "failing", trace.strip().splitlines()[-1][:200]


def main() -> int:
    logging.disable(logging.CRITICAL)
    url, coordinator = sys.argv[1], os.environ["BONGSU_KEY"]
    case = load(url + "/misp/", coordinator)
    people(case, url, url + "/misp/", coordinator)
    rows = []
    for name in unittest.defaultTestLoader.getTestCaseNames(case):
        began = time.monotonic()
        what, words = outcome(case, name)
        rows.append((name, what, words))
        print(f"{name:60} {what:15} {time.monotonic() - began:4.0f} s  {words}", flush=True)
    count = {what: sum(1 for row in rows if row[1] == what) for what in ("passed", "not applicable", "failing")}
    print(f"PyMISP's {len(rows)} live tests: {count['passed']} passed, {count['not applicable']} not applicable, {count['failing']} failing")
    wrong = [f"{name} fails: {words}" for name, what, words in rows if what == "failing" and name not in FAILING]
    wrong += [f"{name} passes and is still listed as failing" for name, what, _ in rows if what == "passed" and name in FAILING]
    wrong += [f"{name} is listed, and no such test is there" for name in [*NOT_APPLICABLE, *FAILING] if name not in {row[0] for row in rows}]
    print("\n".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
