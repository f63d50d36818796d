#!/bin/sh
# Opens the sign-in page of a program at the service itself: the browser knows the service by its
# own address only. Returns at once: the program may wait for that before it listens.
url=$1
case $url in
    https://login.microsoftonline.com/*) url=$CLOUDPC_EXEC_PAGES${url#https://login.microsoftonline.com} ;;
esac
unset BROWSER
if [ -n "$CLOUDPC_EXEC_BROWSER" ]; then
    export BROWSER="$CLOUDPC_EXEC_BROWSER"
    set -- "${CLOUDPC_EXEC_BROWSER% %s}"
elif command -v xdg-open > /dev/null; then
    set -- xdg-open
else
    set -- open
fi
"$1" "$url" > /dev/null 2>&1 &
