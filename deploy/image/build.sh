#!/bin/bash
# Makes an image's content of this machine, a fresh Amazon Linux 2023: everything that a boot would install, so that a
# node's way from its launch to its first task is AWS's start, an agent's and a worker's. classifier.pkr.hcl calls it;
# by hand, as root, before an image is made of the machine:
#
#   build.sh classifier-VERSION.tar.gz node|web
#
# MODEL and MODEL_WEIGHTS are loaded once, so that the image holds what they download. pip's own variables say where
# packages come from: PIP_EXTRA_INDEX_URL with PyTorch's index of CPU builds makes a node's image several GB smaller.
set -euo pipefail
umask 022

root="${CLASSIFIER_ROOT:-}"
cache="$root/var/cache/classifier"

fail() {
  echo "error: $*" >&2
  exit 1
}

unpack() {
  local name
  name="$(basename "$1" .tar.gz)"
  case "$name" in classifier-?*) ;; *) fail "$1 should be called classifier-VERSION.tar.gz, as make deploy names it" ;; esac
  release="$root/opt/classifier/releases/${name#classifier-}"
  rm -rf "$release"
  mkdir -p "$release"
  tar --extract --gzip --no-same-owner --file "$1" --directory "$release"
}

# Also proves that the packages work together on this machine.
load_model() {
  mkdir -p "$cache"
  (cd "$release" && TORCH_HOME="$cache" "$root/opt/classifier/venv/bin/python" -c 'from tasks.engine import engine; print("model:", engine().model_name)')
}

# An image is copied to many machines, and read by all who may launch it.
refuse_keys() {
  local found
  found="$(find "$root/root" "$root/home" "$root/etc" "$root/opt/classifier" -xdev \
    \( -path '*/.aws/credentials' -o -name id_rsa -o -name id_ed25519 -o -name '.netrc' -o -name 'pip.conf' \) -print 2>/dev/null || true)"
  [ -z "$found" ] || fail "an image must hold no keys; remove $found"
}

# What belongs to this machine alone.
forget_machine() {
  rm -f "$root"/etc/ssh/ssh_host_* "$root"/root/.ssh/authorized_keys "$root"/home/*/.ssh/authorized_keys "$root"/root/.bash_history
  rm -rf "$root"/var/log/classifier/* "$root/var/cache/dnf"
  # Amazon Linux's cloud-init knows no --machine-id yet.
  truncate --size 0 "$root/etc/machine-id"
  cloud-init clean --logs
}

[ $# -eq 2 ] || fail "usage: build.sh classifier-VERSION.tar.gz node|web"
unpack "$1"
"$release/deploy/machine/boot.sh" install "$2"
if [ "$2" = node ]; then load_model; fi
refuse_keys
forget_machine
echo "$2 image of $(basename "$release"): $(du --summarize --human-readable "$root/opt/classifier" | cut --fields=1) in $root/opt/classifier"
