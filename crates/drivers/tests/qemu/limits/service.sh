#!/bin/sh
# service.sh USER FOLDER PROGRAM TEST VARIABLE PID_FILE: runs a test of the program, which uses
# FOLDER, as a systemd service of that user. The machine that the test leaves running must outlive
# the service.
user=$1 folder=$2 program=$3 test=$4 variable=$5 pid_file=$6
rm -f "$pid_file"
chown -R "$user" "$folder"
until [ -S "/run/user/$(id -u cpc)/bus" ]; do sleep 1; done
systemd-run --quiet --wait --pipe --collect --property=User="$user" --setenv="$variable=1" "$program" --ignored --exact "$test" 2>&1 || exit
pid=$(cat "$pid_file")
grep -q qemu-system "/proc/$pid/cmdline" || { echo "the machine stopped with its service"; exit 1; }
# The control group disappears with the machine.
group=/sys/fs/cgroup$(sed -n s/^0:://p "/proc/$pid/cgroup")
[ -d "$group" ] && kill "$pid"
while [ -d "$group" ]; do sleep 0.1; done
