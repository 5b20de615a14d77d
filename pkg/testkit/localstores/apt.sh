# Installs the packages in the arguments with apt-get. On Debian these packages also start servers, now and at every boot, and
# create a database cluster on port 5432. This script prevents that, and removes its own configuration at the end.
set -eu
export DEBIAN_FRONTEND=noninteractive

# Tests of two packages may install at the same time. apt-get update fails if another one is running.
exec 9< /var/lib/dpkg
flock 9

policy=/usr/sbin/policy-rc.d
clusters=/etc/postgresql-common/createcluster.d
undo='true'
trap 'eval "$undo"' EXIT

if [ ! -e "$policy" ]; then
	undo="$undo; rm -f $policy"
	printf '#!/bin/sh\nexit 101\n' > "$policy"
	chmod 755 "$policy"
fi
if [ ! -e "$clusters/countersign.conf" ]; then
	undo="$undo; rm -f $clusters/countersign.conf"
	if [ ! -d "$clusters" ]; then
		mkdir -p "$clusters"
		undo="$undo; rmdir $clusters"
	fi
	echo 'create_main_cluster = false' > "$clusters/countersign.conf"
fi

apt-get -o DPkg::Lock::Timeout=120 -qq update 9<&-
apt-get -o DPkg::Lock::Timeout=120 -qq install -y --no-install-recommends "$@" 9<&-

for name; do
	if command -v systemctl >/dev/null && systemctl --quiet cat "$name" >/dev/null 2>&1; then
		systemctl --quiet disable "$name"
	fi
done
