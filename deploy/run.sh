#!/bin/sh
# Installs what is missing, builds, and runs a node in the foreground: HTTP on :8081, data in ./data. Further arguments go to conure-launch.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
sh "$here/deploy/packages.sh"
[ -f "$here/build/build.ninja" ] || meson setup "$here/build" "$here" >&2
ninja -C "$here/build" >&2
exec "$here/build/conure-launch" "$@"
