#!/bin/sh
# Opens the sign-in page of a program at the service itself: the browser knows the service by its own
# address only.
url=$1
case $url in
    https://login.microsoftonline.com/*) url=$CLOUDPC_EXEC_PAGES${url#https://login.microsoftonline.com} ;;
esac
if [ -n "$CLOUDPC_EXEC_BROWSER" ]; then
    BROWSER=$CLOUDPC_EXEC_BROWSER exec "$CLOUDPC_EXEC_BROWSER" "$url"
fi
unset BROWSER
if command -v xdg-open > /dev/null; then exec xdg-open "$url"; fi
exec open "$url"
