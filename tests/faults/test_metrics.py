"""Figures for Prometheus from a cluster."""

from __future__ import annotations

import time
import urllib.request

from program import check


def _figures(ports: list[str], run: str) -> dict[str, float]:
    """Ours, by name, as the nodes serve them."""
    found = {}
    for port in ports:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith("ray_annotator_") and f'run="{run}"' in line:
                    found[line.partition("{")[0]] = float(line.rpartition(" ")[2])
    return found


def test_committed_shards_are_counted(on_ray, cluster, pictures, tmp_path):
    run = tmp_path / "run"
    # Figures are sent every few seconds: the run has to last that long.
    program = on_ray.start(pictures(240), run, "--weights-dir", 0.1)
    deadline = time.monotonic() + 120
    figures: dict[str, float] = {}
    while time.monotonic() < deadline and figures.get("ray_annotator_shards_total", 0) < 3:
        time.sleep(1)
        figures = _figures(cluster.order("ports").split(), str(run))
    assert figures["ray_annotator_shards_total"] >= 3
    assert figures["ray_annotator_images_total"] == 24 * figures["ray_annotator_shards_total"]
    assert figures["ray_annotator_workers"] >= 1
    program.communicate()
    check(run, count=240)
