#!/usr/bin/env python3
"""Stands in for Amazon's command line: aws s3api COMMAND --option value, over boto3. Enough for the recipes of docs/stores.md."""
import json
import os
import sys

import boto3


def shorthand(text):
    """KEY=VALUE,KEY={...} as aws takes it, or JSON, or file://."""
    if text.startswith("file://"):
        return open(text[7:]).read()
    if text.startswith("{"):
        return json.loads(text)
    if "=" not in text:
        return text

    def pairs(at):
        found = {}
        while at < len(text) and text[at] != "}":
            end = text.index("=", at)
            key, at = text[at:end], end + 1
            if text[at] == "{":
                found[key], at = pairs(at + 1)
                at += 1
            else:
                end = min(e for e in (text.find(",", at), text.find("}", at), len(text)) if e >= 0)
                value, at = text[at:end], end
                found[key] = int(value) if value.isdigit() else {"true": True, "false": False}.get(value, value)
            if at < len(text) and text[at] == ",":
                at += 1
        return found, at

    return pairs(0)[0]


def camel(option):
    return "".join(part.capitalize() for part in option.lstrip("-").split("-"))


service, command, *rest = sys.argv[1:]
assert service == "s3api", service
region, options = "us-east-1", {}
while rest:
    name = rest.pop(0)
    value = True if not rest or rest[0].startswith("--") else rest.pop(0)
    if name == "--region":
        region = value
    elif value is True or name in ("--key", "--bucket", "--version-id"):
        options[camel(name)] = value
    else:
        options[camel(name)] = shorthand(value)
client = boto3.client("s3", region_name=region, endpoint_url=os.environ["AWS_ENDPOINT_URL"])
try:
    answer = getattr(client, command.replace("-", "_"))(**options)
except client.exceptions.ClientError as error:
    sys.exit(f"aws: {error}")
answer.pop("ResponseMetadata", None)
print(json.dumps(answer, default=str))
