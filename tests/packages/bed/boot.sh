#!/bin/sh
# Boots a machine: as PID 1 of namespaces of its own, lays out the machine's file systems, then becomes its systemd.
# Usage: boot.sh LOWER DISK [SOURCE:TARGET]...    (sources are seen read-only in the machine)
#   LOWER  root file system, never changed;  DISK  directory with upper, work, root and boot_id: what the machine changes
set -eu

lower=$1 disk=$2
shift 2

mount -t overlay machine -o "lowerdir=$lower,upperdir=$disk/upper,workdir=$disk/work" "$disk/root"
cd "$disk/root"
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755,nosuid tmpfs dev
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs run
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs tmp
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666,mode=620,nosuid,noexec devpts dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs dev/shm
for device in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod -m 666 "dev/${device%:*}" c 1 "${device#*:}"
done
mknod -m 666 dev/tty c 5 0
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for number in 0:stdin 1:stdout 2:stderr; do
    ln -s "/proc/self/fd/${number%:*}" "dev/${number#*:}"
done

# Kernel settings are the host's, those of the network the machine's own. What must differ after a reboot is given.
mount --bind proc/sys proc/sys
mount --bind proc/sys/net proc/sys/net
mount -o remount,bind,ro proc/sys
[ ! -e proc/sysrq-trigger ] || mount --bind dev/null proc/sysrq-trigger
mount --bind "$disk/boot_id" proc/sys/kernel/random/boot_id

for shared; do
    mkdir -p ".${shared#*:}"
    mount --bind "${shared%:*}" ".${shared#*:}"
    mount -o remount,bind,ro ".${shared#*:}"
done

pivot_root . mnt
# shellcheck disable=SC2016
exec chroot . /bin/sh -c 'umount -l /mnt && exec env -i container=podagent-lab "$0"' /lib/systemd/systemd </dev/null
