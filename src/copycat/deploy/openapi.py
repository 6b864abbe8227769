"""The OpenAPI description of `copycat serve`."""

from collections.abc import Mapping
from typing import Any

from copycat import __version__
from copycat.deploy.app_runs import AppRuns
from copycat.deploy.uploads import MAX_BATCH_BYTES, MAX_BYTES, MAX_IMAGES, MAX_REQUESTS, MULTIPART, TIMEOUT_SECONDS

Node = Mapping[str, Any]
ERRORS = {
    400: "No image, a damaged form, another host, or none of several runs named",
    403: "Sent by a page of another address",
    404: "No such run",
    408: f"The images took more than {TIMEOUT_SECONDS:g} s to arrive",
    409: "The run cannot predict",
    413: "Too large, or too many images",
    415: "Another content type than those described",
    422: "An image cannot be read, or has too many pixels; no image of the request is classified",
    503: f"Too many images are waiting, or more than {MAX_REQUESTS} requests, or the server is ending: try again",
}
"""What each status of an error says."""
FILE: Node = {"type": "string", "format": "binary"}
PROBABILITY: Node = {"type": "number", "minimum": 0, "maximum": 1}


def make_openapi(runs: AppRuns) -> Node:
    """Describe the endpoint for these runs, in OpenAPI 3.1."""
    run = {
        "name": "run",
        "in": "query",
        "required": len(runs.opened) > 1,
        "schema": {"type": "string", "enum": list(runs.opened)},
        "description": "A run, by the name that /runs lists",
    }
    form = {"type": "object", "properties": {"image": {"type": "array", "items": FILE, "maxItems": MAX_IMAGES}}}
    images = {"image/*": {"schema": FILE}, "application/octet-stream": {"schema": FILE}, MULTIPART: {"schema": form}}
    predict = {
        "operationId": "predict",
        "summary": "Classify one image, sent as the body, or several, sent as files of a form",
        "description": (
            f"An image has at most {MAX_BYTES >> 20} MB and {runs.max_pixels / 1e6:g} megapixels, a request at most"
            f" {MAX_IMAGES} images and {MAX_BATCH_BYTES >> 20} MB. Images of a request are predicted together."
        ),
        "parameters": [run],
        "requestBody": {"required": True, "content": images},
        "responses": {
            "200": _answer("Predictions in the order of the images, as `copycat predict --json` prints them", "Answer"),
            **{str(status): _answer(text, "Error") for status, text in ERRORS.items()},
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Copycat", "version": __version__, "description": "Classify images by trained networks."},
        "paths": {
            "/predict": {"post": predict},
            "/runs": {"get": _get("runs", "List the runs", "Runs")},
            "/health": {"get": _get("health", "Say that the server answers", "Health")},
        },
        "components": {"schemas": SCHEMAS},
    }


def _get(name: str, summary: str, schema: str) -> Node:
    return {"operationId": name, "summary": summary, "responses": {"200": _answer(summary, schema)}}


def _answer(text: str, schema: str) -> Node:
    reference = {"$ref": f"#/components/schemas/{schema}"}
    return {"description": text, "content": {"application/json": {"schema": reference}}}


def _object(properties: Node, **more: Any) -> Node:
    return {"type": "object", "required": list(properties), "properties": properties, **more}


SCHEMAS: Node = {
    "Answer": _object(
        {
            "run": {"type": "string"},
            "predictions": {"type": "array", "items": {"$ref": "#/components/schemas/Prediction"}},
        }
    ),
    "Prediction": _object(
        {
            "file": {"type": "string", "description": "The name of the image, or - where it was sent without one"},
        },
        anyOf=[{"required": ["class", "probability"]}, {"required": ["classes"]}],
        patternProperties={
            "^probability/": PROBABILITY,
            "^class$": {"type": "string"},
            "^probability$": PROBABILITY,
            "^classes$": {"type": "array", "items": {"type": "string"}},
            "^in_set/": {"type": "boolean"},
            "^set$": {"type": "string"},
        },
        additionalProperties=False,
        description=(
            "class, the predicted one, with its probability; or classes, where images may have several;"
            " probability/CLASS for each class; of a run with conformal sets also set, and in_set/CLASS"
        ),
    ),
    "Runs": _object({"runs": {"type": "array", "items": {"$ref": "#/components/schemas/Run"}}}),
    "Run": _object(
        {
            "name": {"type": "string"},
            "title": {"type": "string"},
            "classes": {"type": "array", "items": {"type": "string"}},
            "val_accuracy": {**PROBABILITY, "type": ["number", "null"], "description": "On the validation images"},
            "problem": {"type": ["string", "null"], "description": "Why the run cannot predict"},
        }
    ),
    "Health": _object({"status": {"const": "ok"}, "runs": {"type": "integer", "minimum": 0}}),
    "Error": _object({"error": {"type": "string"}}),
}
