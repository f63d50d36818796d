# The test guest: a small Linux without a desktop, for tests. It can download agents itself. See
# build.sh.
title="Test guest"
packages="$packages curl ca-certificates libc-bin"
programs="$programs usr/bin/curl usr/bin/getent"
furnish() {
    mkdir -p "$R/etc/ssl/certs"
    # The bundle that an installation of ca-certificates would create.
    cat "$P"/usr/share/ca-certificates/mozilla/*.crt > "$R/etc/ssl/certs/ca-certificates.crt"
}
