#!/usr/bin/env bash
# Prints the path of a program to test with: the installed one, or else Debian's, of packages that are
# fetched and unpacked to FOLDER without being installed.
set -euo pipefail

folder=${1:?usage: debian.sh FOLDER PROGRAM PACKAGE...} program=${2:?} packages=("${@:3}")
limit=120 # seconds that one call of apt-get may take

die() { printf '%s: %s\n' "$program" "$*" >&2; exit 1; }

if command -v "$program"; then exit; fi
binary=$folder/usr/bin/$program
if [[ ! -x $binary ]]; then
  for tool in apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || die "not here, and no $tool to fetch Debian's; install ${packages[*]}"
  done
  mkdir -p -- "$(dirname -- "$folder")"
  # Beside it, and renamed when whole.
  partial=$(mktemp -d -- "$folder.XXXXXX")
  trap 'rm -rf -- "$partial"' EXIT
  chmod 755 -- "$partial"
  fetch() { (cd -- "$partial" && timeout "$limit" apt-get download -q "${packages[@]}") </dev/null >/dev/null 2>&1; }
  # A machine that never updated its lists has none to download from.
  fetch || { timeout "$limit" apt-get update -q </dev/null >/dev/null 2>&1 && fetch; } ||
    die "Debian's ${packages[*]} can't be fetched; try 'apt-get download ${packages[*]}' to see why"
  for package in "$partial"/*.deb; do dpkg-deb -x "$package" "$partial/root"; done
  rm -rf -- "$folder"
  mv -- "$partial/root" "$folder"
fi
printf '%s\n' "$binary"
