"""Screenshots of a report for the documentation: synthetic people, annotated for real, in a real browser.

    python jobs/report_pictures.py --to docs/images [--pictures 24] [-- options of `annotator run`]

Options after `--` name other models than those that ship; photographs are never used.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

WIDTHS = {"wide": 1400, "narrow": 400}
# A page is long: the documentation shows the parts that say the most, each from where it begins.
PARTS = {
    "wide": {"report": "body", "report-evaluation": "#evaluation"},
    "narrow": {"report-evaluation": "#evaluation"},
}
HEIGHT = {"wide": 1500, "narrow": 1700}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--browser", default="/usr/bin/chromium")
    options, rest = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        # Relative paths, as they stand in the commands that the page shows.
        call = partial(annotator, Path(folder))
        call("synth", "synthetic", "--images", options.pictures, "--seed", 7, "--workers", 1)
        (truth,) = (path.name for path in Path(folder, "synthetic").glob("*.json"))
        given = [str(Path(o).absolute()) if Path(o).exists() else o for o in rest if o != "--"]
        call("run", "synthetic/images", "--out", "synthetic-people", "--executor", "inline", *given)
        call("report", "synthetic-people", "--gt", f"synthetic/{truth}", "--price-per-hour", 2)
        take(Path(folder, "synthetic-people", "report.html"), options.to, options.browser)


def annotator(folder: Path, *arguments: object) -> None:
    """`annotator ...` in that folder, in a process of its own; ends this program when it fails."""
    subprocess.run([sys.executable, "-m", "annotator.cli", *map(str, arguments)], check=True, cwd=folder)


def take(page: Path, folder: Path, browser: str) -> None:
    """Take the parts of each width; fails if a page is wider than its window."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for width_name, width in WIDTHS.items():
            tab = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme="light")
            tab.goto(page.absolute().as_uri())
            wide = tab.evaluate("document.documentElement.scrollWidth")
            if wide > width:
                raise SystemExit(f"the page is {wide} px wide in a window of {width} px")
            for name, start in PARTS[width_name].items():
                top = tab.evaluate(f"document.querySelector('{start}').getBoundingClientRect().top")
                tab.screenshot(
                    path=folder / f"{name}-{width_name}.jpg",
                    full_page=True,
                    type="jpeg",
                    quality=72,
                    clip={"x": 0, "y": max(0, top - 20), "width": width, "height": HEIGHT[width_name]},
                )
            tab.close()
        chromium.close()


if __name__ == "__main__":
    main()
