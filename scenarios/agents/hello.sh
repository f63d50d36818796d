#!/bin/sh
# The agent of the demo with real machines: leaves a trace of itself, and of what it was told, on
# the machine's disk.
mkdir -p /opt/hello
echo "$@" > /opt/hello/parameters
echo "hello from $(hostname)"
