"""The whole Graph SDK for Go, compiled by `scripts/test-go-sdk`, with what it does by default."""

from packages import GO_SDK_PROGRAM


def test_the_sdk_reads_renames_writes_and_understands_errors(tools):
    tools.run(GO_SDK_PROGRAM, *tools.credentials)
