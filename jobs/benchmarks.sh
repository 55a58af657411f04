#!/usr/bin/env bash
# All figures of docs/performance.md on this machine, about a quarter of an hour on two quiet cores.
#
#   jobs/benchmarks.sh [small]
#
# Needs the real weights and photos (ANNOTATOR_ASSETS, by default ../shared/assets); models without weights get
# random ones, whose speed is the same. Results: docs/benchmarks/<device>.json, .md and .log. "small" runs each
# part once on next to nothing, to see that everything works.
set -uo pipefail
cd "$(dirname "$0")/.."

assets=${ANNOTATOR_ASSETS:-../shared/assets}
python=.venv/bin/python
threads=${THREADS:-$(nproc)}
device=${DEVICE:-cpu}
name=${NAME:-$device-$threads-threads}
out=docs/benchmarks
if [ "${1:-}" = small ]; then
    out=$(mktemp -d)
    few() { echo "--people ${2:-2} --rounds 1"; }
    images=400
else
    # people (or photos), rounds
    few() { echo "--people $1 --rounds ${2:-3}"; }
    images=20000
fi
mkdir -p "$out"
json=$out/$name.json log=$out/$name.log
rm -f "$json" "$log"
export OMP_NUM_THREADS=$threads

config=$($python - <<'END'
from importlib.util import find_spec
from pathlib import Path
print(Path(find_spec("mmpose").origin).parent / ".mim/demo/mmdetection_cfg/rtmdet_nano_320-8xb32_coco-person.py")
END
)
tiny=(--pose "$assets/weights/tinypose_256x192.py" --pose-weights "$assets/weights/tinypose_256x192.pth")
nano=(--detector "$config" --detector-weights "$assets/weights/rtmdet_nano_person_320.pth")
boxes=(--boxes "$assets/photos/person_keypoints.json")

bench() {
    echo "== $*" | tee -a "$log"
    timeout 600 .venv/bin/annotator bench --images "$assets/photos/images" --threads "$threads" \
        --device "$device" --json-file "$json" "$@" 2>&1 | grep -v "Warning\|warnings.warn" | tee -a "$log"
}

# TinyPose and RTMDet-nano, all photos, from the files on, trained weights (target 3.5, aim 4.5).
bench "${tiny[@]}" "${nano[@]}" --no-flip $(few 79)
# The pose model alone on given boxes, by each engine: trained weights, so the shift of each counts.
bench "${tiny[@]}" "${boxes[@]}" --no-flip $(few 117 3)
bench "${tiny[@]}" "${boxes[@]}" --no-flip --engine torch $(few 60 2)
# RTMPose-m (target 2.2): fp32 by the engine that auto takes, then bf16.
bench --pose rtmpose-m --pose-weights random "${boxes[@]}" --no-flip $(few 64 2)
bench --pose rtmpose-m --pose-weights random "${boxes[@]}" --no-flip --precision bf16 $(few 64 2)
# HRNet-W48 with UDP and flip test (target 2.8).
bench --pose "${HRNET:-hrnet-w48-udp}" --pose-weights random "${boxes[@]}" --flip --precision bf16 $(few 24 2)
bench --pose "${HRNET:-hrnet-w48-udp}" --pose-weights random "${boxes[@]}" --flip $(few 12 1)
# ViTPose-H (target 3.2): 1.5 s a crop in MMPose.
bench --pose vitpose-h --pose-weights random "${boxes[@]}" --no-flip --precision bf16 $(few 24 2)
# rtmlib with the same ONNX file (target 1.1).
bench --pose rtmpose-m --pose-weights random "${boxes[@]}" --against rtmlib --engine onnx $(few 96 3)
bench --pose rtmpose-t --pose-weights random "${boxes[@]}" --against rtmlib --engine onnx $(few 117 3)

# What the machine allows at best.
$python jobs/roofline.py --device "$device" --threads "$threads" | tee "$out/roofline.txt"
# What bf16 and ONNX do to trained weights on the photos: AP and shift.
$python jobs/precision_on_photos.py "$assets" 2>&1 | grep -v Warning | tee "$out/precision.txt"
# Memory over many images.
$python jobs/memory.py --images "$images" --seconds 240 2>&1 | grep -v Warning | tee "$out/memory.txt"
# torch.compile, which takes a minute or two to compile on two cores; last, so that it can be left out.
bench --pose rtmpose-m --pose-weights random "${boxes[@]}" --no-flip --engine compile $(few 64 1)
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

echo "results in $out"
