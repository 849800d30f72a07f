#!/bin/sh
# A system of packages by mkosi 14, as far as it goes without loop devices that have partitions.
#
#   image-mkosi.sh CACHE OUTPUT PACKAGES     CACHE: of its packages, which the first run fills; PACKAGES: with commas
#
# systemd-nspawn, by which mkosi works inside of the system, wants a /run that is no disk and a system bus: both are made in a
# mount namespace, which ends with this.
set -eu
if [ "${BENCH_IN_NAMESPACE:-}" != yes ]; then
    BENCH_IN_NAMESPACE=yes exec unshare --mount sh "$0" "$@"
fi
cache=$1 output=$2 packages=$3
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/nspawn /run/lock /run/dbus "$cache"
dbus-daemon --system --nofork --nopidfile &
bus=$!
trap 'kill $bus' EXIT
work=$(mktemp -d)
cd "$work"
mkosi --distribution=debian --release=bookworm --format=plain_squashfs --bootable=no --compress-output=no \
    --nspawn-keep-unit --cache="$cache" "--package=$packages" --output="$output" --force build
