#!/usr/bin/env bash
# All figures of docs/performance.md on this machine, in about 20 minutes on two quiet cores.
#
#   jobs/benchmarks.sh [small]
#
# Needs the real weights and photos (ANNOTATOR_ASSETS, by default ../shared/assets); models without weights get
# random ones, whose speed is the same. Results: $OUT (docs/benchmarks): <device>.json, .md, and what single
# parts print. Ends after MINUTES (20): the most wanted comes first, and what no longer fits is named and left out.
# "small" runs each part once on next to nothing, to see that everything works.
#
#   DEVICE=cuda:0 NAME=h100 jobs/benchmarks.sh        the same on a GPU; needs no more than this
set -uo pipefail
cd "$(dirname "$0")/.."

assets=${ANNOTATOR_ASSETS:-../shared/assets}
python=.venv/bin/python
threads=${THREADS:-$(nproc)}
device=${DEVICE:-cpu}
name=${NAME:-${device/:/-}-$threads-threads}
limit=$((${MINUTES:-20} * 60))
out=${OUT:-docs/benchmarks}
images=20000
# People (or photos) and rounds.
few() { echo "--people $1 --rounds $2"; }
if [[ $device == cuda* ]]; then
    # All people, in passes that fill a GPU, and so often that a round of ours takes a second.
    few() { echo "--people 117 --rounds 5 --batch-people 64 --repeat 16"; }
fi
if [ "${1:-}" = small ]; then
    out=$(mktemp -d)
    few() { echo "--people 2 --rounds 1"; }
    images=400
fi
mkdir -p "$out"
json=$out/$name.json log=$(mktemp)
rm -f "$json"
export OMP_NUM_THREADS=$threads PYTHONWARNINGS=ignore

config=$($python - <<'END'
from importlib.util import find_spec
from pathlib import Path
print(Path(find_spec("mmpose").origin).parent / ".mim/demo/mmdetection_cfg/rtmdet_nano_320-8xb32_coco-person.py")
END
)
tiny=(--pose "$assets/weights/tinypose_256x192.py" --pose-weights "$assets/weights/tinypose_256x192.pth")
nano=(--detector "$config" --detector-weights "$assets/weights/rtmdet_nano_person_320.pth")
boxes=(--boxes "$assets/photos/person_keypoints.json")
random=(--pose-weights random "${boxes[@]}")

# within SECONDS_NEEDED COMMAND...: unless there is no time left for it; cut at the end of all time.
within() {
    local left=$((limit - SECONDS)) needed=$1
    shift
    echo "== ${SECONDS} s: $*" | tee -a "$log" >&2
    if [ "${left}" -lt "$needed" ]; then
        echo "left out: $left s are left of $limit, and it needs about $needed" | tee -a "$log" >&2
    else
        timeout "$left" "$@" 2>&1 | grep -v -i "warn\|onedl\|meshgrid\|np.maximum" | tee -a "$log"
    fi
}
bench() {
    local needed=$1
    shift
    within "$needed" .venv/bin/annotator bench --images "$assets/photos/images" --threads "$threads" \
        --device "$device" --json-file "$json" "$@"
}

# TinyPose and RTMDet-nano, all photos, from the files on, trained weights (target 3.5, aim 4.5).
bench 60 "${tiny[@]}" "${nano[@]}" --no-flip $(few 79 5)
# HRNet-W48 with UDP and flip test (target 2.8).
bench 90 --pose "${HRNET:-hrnet-w48-udp}" "${random[@]}" --flip --precision bf16 $(few 16 3)
# ViTPose-H (target 3.2): 1.5 s a crop in MMPose on two cores.
bench 120 --pose vitpose-h "${random[@]}" --no-flip --precision bf16 $(few 12 2)
# RTMPose-m (target 2.2) in bf16, then in fp32 by the engine that auto takes.
bench 30 --pose rtmpose-m "${random[@]}" --no-flip --precision bf16 $(few 96 3)
# rtmlib with the same ONNX file (target 1.1).
bench 30 --pose rtmpose-m "${random[@]}" --against rtmlib --engine onnx $(few 96 3)
# What bf16 and ONNX do to trained weights: AP and shift.
within 30 $python jobs/precision_on_photos.py "$assets" "$device" > "$out/$name-precision.txt"
# The pose model alone on given boxes, trained weights.
bench 40 "${tiny[@]}" "${boxes[@]}" --no-flip $(few 117 3)
bench 30 --pose rtmpose-m "${random[@]}" --no-flip $(few 64 2)
# What the machine allows at best, and how near the networks came to it.
within 20 $python jobs/roofline.py --device "$device" --threads "$threads" --results "$json" > "$out/$name-roofline.txt"
# Memory over many images; 150 s are kept for what follows.
within 60 $python jobs/memory.py --images "$images" --threads "$threads" --seconds $((limit - SECONDS - 150)) \
    > "$out/$name-memory.txt"
# torch.compile, which takes a minute or two to compile on two cores.
bench 110 --pose rtmpose-m "${random[@]}" --no-flip --engine compile --precision bf16 $(few 64 2)

$python - "$json" > "$out/$name.md" <<'END'
import json, sys
from annotator.bench.table import markdown
results = json.load(open(sys.argv[1]))
machine = results[0]["machine"]
print(f"{machine['device']}, {machine['threads']} threads, torch {machine['torch']}, "
      f"avx512_bf16: {'yes' if machine['avx512_bf16'] else 'no'}\n")
print(markdown(results))
END
cat "$out/$name.md"
echo "results in $out after $SECONDS s, all that was said in $log"
