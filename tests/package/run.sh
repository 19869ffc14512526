#!/usr/bin/env bash
# The package as a new user has it: in a Debian of its own, under its own systemd, it is installed, set up as the README says,
# restarted, upgraded while messages wait, removed and purged. Not part of `cargo test`: it builds two releases, and takes
# root, network, and these: cargo-deb, debootstrap, systemd-nspawn (Debian's systemd-container).
#
#   tests/package/run.sh [ROOT]
#
# ROOT is a folder with a Debian that has systemd, as this makes one: debootstrap --variant=minbase --include=systemd
# bookworm ROOT. It is copied. PROFILE=dev has builds that are done sooner. The log of the trial goes to stdout; the exit code is its outcome.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(mktemp -d /var/tmp/aioconnectors-package.XXXXXX)
trap 'rm -rf "$work"' EXIT
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
next="${version%.*}.$((${version##*.} + 1))"
target=${CARGO_TARGET_DIR:-$PWD/target}
profile=${PROFILE:-release}

# With what cargo has built: cargo-deb's own builds have settings of theirs.
package() {
    (cd "$1" && cargo build --locked --profile "$profile" --bins &&
        cargo deb --no-build --no-dbgsym --fast --profile "$profile" --output "$2")
}
export CARGO_TARGET_DIR=$target
package . "$work/old.deb"

# The next version is the same source with another number, built beside it.
mkdir "$work/next"
git archive HEAD | tar -C "$work/next" -xf -
for file in Cargo.toml Cargo.lock; do
    awk -v next_version="$next" '
        /^name = "aioconnectors"/ { ours = 1 }
        ours && /^version = / { $0 = "version = \"" next_version "\""; ours = 0 }
        { print }' "$work/next/$file" >"$work/changed" && mv "$work/changed" "$work/next/$file"
done
AIOCONNECTORS_COMMIT=$(git rev-parse HEAD) package "$work/next" "$work/new.deb"

if [ $# -gt 0 ]; then
    cp -a "$1" "$work/root"
else
    debootstrap --variant=minbase --include=systemd bookworm "$work/root"
fi
mkdir "$work/root/trial"
cp "$work"/*.deb tests/package/inside.sh "$work/root/trial"
cat >"$work/root/etc/systemd/system/trial.service" <<'UNIT'
[Unit]
After=network.target
SuccessAction=poweroff
FailureAction=poweroff

[Service]
Type=oneshot
ExecStart=/bin/bash /trial/inside.sh
StandardOutput=append:/trial/log
StandardError=append:/trial/log
TimeoutStartSec=10min

[Install]
WantedBy=multi-user.target
UNIT
mkdir -p "$work/root/etc/systemd/system/multi-user.target.wants"
ln -s ../trial.service "$work/root/etc/systemd/system/multi-user.target.wants/trial.service"

timeout 900 systemd-nspawn -q -D "$work/root" --private-network --register=no --keep-unit -b >"$work/console" 2>&1 </dev/null ||
    echo "systemd-nspawn ended with $?"
cat "$work/root/trial/log" || cat "$work/console"
[ -e "$work/root/trial/passed" ]
