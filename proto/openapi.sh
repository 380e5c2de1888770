#!/bin/sh
# Merges the documents of the services into openapi/onlinesms.json, which the door serves as /openapi.json.
set -eu
parts=build/openapi
trap 'rm -rf build' EXIT
export GOWORK=off
first=$parts/onlinesms/ingest/v1/message_service.openapi.json
rest=$(find "$parts" -name '*.openapi.json' ! -path "$first" | LC_ALL=C sort)
# shellcheck disable=SC2086 # one word a file
go tool -modfile=tools/go.mod openapiv3-merge "$first" $rest | go run -C tools ./openapi > openapi/onlinesms.json
