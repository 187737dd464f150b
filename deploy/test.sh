#!/bin/sh
# Installs what is missing, builds plain and sanitized, and runs the tests. With --nightly also the long ones.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
nightly=""
for argument in "$@"; do
    case $argument in
    --nightly) nightly=yes ;;
    *) echo "test.sh: unknown argument $argument (allowed: --nightly)" >&2; exit 2 ;;
    esac
done
sh "$here/deploy/packages.sh" test

# The unit tests run under AddressSanitizer and UndefinedBehaviorSanitizer with fault points, the whole-node tests on the
# build that ships.
san="$here/build-sanitize"
[ -f "$san/build.ninja" ] || meson setup "$san" "$here" -Dsanitize=true -Dfault_points=true
[ -f "$here/build/build.ninja" ] || meson setup "$here/build" "$here"
ninja -C "$here/build"
ninja -C "$san"
meson test -C "$san" --no-rebuild --print-errorlogs --suite unit
# Many of these wait more than they work. Those that bound a time run alone whatever the number says.
meson test -C "$here/build" --no-rebuild --print-errorlogs --num-processes 4 --suite integration --suite sim --suite crash
if [ -n "$nightly" ]; then
    "$here/build/tests/sim/conure-sim" --seed 1000000 --seeds 100000
    meson test -C "$here/build" --no-rebuild --print-errorlogs --setup nightly --suite nightly
    meson test -C "$san" --no-rebuild --print-errorlogs --suite integration --timeout-multiplier 4
fi
