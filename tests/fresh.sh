#!/usr/bin/env bash
# Makes a machine with only a minimal Debian, and runs the two commands of README.md there as root on a clone of HEAD. Run it by
# hand before you call a change done. Takes about 30 minutes on two cores.
#
#   tests/fresh.sh [bookworm|trixie] [quickstart|tests|both] [FOLDER [ctest arguments]]
#
# Default: bookworm both ${TMPDIR:-/var/tmp}/eigenscope-fresh.
#
# The machine is a folder in FOLDER, which is removed at the end. Only its own processes see its mounts, and they end with this
# script, however it ends. FOLDER keeps the minimal system and the downloaded packages for the next run (remove FOLDER to start
# from nothing), and the output of the commands.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
release=${1:-bookworm} what=${2:-both} place=${3:-${TMPDIR:-/var/tmp}/eigenscope-fresh} more=("${@:4}")
die() {
  echo "tests/fresh.sh: $*" >&2
  exit 1
}
[[ $release =~ ^(bookworm|trixie)$ && $what =~ ^(quickstart|tests|both)$ ]] ||
  die 'usage: tests/fresh.sh [bookworm|trixie] [quickstart|tests|both] [FOLDER [ctest arguments]]'
((EUID == 0)) || die 'only root can create a machine in a folder (debootstrap, chroot); use sudo'
for tool in debootstrap git unshare; do
  command -v "$tool" >/dev/null || die "$tool is missing: apt-get install debootstrap git util-linux"
done
mkdir -p "$place/packages-$release"
place=$(readlink -f "$place")
machine=$place/machine-$release base=$place/base-$release.tar
exec 9>"$place/lock-$release"
flock -n 9 || die "another tests/fresh.sh uses $machine"

# Uses the mirror and the settings of apt on this machine.
archives() { # end of the mirror's address; prints a default if apt has no such mirror
  # shellcheck disable=SC2016 # apt expands this
  apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -m 1 "/$1/*\$" || echo "http://deb.debian.org/$1"
}
mirror=$(archives debian) security=$(archives debian-security)
clean=(env -i --default-signal PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root)
for name in http_proxy https_proxy no_proxy; do
  [[ -z ${!name:-} ]] || clean+=("$name=${!name}")
done

child=''
remove_machine() {
  [[ -z $child ]] || kill -KILL "$child" 2>/dev/null || true # ends all its processes a moment later
  for _ in {1..20}; do
    rm -rf --one-file-system "$machine" "$base.new" 2>/dev/null && break
    sleep 0.5
  done
}
trap remove_machine EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
remove_machine

if [[ ! -e $base ]]; then
  echo "Making a minimal $release from $mirror"
  debootstrap --variant=minbase "$release" "$machine" "$mirror" >"$place/debootstrap-$release.log" 2>&1 ||
    die "debootstrap failed; see $place/debootstrap-$release.log"
  tar -C "$machine" -cf "$base.new" .
  mv "$base.new" "$base"
  remove_machine
fi
mkdir "$machine"
tar -C "$machine" -xpf "$base"
printf 'deb %s main\n' "$mirror $release" "$mirror $release-updates" "$security $release-security" >"$machine/etc/apt/sources.list"
apt-config dump | grep -E '^Acquire::(https?::|Check-)' >"$machine/etc/apt/apt.conf.d/90fresh" || true
cp --dereference /etc/resolv.conf /etc/hosts "$machine/etc/"
git clone -q . "$machine/root/eigenscope"
commit=$(git -C "$machine/root/eigenscope" describe --always --abbrev=12)
[[ -z $(git status --porcelain) ]] || echo 'Note: the clone does not have changes that are not committed'

in_machine() { # command: runs it in its own namespace of mounts and processes, which ends with this script
  # shellcheck disable=SC2016 # the shell in there expands these
  exec setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --propagation private bash -euc '
    cd "$1"
    mount -t proc proc proc
    mount -t sysfs -o ro sysfs sys
    mount -t tmpfs -o mode=755 dev dev
    mkdir dev/pts dev/shm
    mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
    mount -t tmpfs shm dev/shm
    mknod -m 666 dev/null c 1 3
    mknod -m 666 dev/zero c 1 5
    mknod -m 666 dev/full c 1 7
    mknod -m 666 dev/random c 1 8
    mknod -m 666 dev/urandom c 1 9
    mknod -m 666 dev/tty c 5 0
    ln -s pts/ptmx dev/ptmx
    ln -s /proc/self/fd dev/fd
    ln -s /proc/self/fd/0 dev/stdin
    ln -s /proc/self/fd/1 dev/stdout
    ln -s /proc/self/fd/2 dev/stderr
    mount --bind "$2" var/cache/apt/archives
    exec chroot . "${@:3}"' bash "$machine" "$place/packages-$release" "${clean[@]}" /bin/bash -c "cd /root/eigenscope && $1" </dev/null
}

code=0
summary=("$(date -u +%F) $release, commit $commit, $(nproc) cores")
step() { # command: runs it there, and records its outcome and the failed tests
  local name=${1%% *}
  local log=$place/$release-${name//[^a-z]/-}.log start=$SECONDS outcome=passed
  printf '\n==== %s\n' "$1"
  : >"$log"
  in_machine "$1" >"$log" 2>&1 &
  child=$!
  tail -n +1 -f --pid="$child" "$log" &
  wait "$child" || outcome=FAILED code=1
  child=''
  wait $!
  summary+=("$(printf '%s  %5d s  %s (%s)' $outcome $((SECONDS - start)) "$1" "$log")")
  mapfile -t -O ${#summary[@]} summary < <(grep -E 'tests passed, .* out of' "$log" || true)
  mapfile -t -O ${#summary[@]} summary < <(grep -E '^[[:space:]]+[0-9]+ - .* \((Failed|Timeout|Skipped|Not Run|SEGFAULT|Subprocess.*)\)' "$log" || true)
}
[[ $what == tests ]] || step jobs/quickstart.sh
[[ $what == quickstart ]] || step "tests/run.sh${more[*]:+ ${more[*]@Q}}"

printf '\n==== tests/fresh.sh\n'
printf '%s\n' "${summary[@]}"
exit "$code"
