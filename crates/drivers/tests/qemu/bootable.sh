#!/usr/bin/env bash
# bootable.sh IMAGE OUT: creates a disk that boots with BIOS and with UEFI from the test image in
# the directory IMAGE, whose kernel QEMU otherwise starts directly. The boot loaders come from
# Debian packages, which are unpacked but not installed.
set -euo pipefail
IMAGE=$1
OUT=$2
# Not in /tmp, which may be small or mounted noexec.
W=$(mktemp -d -p "$(dirname "$OUT")")
trap 'rm -rf "$W"' EXIT
(
    cd "$W"
    apt-get -qq -o APT::Sandbox::User=root download syslinux syslinux-common mtools systemd-boot-efi
    for deb in *.deb; do dpkg-deb -x "$deb" packages; done
)
P=$W/packages
export PATH=$P/usr/bin:$PATH MTOOLSRC=/dev/null
parameters="console=ttyS0 quiet mitigations=off root=/dev/vda2"
# Offsets and lengths in sectors of 512 bytes.
boot_at=2048
boot_length=65536
root_at=$((boot_at + boot_length))

truncate -s $((boot_length * 512)) "$W/boot.img"
mformat -i "$W/boot.img" -H $boot_at -h 16 -s 63 -v BOOT ::
printf 'DEFAULT linux\nLABEL linux\nKERNEL vmlinuz\nINITRD initrd\nAPPEND %s\n' "$parameters" > "$W/syslinux.cfg"
printf 'timeout 0\ndefault linux.conf\n' > "$W/loader.conf"
printf 'title Linux\nlinux /vmlinuz\ninitrd /initrd\noptions %s\n' "$parameters" > "$W/linux.conf"
mmd -i "$W/boot.img" ::/EFI ::/EFI/BOOT ::/loader ::/loader/entries
mcopy -i "$W/boot.img" "$IMAGE/vmlinuz" "$IMAGE/initrd" "$W/syslinux.cfg" ::/
mcopy -i "$W/boot.img" "$P/usr/lib/systemd/boot/efi/systemd-bootx64.efi" ::/EFI/BOOT/BOOTX64.EFI
mcopy -i "$W/boot.img" "$W/loader.conf" ::/loader/
mcopy -i "$W/boot.img" "$W/linux.conf" ::/loader/entries/
syslinux --install "$W/boot.img"

qemu-img convert -f qcow2 -O raw "$IMAGE/disk.qcow2" "$W/root.img"
root_length=$(($(stat -c %s "$W/root.img") / 512))
truncate -s $(((root_at + root_length) * 512)) "$W/disk.img"
four_bytes() { printf '%08x' "$1" | sed 's/\(..\)\(..\)\(..\)\(..\)/\\x\4\\x\3\\x\2\\x\1/'; }
partition() { printf "\\x$1\\xfe\\xff\\xff\\x$2\\xfe\\xff\\xff$(four_bytes "$3")$(four_bytes "$4")"; }
{
    head -c 440 "$P/usr/lib/syslinux/mbr/mbr.bin"
    printf '\0\0\0\0\0\0'
    partition 80 ef $boot_at $boot_length
    partition 00 83 $root_at $root_length
    head -c 32 /dev/zero
    printf '\x55\xaa'
} | dd of="$W/disk.img" conv=notrunc status=none
dd if="$W/boot.img" of="$W/disk.img" bs=512 seek=$boot_at conv=notrunc,sparse status=none
dd if="$W/root.img" of="$W/disk.img" bs=1M oflag=seek_bytes seek=$((root_at * 512)) conv=notrunc,sparse status=none
qemu-img convert -f raw -O qcow2 "$W/disk.img" "$OUT"
