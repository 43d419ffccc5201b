#!/bin/bash
# Runs a systemd of its own on a copy of this machine's disk that is thrown away: systemd.sh FOLDER RELEASE VENV.
# FOLDER/over is laid over /, the code and its Python are where a machine has them. It has its own processes, mounts,
# cgroups and host name; the network is this machine's.
set -euo pipefail
folder="$1"
release="$2"
venv="$3"
groups="systemd unified"

if [ "${4:-}" != inside ]; then
  for kind in $groups .; do
    group="/sys/fs/cgroup/$kind/classifier-test-$$"
    if [ -e "/sys/fs/cgroup/$kind/cgroup.procs" ]; then
      mkdir "$group"
      echo "$group" >>"$folder/cgroups"
      echo $$ >"$group/cgroup.procs"
    fi
  done
  exec unshare --mount --pid --fork --kill-child --uts --ipc --cgroup "$0" "$folder" "$release" "$venv" inside
fi

disk="$folder/disk"
mount --make-rprivate /
mkdir -p "$disk"
mount -t tmpfs -o size=512m tmpfs "$disk"
mkdir "$disk/upper" "$disk/work" "$disk/root"
mount -t overlay -o "lowerdir=/,upperdir=$disk/upper,workdir=$disk/work" overlay "$disk/root"
root="$disk/root"
mount -t proc proc "$root/proc"
# Of what all machines on this kernel share nothing is changed.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,ro,bind "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount --rbind /dev "$root/dev"
if [ -e /sys/fs/cgroup/cgroup.procs ]; then
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
  mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
  mkdir "$root/sys/fs/cgroup/systemd" "$root/sys/fs/cgroup/unified"
  mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"
fi
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
# None of this machine's own services.
rm -rf "$root"/usr/lib/systemd/system/*.wants "$root"/etc/systemd/system/*
cp --recursive "$folder/over/." "$root/"
# Wherever the developer has them: units have a /tmp of their own.
mkdir -p "$root/opt/classifier/current" "$root/opt/classifier/venv"
mount --bind "$release" "$root/opt/classifier/current"
mount --bind "$venv" "$root/opt/classifier/venv"
# The Python that the environment is made from may be in root's home.
chmod o+x "$root/root"
cd "$root"
mkdir oldroot
pivot_root . oldroot
umount --lazy /oldroot
exec env --ignore-environment container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --unit=machine.target
