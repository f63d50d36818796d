#!/usr/bin/env bash
# build.sh KIND OUT: builds the image of the guest KIND.sh in the directory OUT: kernel, initial RAM
# disk, and a disk with busybox, the guest agent and the additions of that guest. All files come
# from Debian packages, which are unpacked but not installed. Needs no privileges: no mounts, no
# loop devices.
#
# Prints its progress to standard output: lines with a percentage and the current step.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
KIND=$1
# Other accounts read the files, in the guest and on the host.
umask 022
mkdir -p "$2"
OUT=$(cd "$2" && pwd)
# Not in /tmp, which may be small or mounted noexec. If this script is killed, the work directory is
# removed together with OUT.
W=$(mktemp -d -p "$OUT")
trap 'rm -rf "$W"' EXIT
export PATH=$PATH:/usr/sbin:/sbin LC_ALL=C
# The unpacked packages, and the root directory of the disk.
P=$W/packages
R=$W/root
LIBRARIES=lib/x86_64-linux-gnu

step() { echo "$*"; }
fail() { echo "$*" >&2; exit 1; }
# Copies files and directories from the packages, following symbolic links.
take() {
    local path
    for path; do
        mkdir -p "$R/$(dirname "$path")"
        cp -RL "$P/$path" "$R/$path"
    done
}

# Settings of the guest. Its name in /etc/os-release:
title=
packages="busybox-static e2fsprogs qemu-guest-agent"
programs="sbin/resize2fs usr/sbin/qemu-ga"
# Libraries that packages depend on but the guest never loads.
unused=
# Initial size of the disk, MiB.
size_mib=512
furnish() { :; }
. "$HERE/$KIND.sh"

step 0 "Checking the build dependencies"
missing=
while read -r tool package; do
    command -v "$tool" > /dev/null || missing="$missing $package"
done << 'END'
apt-get apt
dpkg-deb dpkg
qemu-img qemu-utils
mke2fs e2fsprogs
depmod kmod
cpio cpio
END
missing=$(printf '%s\n' $missing | sort -u)
[ -z "$missing" ] || fail "build dependencies are missing. On Debian, install:" $missing
for package in linux-image-cloud-amd64 $packages; do
    [ -n "$(apt-cache policy "$package" 2> /dev/null)" ] || fail "apt does not know the package $package. Run apt-get update."
done

# For a machine without installed packages, apt lists all dependencies. Those that are not libraries
# are only needed to install packages, and are skipped.
: > "$W/nothing-installed"
apt-get -qq -o Dir::State::status="$W/nothing-installed" -o Debug::NoLocking=1 --no-install-recommends --print-uris install $packages |
    awk -v packages="$packages" -v unused="$unused" '
        BEGIN { split(packages, p, " "); for (i in p) wanted[p[i]]; split(unused, u, " "); for (i in u) left_out[u[i]] }
        { split($2, name, "_") }
        (name[1] in wanted || name[1] ~ /^lib/) && !(name[1] in left_out) { print name[1], $3 }' > "$W/closure"
kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }')

download="Downloading $(wc -l < "$W/closure") packages of $(awk '{ bytes += $2 } END { print int(bytes / 1e6) }' "$W/closure") MB, and a kernel"
step 5 "$download"
mkdir -p "$W/debs"
(
    cd "$W/debs"
    # apt's sandbox user could not write here. Descriptor 3 gets dlstatus:NUMBER:PERCENT:TEXT.
    apt-get -qq -o APT::Sandbox::User=root -o APT::Status-Fd=3 download "$kernel" $(cut -d ' ' -f 1 "$W/closure") 3>&1 > /dev/null
) | awk -F : -v download="$download" '$1 == "dlstatus" && int($3 / 4) > last { last = int($3 / 4); print 5 + 2 * last, download; fflush() }'

step 55 "Unpacking"
mkdir -p "$P"
for deb in "$W"/debs/*.deb; do dpkg-deb -x "$deb" "$P"; done

step 75 "Creating the initial RAM disk"
cp "$P"/boot/vmlinuz-* "$OUT/vmlinuz"
version=$(basename "$P"/lib/modules/*)
depmod -b "$P" "$version"
I=$W/initrd
mkdir -p "$I"/{bin,m,dev,proc,sys,sysroot}
cp "$P/bin/busybox" "$I/bin/"
install -m755 "$HERE/guest-init" "$I/init"
for module in virtio_pci virtio_blk virtio_console virtio_net virtio_input evdev button pvpanic-pci; do
    modprobe -d "$P" -S "$version" --show-depends $module | awk '$1 == "insmod" { print $2 }'
done | awk '!seen[$0]++' | while read -r path; do
    cp "$path" "$I/m/"
    basename "$path" >> "$I/m/order"
done
(cd "$I" && find . | sort | cpio -o -H newc -R 0:0 --quiet) > "$OUT/initrd"

step 80 "Copying the files of the disk"
mkdir -p "$R"/{bin,sbin,dev,etc/acpi/PWRF,lib64,proc,sys,run,tmp,root,opt,usr/lib,var/lib,var/tmp,$LIBRARIES}
cp "$P/bin/busybox" "$R/bin/"
for applet in $("$P/bin/busybox" --list); do [ "$applet" = busybox ] || ln -s /bin/busybox "$R/bin/$applet"; done
ln -s /run "$R/var/run"
install -m755 "$HERE/disk-init" "$R/sbin/init"
install -m755 "$HERE/shutdown" "$R/sbin/shutdown"
printf '#!/bin/sh\nexec /sbin/shutdown -P\n' > "$R/etc/acpi/PWRF/00000080"
chmod 755 "$R/etc/acpi/PWRF/00000080"
echo cloudpc > "$R/etc/hostname"
echo 'root::0:0:root:/root:/bin/sh' > "$R/etc/passwd"
echo root:x:0: > "$R/etc/group"
echo '127.0.0.1 localhost' > "$R/etc/hosts"
: > "$R/etc/resolv.conf"
printf 'NAME="%s"\nID=cloudpc-%s\nVERSION_ID="1"\nPRETTY_NAME="%s 1"\n' "$title" "$KIND" "$title" > "$R/etc/os-release"
take $programs
furnish
# The dynamic loader of the packages lists the libraries that are needed.
take lib64/ld-linux-x86-64.so.2
find $(printf "$R/%s " $programs) "$R/usr/lib" -type f | while read -r file; do
    "$R/lib64/ld-linux-x86-64.so.2" --library-path "$P/$LIBRARIES:$P/usr/$LIBRARIES" --list "$file" || fail "$file cannot be loaded"
done > "$W/loaded"
! grep 'not found' "$W/loaded" >&2 || fail "the packages lack the libraries listed above"
awk '$2 == "=>" && $1 !~ /ld-linux/ { print $3 }' "$W/loaded" | sort -u | while read -r library; do cp -L "$library" "$R/$LIBRARIES/"; done

step 90 "Creating the disk"
truncate -s "${size_mib}M" "$W/root.img"
# Reserves space for the file system to grow online to 256 GiB.
mke2fs -q -t ext4 -L root -m 0 -J size=4 -E root_owner=0:0,resize=67108864 -d "$R" "$W/root.img"
qemu-img convert -f raw -O qcow2 "$W/root.img" "$OUT/disk.qcow2"
step 100 "Registering the image"
