#!/bin/sh
# The first process of a machine apart: lays out its file systems, runs a command, and reaps what that leaves behind.
# Usage: apart.sh DIRECTORY PROJECT STATE COMMAND...    Changes of COMMAND to /etc, /run and the like go with it.
set -eu
directory=$1 project=$2 state=$3
shift 3

ip link set lo up
mount -t proc proc /proc
mkdir "$directory/cgroup" "$directory/state" "$directory/project" "$directory/changes"
# A sysfs that shows the network namespace, with the cgroups that were mounted in the old one.
mount --rbind /sys/fs/cgroup "$directory/cgroup"
mount -t sysfs sysfs /sys
mount --move "$directory/cgroup" /sys/fs/cgroup

# A checkout in one of the folders stays the real one: failures leave their logs there.
mount --rbind "$project" "$directory/project"
mount -t tmpfs tmpfs "$directory/changes"
for folder in /etc /opt /run /var/lib /var/log; do
    mkdir -p "$directory/changes/upper$folder" "$directory/changes/work$folder"
    layers="lowerdir=$folder,upperdir=$directory/changes/upper$folder,workdir=$directory/changes/work$folder"
    mount -t overlay overlay -o "$layers" "$folder"
done
case $project in
    /etc/* | /opt/* | /run/* | /var/lib/* | /var/log/*) mount --rbind "$directory/project" "$project" ;;
esac
# Containers' layers cannot lie on layers.
[ -d "$state" ] || mkdir -m 700 "$state"
mount --bind "$directory/state" "$state"

"$@" &
command=$!
trap 'kill -TERM $command 2>/dev/null' INT TERM HUP
while kill -0 $command 2>/dev/null; do
    wait $command && code=0 || code=$?
done
exit "$code"
