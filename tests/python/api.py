"""The OpenAPI document is valid, and no request that can be made of it finds a 5xx or an answer the document does not name.

Called by `cargo xtask test` as `api.py URL` with a coordinator's key in BONGSU_KEY, against a hub of its own.
"""

import json
import os
import pathlib
import subprocess
import sys
import urllib.request

from openapi_spec_validator import validate

EXAMPLES = "40"
SEED = "20261121"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# A live stream never ends; `tests/stream.rs` covers it.
ENDLESS = "/api/v1/stream"


def main() -> int:
    url, key = sys.argv[1], os.environ["BONGSU_KEY"]
    location = f"{url}/api/openapi.json"
    request = urllib.request.Request(location, headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        document = json.load(answer)
    validate(document)
    print(f"the document is valid and holds {len(document['paths'])} paths", flush=True)
    tester = pathlib.Path(sys.executable).with_name("schemathesis")
    command = [tester, "run", location, "--header", f"Authorization: Bearer {key}", "--checks", CHECKS, "--exclude-path", ENDLESS]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES, "--seed", SEED]
    command += ["--workers", "1", "--request-timeout", "30", "--continue-on-failure", "--warnings", "off", "--no-color"]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
