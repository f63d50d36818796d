# The desktop guest: a window manager, a terminal and a clock. See build.sh.
title="Desktop guest"
packages="$packages xserver-xorg-core xserver-xorg-video-vesa xserver-xorg-input-evdev xkb-data x11-xkb-utils icewm icewm-common xterm x11-apps x11-common fontconfig-config fonts-dejavu-core"
programs="$programs usr/lib/xorg/Xorg usr/bin/xkbcomp usr/bin/icewm usr/bin/icewmbg usr/bin/xterm usr/bin/xclock usr/bin/xcalc usr/bin/xeyes"
# OpenGL renderers, and dependencies of Ghostscript.
unused="libllvm15 libz3-4 libperl5.36 libgl1-mesa-dri libgs10 libgs-common libgs10-common"
size_mib=768
furnish() {
    local plugins=usr/lib/xorg/modules
    take $plugins/drivers/vesa_drv.so $plugins/input/evdev_drv.so $plugins/lib{fbdevhw,int10,shadow,shadowfb,vgahw,wfb}.so
    take usr/lib/x86_64-linux-gnu/imlib2/loaders/{png,xpm,jpeg}.so $LIBRARIES/libgcc_s.so.1
    take usr/share/{X11,icewm,fontconfig,fonts/truetype/dejavu} etc/{fonts,X11}
    mkdir -p "$R"/{etc/X11/icewm,var/log,var/lib/xkb}
    cp "$HERE"/desktop/icewm/* "$R/etc/X11/icewm/"
    cp "$HERE/desktop/xorg.conf" "$R/etc/X11/"
    cp "$HERE/desktop/x-resources" "$R/etc/X11/"
    install -m755 "$HERE/desktop/desktop-session" "$R/sbin/"
}
