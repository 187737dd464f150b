#!/bin/sh
# Installs the Debian packages that are missing: those to build and run, and with "test" those to test. Does nothing, and asks
# for no rights, where all are there.
set -eu
build="build-essential meson ninja-build pkg-config libnng-dev libyaml-dev libcjson-dev libmicrohttpd-dev
libcurl4-openssl-dev libedit-dev libisal-dev libxxhash-dev check"
[ "${1:-}" = test ] && build="$build curl procps iproute2 util-linux"

missing=""
for package in $build; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

become=""
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "packages are missing and neither root nor sudo is here:$missing" >&2; exit 1; }
    become=sudo
fi
echo "installing:$missing" >&2
$become apt-get update -qq
DEBIAN_FRONTEND=noninteractive $become apt-get install -y -qq --no-install-recommends $missing >&2
