"""Run the process that tries damaged files, again behind each file that kills it, and count."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

CHILD = Path(__file__).parent / "fuzz_child.py"
MOST_SECONDS = 10
MOST_MEGABYTES = 1024
_SHOWN = 40

EXCEPTED = {
    "JPEG refused: OSError: broken data stream": (
        "Pillow refuses a whole scan with others behind it; other decoders stop there"
    ),
    "PNG refused, animated": "only the animation is damaged; the default image is not",
    "WEBP refused, animated": "only a later frame is damaged; the first is not",
    "WEBP refused, reserved bits": "RFC 9649 has readers ignore these bits; libwebp refuses them",
    "WEBP refused, bytes behind": "RFC 9649 lets readers ignore what is behind the end",
    "TIFF refused: TypeError": "Pillow stumbles over a profile that is stated as text",
    "TIFF refused: UnidentifiedImageError": "Lab with a band of nothing: Pillow has no such mode",
}
"""Pictures that Pillow refuses and that are written nevertheless, and why."""

COPIED = ("JPEG refused: OSError: broken data", "JPEG refused: UnidentifiedImageError")
MOST_COPIED = 0.02
"""JPEG files that are copied, not decoded: damage behind the headers is seen by who decodes them,
as `verify(depth="decode")` does. What Pillow says of these, and how many of all files they are.
"""


@dataclass
class Report:
    """What came of damaged files; each fault by its seed."""

    num_files: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    crashes: dict[int, str] = field(default_factory=dict)
    raised: dict[int, str] = field(default_factory=dict)
    slow: dict[int, float] = field(default_factory=dict)
    large: dict[int, int] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    copied: dict[int, str] = field(default_factory=dict)
    otherwise: dict[int, str] = field(default_factory=dict)
    noise: list[str] = field(default_factory=list)

    def unexpected(self) -> dict[int, str]:
        """Return the pictures that Pillow refuses or shows otherwise, without the exceptions."""
        found = self.refused | self.otherwise
        return {it: text for it, text in found.items() if not text.startswith((*EXCEPTED,))}

    def text(self) -> str:
        faults = ("crashes", "raised", "slow", "large", "refused", "otherwise", "copied")
        lines = [f"{self.num_files:,} files: {dict(sorted(self.codes.items()))}"]
        for name in faults:
            found = getattr(self, name)
            lines.append(f"{name}: {len(found)} {dict([*found.items()][:_SHOWN])}")
        return "\n".join([*lines, f"lines on stderr: {len(self.noise)} {self.noise[:5]}"])


def run(first: int, last: int) -> Report:
    report, at = Report(), first
    while at < last:
        at = _run_once(report, at, last)
    return report


def _run_once(report: Report, first: int, last: int) -> int:
    """Return the seed behind the last file that was tried."""
    seconds = 60 + (last - first)
    done = subprocess.run(
        [sys.executable, str(CHILD), str(first), str(last)],
        capture_output=True, text=True, check=False, timeout=seconds,
    )  # fmt: skip
    report.noise += [line for line in done.stderr.splitlines() if line.strip()]
    seed = first - 1
    for line in done.stdout.splitlines():
        found = json.loads(line)
        if "seed" in found:
            seed, report.num_files = found["seed"], report.num_files + 1
        else:
            _count(report, seed, found)
    if seed < first:
        raise RuntimeError(done.stderr)
    if done.returncode:
        report.crashes[seed] = f"exit status {done.returncode}: {done.stderr[-200:]}"
    return seed + 1


def _count(report: Report, seed: int, found: dict[str, object]) -> None:
    code, seen = str(found["code"]), str(found.get("seen", ""))
    report.codes[code.split(" ", maxsplit=1)[0] or "written"] += 1
    if code.startswith("raised"):
        report.raised[seed] = code
    if float(str(found["seconds"])) > MOST_SECONDS:
        report.slow[seed] = float(str(found["seconds"]))
    if int(str(found["megabytes"])) > MOST_MEGABYTES:
        report.large[seed] = int(str(found["megabytes"]))
    for name, faults in (("refused", report.refused), ("otherwise", report.otherwise)):
        if seen.startswith(name):
            place = report.copied if found["copied"] else faults
            place[seed] = f"{found['kind']} {seen}"


if __name__ == "__main__":
    print(run(int(sys.argv[1]), int(sys.argv[2])).text())
