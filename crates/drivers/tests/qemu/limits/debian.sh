#!/usr/bin/env bash
# debian.sh OUT TEST FOLDER PROGRAM AT: builds the image OUT, a Debian with systemd and QEMU that
# boots like the image TEST. It contains TEST in FOLDER, and the test program PROGRAM at AT. Needs
# root.
set -euo pipefail
OUT=$1 TEST=$2 FOLDER=$3 PROGRAM=$4 AT=$5
umask 022
# Not in /tmp, which may be small: this takes two gigabytes.
W=$(mktemp -d -p "$FOLDER")
trap 'rm -rf "$W"' EXIT
export PATH=$PATH:/usr/sbin:/sbin
mmdebstrap --quiet --variant=minbase --aptopt='APT::Install-Recommends "false"' --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --include=systemd-sysv,udev,dbus,dbus-user-session,libpam-systemd,ca-certificates,qemu-guest-agent,qemu-system-x86,qemu-utils \
    --customize-hook='chroot "$1" useradd --create-home cpc' \
    --customize-hook='mkdir -p "$1/var/lib/systemd/linger" && touch "$1/var/lib/systemd/linger/cpc"' \
    bookworm "$W/debian"
# Disables the cleanup of /tmp at boot, since FOLDER may be below it.
ln -s /dev/null "$W/debian/etc/tmpfiles.d/tmp.conf"
strip -o "$W/debian$AT" "$PROGRAM"
mkdir -p "$W/debian$FOLDER/images"
cp -r "$TEST" "$W/debian$FOLDER/images/"
truncate -s 1500M "$W/disk.img"
mke2fs -q -t ext4 -d "$W/debian" "$W/disk.img"
rm -rf "$OUT"
cp -r "$TEST" "$OUT"
qemu-img convert -f raw -O qcow2 "$W/disk.img" "$OUT/disk.qcow2"
