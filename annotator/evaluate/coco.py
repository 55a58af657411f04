"""COCO's own figures, fed image by image: average precision and recall by hotcoco, or by pycocotools."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from annotator.evaluate.predictions import FoundPeople
from annotator.evaluate.truth import TruePeople

KEYPOINT_FIGURES = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")
BBOX_FIGURES = ("AP", "AP50", "AP75", "APS", "APM", "APL", "AR1", "AR10", "AR", "ARS", "ARM", "ARL")

Kind = Literal["keypoints", "bbox"]
Engine = Literal["hotcoco", "pycocotools"]

# Classes of person size: the side in pixels of a square of the person's area. COCO's own are 32-96 and above.
SIZE_EDGES = (0, 32, 64, 96, 192, 384, 100_000)

_CATEGORY = {"id": 1, "name": "person"}
# COCO's areas first, where its ten or twelve figures look for them.
_COCO_AREAS = {
    "keypoints": {"all": (0, 1e10), "medium": (32**2, 96**2), "large": (96**2, 1e10)},
    "bbox": {
        "all": (0, 1e10), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10),
    },
}  # fmt: skip
# A batch is as large as makes the calls of the evaluator cheap; what is kept of it is small.
_BATCH = 200


@dataclass(slots=True)
class _Batch:
    images: list[dict] = field(default_factory=list)
    truth: list[dict] = field(default_factory=list)
    found: list[dict] = field(default_factory=list)


class CocoEvaluator:
    """Average precision of one kind over images that are added one by one, in any order.

    Args:
        kind: "keypoints" (OKS) or "bbox" (IoU). sigmas: (K,) of the skeleton.
        engine: "hotcoco" evaluates as images come; "pycocotools" keeps everything until the end.
    """

    def __init__(self, kind: Kind, sigmas: np.ndarray, engine: Engine = "hotcoco") -> None:
        self._kind: Kind = kind
        self._sigmas = sigmas
        self._areas = {**_COCO_AREAS[kind]}
        if kind == "keypoints":
            for low, high in pairwise(SIZE_EDGES):
                self._areas[f"{low}"] = (low**2, high**2)
        self._batch = _Batch()
        self._people = 0
        self._stream: Any = self._open_stream() if engine == "hotcoco" else None
        self._done: Any = None

    def add(
        self, image: int, truth: TruePeople, found: FoundPeople, keypoints: np.ndarray | None = None
    ) -> None:
        """Add one image. For keypoints only `found.kept` counts; `keypoints` (N, K, 3) may replace theirs."""
        batch = self._batch
        batch.images.append({"id": image, "width": 0, "height": 0, "file_name": ""})
        for n in range(len(truth)):
            # pycocotools takes the id 0 for "no match".
            self._people += 1
            batch.truth.append(
                {
                    "id": self._people,
                    "image_id": image,
                    "category_id": 1,
                    "bbox": truth.bboxes[n].tolist(),
                    "area": float(truth.areas[n]),
                    "iscrowd": int(truth.crowd[n]),
                    "keypoints": truth.keypoints[n].ravel().tolist(),
                    "num_keypoints": int(truth.num_keypoints[n]),
                }
            )
        # With a box pycocotools takes its area as the size of a person, as it does for MMPose's results.
        if self._kind == "bbox":
            for bbox, score in zip(found.bboxes.tolist(), found.bbox_scores.tolist(), strict=True):
                batch.found.append({"image_id": image, "category_id": 1, "bbox": bbox, "score": score})
        else:
            poses = found.keypoints if keypoints is None else keypoints
            for n in found.kept.tolist():
                batch.found.append(
                    {
                        "image_id": image,
                        "category_id": 1,
                        "bbox": found.bboxes[n].tolist(),
                        "score": float(found.scores[n]),
                        "keypoints": poses[n].ravel().tolist(),
                    }
                )
        if self._stream is not None and len(batch.images) >= _BATCH:
            self._flush()

    def figures(self) -> dict[str, float | None]:
        """COCO's ten figures of keypoints or twelve of boxes; None where nobody of that size is labelled."""
        names = KEYPOINT_FIGURES if self._kind == "keypoints" else BBOX_FIGURES
        stats = self._evaluation().stats
        # -1 where nothing could be counted.
        return {name: float(v) if v >= 0 else None for name, v in zip(names, stats, strict=True)}

    def by_size(self) -> list[dict[str, Any]]:
        """AP and AR of the classes of `SIZE_EDGES`: [{"from": 0, "to": 32, "AP": ..., "AR": ...}, ...]."""
        evaluation = self._evaluation().eval
        precision, recall = np.asarray(evaluation["precision"]), np.asarray(evaluation["recall"])
        labels = list(self._areas)
        return [
            {
                "from": low,
                "to": high,
                "AP": _mean(precision[:, :, :, labels.index(f"{low}")]),
                "AR": _mean(recall[:, :, labels.index(f"{low}")]),
            }
            for low, high in pairwise(SIZE_EDGES)
        ]

    def by_group(self, groups: dict[str, list[int]]) -> dict[str, dict[str, float | None]]:
        """AP and AR over groups of images, by name; hotcoco only."""
        evaluation, wanted = self._evaluation(), {name: ids for name, ids in groups.items() if ids}
        slices = evaluation.slice_by(wanted) if wanted else {}
        return {
            name: {key: value if (value := slices[name][key]) >= 0 else None for key in ("AP", "AR")}
            for name in wanted
        }

    def _evaluation(self) -> Any:
        if self._done is None:
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                # That sizes are finer than COCO's and sigmas the skeleton's own is meant.
                warnings.simplefilter("ignore")
                self._done = self._streamed() if self._stream is not None else self._by_pycocotools()
                self._done.accumulate()
                self._done.summarize()
        return self._done

    def _open_stream(self) -> Any:
        import hotcoco

        params = hotcoco.Params(self._kind)
        params.area_rng, params.area_rng_lbl = [list(a) for a in self._areas.values()], list(self._areas)
        if self._kind == "keypoints":
            params.kpt_oks_sigmas = self._sigmas.tolist()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return hotcoco.StreamingEval([_CATEGORY], self._kind, params=params)

    def _flush(self) -> None:
        self._stream.update(self._batch.images, self._batch.truth, self._batch.found)
        self._batch = _Batch()

    def _streamed(self) -> Any:
        self._flush()
        return self._stream.finalize()

    def _by_pycocotools(self) -> Any:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        def index(annotations: list[dict]) -> COCO:
            coco = COCO()
            coco.dataset = {  # type: ignore[assignment]
                "images": self._batch.images, "categories": [_CATEGORY], "annotations": annotations
            }  # fmt: skip
            coco.createIndex()
            return coco

        truth = index(self._batch.truth)
        # pycocotools cannot load an empty list of results.
        found = truth.loadRes(self._batch.found) if self._batch.found else index([])  # type: ignore[arg-type]
        evaluation = COCOeval(truth, found, self._kind)
        evaluation.params.areaRng = [list(area) for area in self._areas.values()]
        evaluation.params.areaRngLbl = list(self._areas)
        if self._kind == "keypoints":
            evaluation.params.kpt_oks_sigmas = self._sigmas
        evaluation.evaluate()
        return evaluation


def _mean(values: np.ndarray) -> float | None:
    counted = values[values > -1]
    return float(counted.mean()) if len(counted) else None
