#!/usr/bin/env bash
# Prints the path of a docker-registry to test with: the installed one, or else Debian's package,
# fetched and unpacked to FOLDER without being installed.
set -euo pipefail

folder=${1:?usage: registry.sh FOLDER}
limit=120 # seconds that one call of apt-get may take

say() { printf 'registry: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

if command -v docker-registry; then exit; fi
binary=$folder/usr/bin/docker-registry
if [[ ! -x $binary ]]; then
  for tool in apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || die "no docker-registry here, and no $tool to fetch Debian's; install docker-registry"
  done
  mkdir -p -- "$(dirname -- "$folder")"
  # Beside it, and renamed when whole.
  partial=$(mktemp -d -- "$folder.XXXXXX")
  trap 'rm -rf -- "$partial"' EXIT
  chmod 755 -- "$partial"
  fetch() { (cd -- "$partial" && timeout "$limit" apt-get download -q docker-registry) </dev/null >/dev/null 2>&1; }
  # A machine that never updated its lists has none to download from.
  fetch || { timeout "$limit" apt-get update -q </dev/null >/dev/null 2>&1 && fetch; } ||
    die "Debian's package docker-registry can't be fetched; try 'apt-get download docker-registry' to see why"
  dpkg-deb -x "$partial"/docker-registry_*.deb "$partial/root"
  rm -rf -- "$folder"
  mv -- "$partial/root" "$folder"
fi
printf '%s\n' "$binary"
