#!/usr/bin/env bash
# Shows that both README commands and .ci/run work in a bare Debian tree with Rust and a C compiler only.
#
#   deploy/fresh-machine.sh FOLDER [COMMAND...]     (as root; needs debootstrap)
#
# Makes a minbase tree in FOLDER with debootstrap, copies Rust and a clean clone of HEAD into it, and runs COMMAND there
# (default: both README commands, then .ci/run on the same build). The Debian mirror, its keys, the certificates and the cargo source are the caller's:
# MIRROR (default: the first one in the caller's apt configuration), CARGO_HOME and RUSTUP_HOME.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
tree=${1:?usage: deploy/fresh-machine.sh FOLDER [COMMAND...]}
shift
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | head -n 1)}
cargo_home=${CARGO_HOME:-$HOME/.cargo}
toolchain=$(cd "$here" && rustc --print sysroot)

if [ ! -e "$tree/etc/debian_version" ]; then
    debootstrap --variant=minbase --include=gcc,libc6-dev,ca-certificates,git "$suite" "$tree" "$mirror"
fi
mkdir -p "$tree/root/.cargo" "$tree/opt/rust" "$tree/root/commun"
cp -a "$toolchain/." "$tree/opt/rust/"
# The caller's sources, as configuration only: no crate is copied.
for file in config.toml config; do
    if [ -e "$cargo_home/$file" ]; then cp "$cargo_home/$file" "$tree/root/.cargo/"; fi
done
if [ -e /etc/apt/apt.conf.d ]; then cp -a /etc/apt/apt.conf.d/. "$tree/etc/apt/apt.conf.d/"; fi
for file in /etc/apt/sources.list /etc/apt/sources.list.d; do
    if [ -e "$file" ]; then cp -a "$file" "$tree/etc/apt/"; fi
done
cp /etc/resolv.conf /etc/hosts "$tree/etc/"
cp -a /etc/ssl/certs/. "$tree/etc/ssl/certs/"
if [ -d /usr/local/share/ca-certificates ]; then cp -a /usr/local/share/ca-certificates "$tree/usr/local/share/"; fi
rm -rf "$tree/root/commun"
git clone -q "$here" "$tree/root/commun"

mount_once() { mountpoint -q "$tree/$1" || mount "${@:2}" "$tree/$1"; }
mount_once proc -t proc proc
mount_once dev --bind /dev
trap 'umount "$tree/dev" "$tree/proc"' EXIT

if [ "$#" -eq 0 ]; then
    set -- bash -c 'cargo run --release -p commun-demo -- --once && tests/run && CARGO_TARGET_DIR=$PWD/target .ci/run'
fi
# The proxy and certificate settings that the caller's clients need, and nothing else of its environment.
keep=()
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY SSL_CERT_FILE CARGO_HTTP_CAINFO CURL_CA_BUNDLE; do
    if [ -n "${!name:-}" ]; then keep+=("$name=${!name}"); fi
done
while IFS= read -r pair; do keep+=("$pair"); done < <(env | grep -E '^CARGO_(REGISTRIES|REGISTRY|SOURCE|HTTP|NET)_' || true)
chroot "$tree" env -i HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}" PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    "${keep[@]}" sh -c 'cd /root/commun && exec "$@"' sh "$@"
