#!/usr/bin/env bash
# Builds for 64-bit ARM with a cross compiler, and runs the tests of kernels and a small job under qemu-user. The job's eigenvalues,
# traces, losses, saturations and accuracies must equal those of this machine's program, within 5e-8 of the largest of each variable.
# (Ratios of small eigenvalues differ more, between x86's instruction sets too.) Run by hand, on Debian; needs no root. Took 25
# minutes on two busy cores.
#
#   tests/arm.sh [FOLDER [CPU...]]
#
# FOLDER keeps the ARM libraries, default ${TMPDIR:-/var/tmp}/eigenscope-arm (600 MB). CPU: one that qemu emulates; default
# cortex-a72, which has only NEON, and max, for which oneDNN uses SVE, too. build/ must hold this machine's program; build-arm/ is
# the build for ARM. EIGENSCOPE_ARM_TESTS names other unit tests than those of kernels.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
place=${1:-${TMPDIR:-/var/tmp}/eigenscope-arm} cpus=("${@:2}")
((${#cpus[@]})) || cpus=(cortex-a72 max)
read -ra tests <<<"${EIGENSCOPE_ARM_TESTS:-syrk covariance conv model spectrum probe}"
die() {
  echo "tests/arm.sh: $*" >&2
  exit 1
}
for tool in aarch64-linux-gnu-gcc qemu-aarch64 apt-get dpkg-deb; do
  command -v "$tool" >/dev/null || die "$tool is missing: apt-get install gcc-aarch64-linux-gnu qemu-user"
done
[[ -x build/eigenscope ]] || die 'build/eigenscope is missing: run jobs/setup.sh first'
mkdir -p "$place"
place=$(readlink -f "$place")
root=$place/root lib=$place/root/usr/lib/aarch64-linux-gnu

# Debian's ARM libraries, by an apt whose state is in FOLDER: this machine's packages stay as they are.
if [[ ! -e $place/complete ]]; then
  rm -rf "$root" "$place/apt"
  mkdir -p "$root" "$place"/apt/{lists,archives}/partial
  touch "$place/apt/status"
  cat >"$place/apt.conf" <<END
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "";
Dir::State "$place/apt";
Dir::State::status "$place/apt/status";
Dir::Cache "$place/apt";
END
  export APT_CONFIG=$place/apt.conf
  apt-get -qq update
  apt-get -qq install --download-only --no-install-recommends -y libc6-dev libopenmpi-dev libhdf5-dev libopenblas-dev \
    libscalapack-openmpi-dev libdnnl-dev libyaml-dev zlib1g-dev libjpeg62-turbo-dev libpng-dev libxxhash-dev libcmocka-dev
  unset APT_CONFIG
  for package in "$place"/apt/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
  # Links that installing would make: to OpenBLAS, and within the folder instead of to this machine's libraries.
  ln -s openblas-pthread/{libopenblas.so,libopenblas.so.0,libblas.so,libblas.so.3,liblapack.so,liblapack.so.3} "$lib"
  ln -s ../openblas-pthread/pkgconfig/openblas.pc "$lib/pkgconfig"
  find "$root" -type l -lname '/*' -printf '%p %l\n' | while read -r link target; do ln -sfr "$root$target" "$link"; done
  touch "$place/complete"
fi

# CMake asks this program for the flags of Open MPI: its own would be one for ARM.
cat >"$place/mpicc" <<END
#!/bin/sh
case \$1 in
  -showme:compile) echo -I$lib/openmpi/include ;;
  -showme:link) echo -L$lib/openmpi/lib -lmpi ;;
  *) exec aarch64-linux-gnu-gcc --sysroot=$root -I$lib/openmpi/include "\$@" -L$lib/openmpi/lib -lmpi ;;
esac
END
chmod +x "$place/mpicc"
generator=()
[[ -e build-arm/CMakeCache.txt ]] || ! command -v ninja >/dev/null || generator=(-G Ninja)
PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_LIBDIR=$lib/pkgconfig:$root/usr/share/pkgconfig cmake -S . -B build-arm "${generator[@]}" \
  -DCMAKE_BUILD_TYPE=Release -DES_TESTS=ON -DES_WERROR=ON -DES_ELPA=OFF -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc "-DCMAKE_SYSROOT=$root" "-DMPI_C_COMPILER=$place/mpicc" \
  -DCMAKE_FIND_ROOT_PATH_MODE_PROGRAM=NEVER -DCMAKE_FIND_ROOT_PATH_MODE_{LIBRARY,INCLUDE,PACKAGE}=ONLY >/dev/null
cmake --build build-arm --parallel "$(nproc)"
! grep -q -e -mavx build-arm/compile_commands.json || die 'x86 flags in build-arm/compile_commands.json'

# One rank without Open MPI's daemon, which qemu cannot start.
export OMPI_MCA_ess_singleton_isolated=1 OMPI_MCA_btl=self OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
cat >"$results/job.yaml" <<'END'
name: arm
output: out
grid: {dataset: shapes, model: maps, width: 1/4}
models: {maps: {vgg: [16, M, 128, M, 256, M, 512, M]}}
datasets: {shapes: {format: synthetic, classes: 4, train: 36, eval: 16}}
train: {epochs: 1, batch: 16, learning_rate: 0.001, lanes: 4, augment: [flip]}
probe: {epochs: last, pool: 1}
END
"$PWD/build/eigenscope" run "$results/job.yaml" --output "$results/here" >/dev/null
for cpu in "${cpus[@]}"; do
  emulate=(qemu-aarch64 -cpu "$cpu" -L "$root")
  printf '\n==== %s: %s\n' "$cpu" "$("${emulate[@]}" build-arm/eigenscope --version --verbose | grep -E 'blas|onednn' | xargs)"
  "${emulate[@]}" build-arm/eigenscope --version --verbose | grep -qE 'oneDNN [0-9.]+, (neon|sve_[0-9]+)$' ||
    die "--version names no instruction set of ARM"
  for test in "${tests[@]}"; do
    start=$SECONDS
    "${emulate[@]}" "build-arm/tests/unit_$test" >"$results/log" 2>&1 || { cat "$results/log" && die "unit_$test failed on $cpu"; }
    echo "$(sed -n 's/^\[==========\] \(.*\) run\./\1/p' "$results/log") of unit_$test passed in $((SECONDS - start)) s"
  done
  "${emulate[@]}" build-arm/eigenscope run "$results/job.yaml" --output "$results/$cpu" >/dev/null
  /usr/bin/python3 - "$results/here/points" "$results/$cpu/points" <<'END'
import pathlib, sys
import h5py, numpy
here, there = map(pathlib.Path, sys.argv[1:])
names = ["eigenvalues", "trace", "loss", "probe_objective", "saturation", "accuracy", "probe_accuracy", "recall"]
(path,) = here.glob("*.h5")
with h5py.File(path) as a, h5py.File(there / path.name) as b:
    assert sorted(a) == sorted(b)
    worst, name = max((numpy.nanmax(abs(a[name][()] - b[name][()])) / numpy.nanmax(abs(a[name][()])), name) for name in names)
print(f"results differ from this machine's by at most {worst:.1e} ({name})")
sys.exit(not worst <= 5e-8)
END
done
