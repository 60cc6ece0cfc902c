#!/usr/bin/env bash
# Starts a private SLURM cluster of one node on this machine from Debian's packages, entirely under BASE; without systemd,
# cgroups and database, as root or as any user (then jobs run as that user).
#
#   tests/slurm/up.sh BASE        then: export SLURM_CONF=BASE/etc/slurm.conf; the end: tests/slurm/down.sh BASE
#
# SLURM_TEST_CPUS: cores of the node, more than there are if need be (default: as many as there are).
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin
base=$(readlink -m "${1:?usage: up.sh BASE}")
cpus=${SLURM_TEST_CPUS:-$(nproc)}
unset "${!SLURM_@}" # of a cluster that the caller uses
host=$(hostname -s) user=$(id -un)
memory=$(awk '/MemTotal/{printf "%d", $2 / 1024 * 0.9}' /proc/meminfo)

die() {
  echo "tests/slurm/up.sh: $*" >&2
  exit 1
}
[[ $base =~ ^[A-Za-z0-9/._-]{1,80}$ ]] || die "$base: must be a short path without blanks, because of sockets and slurm.conf"
[[ ! -e $base/etc ]] || die "$base is in use; give a new folder"
getent hosts "$host" >/dev/null || die "the name $host does not resolve: add \"127.0.0.1 $host\" to /etc/hosts"

port() { # a free port below the range of automatic ports
  local port
  for _ in {1..100}; do
    port=$((20000 + SRANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port" && return; }
  done
  die 'no free port was found'
}
controller=$(port) daemon=$(port)

umask 022
mkdir -p "$base"/{etc,munge,state,spool,log,pid,tmp}
(umask 077 && head -c 128 /dev/urandom >"$base/munge/munge.key")
munged --force --key-file="$base/munge/munge.key" --socket="$base/munge/socket" --pid-file="$base/pid/munged.pid" \
  --seed-file="$base/munge/seed" --log-file="$base/log/munged.log" --num-threads=2

# cred_expire: a requeued job waits this time and one second. TmpFS: scratch of PMIx, which clusters must not share.
cat >"$base/etc/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$controller
SlurmdPort=$daemon
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$base/munge/socket,cred_expire=5
MailProg=/bin/true
StateSaveLocation=$base/state
SlurmdSpoolDir=$base/spool
TmpFS=$base/tmp
SlurmctldPidFile=$base/pid/slurmctld.pid
SlurmdPidFile=$base/pid/slurmd.pid
SlurmctldLogFile=$base/log/slurmctld.log
SlurmdLogFile=$base/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=pmix
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=256
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
EnforcePartLimits=ALL
ReturnToService=2
MaxArraySize=101
MinJobAge=3600
KillWait=3
CompleteWait=0
InactiveLimit=0
JobRequeue=1
PropagateResourceLimitsExcept=MEMLOCK
SlurmdParameters=config_overrides
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus Boards=1 SocketsPerBoard=1 CoresPerSocket=$cpus ThreadsPerCore=1 RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE DefaultTime=00:10:00 PriorityTier=1 State=UP
PartitionName=urgent Nodes=$host MaxTime=INFINITE DefaultTime=00:10:00 PriorityTier=2 PreemptMode=OFF State=UP
CONF
export SLURM_CONF=$base/etc/slurm.conf

slurmctld -c # both daemonise themselves
slurmd -c
for _ in {1..300}; do
  [[ $(sinfo -h -o %T 2>/dev/null) != idle ]] || exit 0
  sleep 0.1
done
tail -n 20 "$base"/log/*.log >&2
die 'SLURM did not start; the last lines of its logs are above'
