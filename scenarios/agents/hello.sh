#!/bin/sh
# The agent of the demo with real machines: writes its parameters to the machine's disk, and prints
# a greeting. scenarios/qemu.toml has the digest of this file.
mkdir -p /opt/hello
echo "$@" > /opt/hello/parameters
echo "hello from $(hostname)"
