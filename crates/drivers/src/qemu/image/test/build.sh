#!/usr/bin/env bash
# Makes the test image in the folder OUT: kernel, initial RAM disk, and a disk with busybox and the guest agent. Everything in it comes from Debian packages, which
# are unpacked and not installed. Takes no rights: no mounts, no loop devices.
set -euo pipefail
OUT=$1
HERE=$(cd "$(dirname "$0")" && pwd)
W=$(mktemp -d)
trap 'rm -rf "$W"' EXIT
mkdir -p "$OUT" "$W/debs" "$W/packages"
export PATH=$PATH:/usr/sbin:/sbin

for tool in apt-get apt-cache dpkg-deb qemu-img mke2fs depmod modprobe cpio; do
    command -v $tool > /dev/null || { echo "$tool is missing; scripts/setup qemu installs what is needed" >&2; exit 1; }
done

kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }')
[ -n "$kernel" ] || { echo "apt knows no linux-image-cloud-amd64; run apt-get update" >&2; exit 1; }
# What the guest agent and resize2fs are linked with, and all that these need.
programs="qemu-guest-agent e2fsprogs"
libraries=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances $programs |
    grep -E '^lib' | grep -v -E 'perl|gcc-s1|debconf' | sort -u)
(
    cd "$W/debs"
    # As another user apt could not write here.
    apt-get -qq -o APT::Sandbox::User=root download "$kernel" busybox-static libgcc-s1 $programs $libraries
)
for deb in "$W"/debs/*.deb; do dpkg-deb -x "$deb" "$W/packages"; done
P=$W/packages

cp "$P"/boot/vmlinuz-* "$OUT/vmlinuz"
version=$(basename "$P"/lib/modules/*)
depmod -b "$P" "$version"
I=$W/initrd
mkdir -p "$I"/{bin,m,dev,proc,sys,sysroot}
cp "$P/bin/busybox" "$I/bin/"
install -m755 "$HERE/guest-init" "$I/init"
for module in virtio_pci virtio_blk virtio_console virtio_net evdev button pvpanic-pci; do
    modprobe -d "$P" -S "$version" --show-depends $module | awk '$1 == "insmod" { print $2 }'
done | awk '!seen[$0]++' | while read -r path; do
    cp "$path" "$I/m/"
    basename "$path" >> "$I/m/order"
done
(cd "$I" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) > "$OUT/initrd"

R=$W/root
mkdir -p "$R"/{bin,sbin,usr/sbin,etc/acpi/PWRF,dev,proc,sys,run,tmp,root,var/lib,var/tmp,opt,lib64}
cp "$P/bin/busybox" "$R/bin/"
for applet in $("$P/bin/busybox" --list); do [ "$applet" = busybox ] || ln -s /bin/busybox "$R/bin/$applet"; done
ln -s /run "$R/var/run"
cp "$P/usr/sbin/qemu-ga" "$R/usr/sbin/"
cp "$P/sbin/resize2fs" "$R/sbin/"
# The dynamic loader of the packages says which of their libraries are needed.
loader=$(find "$P" -name ld-linux-x86-64.so.2 -type f -o -name ld-linux-x86-64.so.2 -type l | head -n 1)
cp -L "$loader" "$R/lib64/ld-linux-x86-64.so.2"
folders=$P/lib/x86_64-linux-gnu:$P/usr/lib/x86_64-linux-gnu
mkdir -p "$R/lib/x86_64-linux-gnu"
for program in usr/sbin/qemu-ga sbin/resize2fs; do
    "$R/lib64/ld-linux-x86-64.so.2" --library-path "$folders" --list "$P/$program"
done | awk '$2 == "=>" { print $3 }' | sort -u | while read -r library; do
    case $library in */ld-linux*) ;; *) cp -L "$library" "$R/lib/x86_64-linux-gnu/" ;; esac
done
install -m755 "$HERE/disk-init" "$R/sbin/init"
install -m755 "$HERE/shutdown" "$R/sbin/shutdown"
printf '#!/bin/sh\nexec /sbin/shutdown -P\n' > "$R/etc/acpi/PWRF/00000080"
chmod 755 "$R/etc/acpi/PWRF/00000080"
echo cloudpc > "$R/etc/hostname"
echo 'root::0:0:root:/root:/bin/sh' > "$R/etc/passwd"
echo root:x:0: > "$R/etc/group"
echo '127.0.0.1 localhost' > "$R/etc/hosts"
: > "$R/etc/resolv.conf"
printf 'NAME="Test guest"\nID=testguest\nVERSION_ID="1"\nPRETTY_NAME="Test guest 1"\n' > "$R/etc/os-release"
truncate -s 512M "$W/root.img"
# Room to grow while mounted: to 256 GiB.
mke2fs -q -t ext4 -L root -m 0 -J size=4 -E root_owner=0:0,resize=67108864 -d "$R" "$W/root.img"
qemu-img convert -f raw -O qcow2 "$W/root.img" "$OUT/disk.qcow2"
