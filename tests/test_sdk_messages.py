"""What remains of the SDK's long messages."""

import json

from azureml_local.sdk_messages import sentence


def test_the_sdks_messages_are_brought_down_to_what_matters():
    findings = {"errors": [{"path": "jobs.a", "message": "Anonymous; ['No such file or directory: /x/a.yml']"}]}
    assert sentence(ValueError(f"Validation failed:\n{json.dumps(findings)}\nVisit this link")) == (
        "jobs.a: No such file or directory: /x/a.yml"
    )
    inner = {"command": ["Not a valid string."], "distribution": [{"type": ["not in set"]}, {"type": ["not in set"]}]}
    message = f"Validation for CommandJobSchema failed:\n\n {json.dumps(inner, indent=2)} \n\nVisit this link"
    nested = {"errors": [{"path": "*", "message": message}] * 2}
    assert sentence(ValueError(f"Validation for CommandSchema failed:\n\n {json.dumps(nested)}\nThe easiest way")) == (
        "command: Not a valid string; distribution.type: not in set"
    )
    tried = "Invalid input type.; Invalid input type.; {None: [{'_schema': ['Not a valid integer.']}]}"
    findings = {"errors": [{"path": "jobs.a.inputs.b", "message": tried}]}
    assert sentence(ValueError(f"Validation failed: {json.dumps(findings)}")) == (
        "jobs.a.inputs.b: Invalid input type. Not a valid integer"
    )
    log = 'deployment "blue" ended; its log ends with:\n{"errors": []}\nthe reason'
    assert sentence(ValueError(log)) == log
    coloured = "\x1b[37m\n1) A file is missing.\nDetails:\n\x1b[31m(x) No such file: /x\x1b[39m\nResolutions:\n1) Check"
    assert sentence(ValueError(coloured)) == "No such file: /x"
    assert sentence(ValueError("Plain.\nThe easiest way to author ...")) == "Plain."


def test_what_is_not_registered_is_said_with_the_way_to_register_it():
    assert sentence(ValueError("Asset filler does not exist in workspace local.")) == (
        "Asset filler does not exist in workspace local. Register it first: "
        "`azureml-local run FILE --register OUTPUT=NAME` does so with an output of a job."
    )


def test_findings_without_a_sentence_around_them_are_findings_too():
    found = {"result": "Failed", "errors": [{"message": "Equal ignore case.", "path": "inputs.S", "value": None}]}
    assert sentence(ValueError(json.dumps(found, indent=2))) == "inputs.S: Equal ignore case"
    assert sentence(ValueError("[1, 2]")) == "[1, 2]"
    assert sentence(ValueError('{"a": "b"} is what was given')) == '{"a": "b"} is what was given'
