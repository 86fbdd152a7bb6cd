"""The report as JSON, and the JSON Schema of it."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from nornir_etcd.report.model import Report
from nornir_etcd.report.summary import summary_line

DERIVED = ("changed", "exit_code", "summary")
"""What is written for readers and follows from the rest."""


def to_json(report: Report) -> str:
    """Return the report as JSON, indented, with the exit code that it means and the summary at its end."""
    document = report.model_dump(mode="json") | {"changed": report.changed, "exit_code": report.exit_code}
    document["summary"] = summary_line(report)
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def from_json(text: str) -> Report:
    """Return the report that `to_json` wrote.

    Raises:
        ValueError: in one line, where the text is no such report.
    """
    try:
        document = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError("no JSON") from error
    if not isinstance(document, dict):
        raise ValueError("JSON that is no object")  # noqa: TRY004 - one error for whatever the text is
    try:
        return Report.model_validate({key: value for key, value in document.items() if key not in DERIVED})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{error.error_count()} differences from its schema, first {place}: {first['msg']}") from error


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of what `to_json` writes; `report.schema.json` beside this file holds it."""
    found = Report.model_json_schema(mode="serialization")
    found["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    found["title"] = "Report of nornir-etcd"
    found["properties"]["changed"] = {"type": "boolean"}
    found["properties"]["exit_code"] = {"type": "integer", "enum": [0, 1, 3, 4]}
    found["properties"]["summary"] = {"type": "string"}
    found["required"] = sorted([*found["required"], *DERIVED])
    return found
