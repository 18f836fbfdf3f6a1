"""The parts of the benchmarks that do not measure: statistics, checks, tables, the page."""

from __future__ import annotations

import io
import math
import sys
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

# The benchmarks are not installed. Last, so that `arrowimg` is still what is under test.
sys.path.append(str(Path(__file__).parents[1]))

from benchmarks import (
    growth,
    lock,
    memory,
    page,
    profile,
    results,
    scaling,
    targets,
    workloads,
)
from benchmarks.checks import ContentError, compare, psnr, repeated_ids
from benchmarks.contenders import CONTENDERS, ENVIRONMENTS, arrowimg_call, side_by_side
from benchmarks.figures import Spread, ratios, spread
from benchmarks.gauges import Clock
from benchmarks.inputs import INPUTS, Input, make_input
from benchmarks.machine import file_system
from benchmarks.pictures import cut_pictures
from benchmarks.rounds import _rotated
from benchmarks.tars import read_pictures, write_tar
from benchmarks.views import files, pictures, read_table, touch
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Iterator


Status = Literal["ok", "not installed", "failed", "wrong output"]


def figure(
    workload: str = "256x256",
    contender: str = "arrowimg",
    seconds: tuple[float, ...] = (1.0, 2.0, 3.0),
    num_rows: int = 100,
    status: Status = "ok",
    reason: str = "",
) -> results.Figure:
    return results.Figure(
        workload=workload,
        contender=contender,
        status=status,
        reason=reason,
        content="same bytes, same ids",
        num_rows=num_rows,
        rounds=[results.Measurement(one, one, 0.0, 2**20) for one in seconds],
    )


def run(figures: list[results.Figure], command: str = "run") -> results.Run:
    return results.Run(
        command=command,
        date="2026-01-01",
        quick=True,
        num_rounds=3,
        machine={"cores": "2"},
        figures=figures,
        redone=1,
        disturbed=0,
    )


class TestFigures:
    def test_quartiles_are_those_of_numpy(self) -> None:
        values = [3.0, 1.0, 4.0, 1.5, 9.0, 2.6, 5.0]

        assert spread(values) == pytest.approx(np.quantile(values, [0.25, 0.5, 0.75]).tolist())

    def test_one_value_has_no_spread(self) -> None:
        assert spread([2.5]) == Spread(2.5, 2.5, 2.5)

    def test_ratios_are_of_one_round(self) -> None:
        # The machine was ten times slower in the second round, for both.
        assert ratios([2.0, 20.0, 2.0], [1.0, 10.0, 1.0]) == Spread(2.0, 2.0, 2.0)

    def test_a_missing_round_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="longer"):
            ratios([1.0], [1.0, 2.0])


class TestChecks:
    @pytest.fixture
    def reference(self, tmp_path: Path) -> str:
        _, path = make_input(Input("tiny", "pixels", ((32, 32),), 3, 3), 3, tmp_path)
        return str(path)

    def given(self, reference: str) -> list[tuple[str | None, bytes]]:
        table = read_table(reference)
        return list(zip(table["image_id"].to_pylist(), table["file"].to_pylist(), strict=True))

    def test_equal_pictures_pass_in_any_order(self, reference: str) -> None:
        assert compare(self.given(reference)[::-1], reference) == "same bytes, same ids"

    def test_pictures_without_ids_pass_in_order(self, reference: str) -> None:
        unnamed = [(None, data) for _, data in self.given(reference)]

        assert compare(unnamed, reference) == "same bytes, same order, no ids"
        with pytest.raises(ContentError, match="dB"):
            compare(unnamed[::-1], reference)

    def test_another_encoding_passes_with_its_distance(self, reference: str) -> None:
        again = [(image_id, as_png(data)) for image_id, data in self.given(reference)]

        assert compare(again, reference).startswith("same pictures, at least inf dB")

    def test_a_missing_picture_is_found(self, reference: str) -> None:
        with pytest.raises(ContentError, match="1 of 3 pictures are missing"):
            compare(self.given(reference)[1:], reference)

    def test_a_picture_that_is_there_twice_is_found(self, reference: str) -> None:
        given = self.given(reference)

        with pytest.raises(ContentError, match="twice"):
            compare([*given, given[0]], reference)

    def test_a_picture_of_another_id_is_found(self, reference: str) -> None:
        (first, one), (second, other), third = self.given(reference)

        with pytest.raises(ContentError, match="dB"):
            compare([(first, other), (second, one), third], reference)

    def test_repetitions_have_ids_of_their_own(self, reference: str) -> None:
        ids, data = zip(*self.given(reference), strict=True)
        twice = list(zip(repeated_ids(list(ids), 2), data * 2, strict=True))

        assert compare(twice, reference, repeats=2) == "same bytes, same ids"
        with pytest.raises(ContentError, match="3 of 6"):
            compare(twice[:3], reference, repeats=2)

    def test_the_first_rows_of_a_reference_may_be_all(self, reference: str) -> None:
        given = self.given(reference)

        assert compare(given[:2], reference, num_rows=2) == "same bytes, same ids"
        with pytest.raises(ContentError, match="missing"):
            compare(given[:1], reference, num_rows=2)
        with pytest.raises(ContentError, match="not asked for"):
            compare(given, reference, num_rows=2)

    def test_psnr_is_ten_times_the_logarithm_of_the_error(self) -> None:
        black = np.zeros((4, 4), np.uint8)

        assert psnr(black, black + 1) == pytest.approx(20 * math.log10(255))
        assert psnr(black, black) == math.inf
        assert psnr(black, black[:2]) == -math.inf


def as_png(data: bytes) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(data)).save(file, "PNG")
    return file.getvalue()


class TestInputs:
    def test_pictures_are_the_same_for_the_same_seed(self) -> None:
        one, same, other = (list(cut_pictures(3, [(40, 30)], seed)) for seed in (1, 1, 2))

        assert all(np.array_equal(*pair) for pair in zip(one, same, strict=True))
        assert not any(np.array_equal(*pair) for pair in zip(one, other, strict=True))

    def test_large_pictures_are_laid_out_of_crops(self) -> None:
        (picture,) = cut_pictures(1, [(769, 1025)], seed=0)

        assert picture.shape == (769, 1025, 3)
        assert picture.std() > 1

    @pytest.mark.parametrize("shapes", [((24, 32),), ((24, 32), (16, 8))])
    def test_views_are_the_pictures(
        self, shapes: tuple[tuple[int, int], ...], tmp_path: Path
    ) -> None:
        path, _ = make_input(Input("tiny", "pixels", shapes, 4, 4), 4, tmp_path)

        table = read_table(str(path))
        touch(table)
        views = pictures(table.slice(1))

        expected = list(cut_pictures(4, list(shapes), seed=4))[1:]
        assert all(np.array_equal(*pair) for pair in zip(views, expected, strict=True))

    def test_files_decode_to_the_pictures(self, tmp_path: Path) -> None:
        path, _ = make_input(Input("tiny", "files", ((24, 32),), 2, 2), 2, tmp_path)

        decoded = [np.asarray(Image.open(io.BytesIO(one))) for one in files(read_table(str(path)))]

        for picture, given in zip(decoded, cut_pictures(2, [(24, 32)], seed=2), strict=True):
            assert psnr(picture, given) > 25

    def test_an_embedding_is_a_list_of_768(self, tmp_path: Path) -> None:
        tiny = Input("tiny", "pixels", ((8, 8),), 2, 2, embedding=True)
        path, _ = make_input(tiny, 2, tmp_path)

        assert read_table(str(path)).schema.field("embedding").type == pa.list_(pa.float32(), 768)

    def test_tars_hold_what_was_written(self, tmp_path: Path) -> None:
        with (tmp_path / "one.tar").open("wb") as file:
            write_tar(file, [("a.jpg", b"one"), ("a.txt", b"text"), ("b.jpg", b"two")])

        assert list(read_pictures(str(tmp_path))) == [("a", b"one"), ("b", b"two")]
        assert tarfile.is_tarfile(tmp_path / "one.tar")


class TestTables:
    def test_workloads_name_what_there_is(self) -> None:
        for workload in WORKLOADS.values():
            assert workload.input in INPUTS
            assert set(workload.contenders) <= set(CONTENDERS)

    def test_contenders_name_what_there_is(self) -> None:
        folder = Path(growth.__file__).parent / "contenders"
        for contender in CONTENDERS.values():
            assert (folder / f"{contender.module}.py").exists()
            assert contender.environment is None or contender.environment in ENVIRONMENTS
        assert {one.environment for one in CONTENDERS.values()} == {None, *ENVIRONMENTS}

    def test_cases_have_names_of_their_own(self) -> None:
        for cases in (workloads.cases(), growth.cases(), memory.cases(), scaling.cases(16)):
            names = [case.name for case in cases]
            assert len(set(names)) == len(names)

    def test_targets_are_measured_in_one_block(self) -> None:
        cases = {"run": workloads.cases(), "growth": growth.cases(), "memory": memory.cases()}
        for target in targets.TARGETS:
            blocks = {
                case.block
                for case in cases[target.command]
                if (case.workload, case.contender.name) in {target.over, target.under}
            }
            assert len(blocks) == 1, target

    def test_everybody_begins_in_some_round(self) -> None:
        cases = workloads.cases()[:3]

        assert [_rotated(cases, number)[0] for number in range(4)] == [*cases, cases[0]]
        assert _rotated(cases, 1) == [cases[1], cases[2], cases[0]]


class TestTargets:
    FASTER = next(one for one in targets.TARGETS if one.figure.endswith("NeMo Curator"))
    GROWTH = next(one for one in targets.TARGETS if one.quantity == "seconds a picture")

    def test_a_ratio_is_the_median_over_rounds(self) -> None:
        peer = figure(contender="NeMo Curator", seconds=(3.0, 4.0, 9.0))

        ratio = targets.reached(self.FASTER, {"run": run([figure(), peer])})

        assert ratio == Spread(2.5, 3.0, 3.0)

    def test_a_cost_is_that_of_a_picture(self) -> None:
        over, under = (
            figure(*side, seconds=(seconds,), num_rows=rows)
            for side, seconds, rows in (
                (self.GROWTH.over, 22.0, 1000),
                (self.GROWTH.under, 1.0, 50),
            )
        )

        ratio = targets.reached(self.GROWTH, {"growth": run([over, under], "growth")})

        assert ratio is not None
        assert ratio.median == pytest.approx(1.1)

    def test_what_does_not_count_is_not_measured(self) -> None:
        peer = figure(contender="NeMo Curator", status="wrong output")

        assert targets.reached(self.FASTER, {"run": run([figure(), peer])}) is None
        assert targets.reached(self.FASTER, {}) is None

    @pytest.mark.parametrize(
        ("better", "ratio", "verdict"),
        [
            ("more", 2.0, "aim"),
            ("more", 1.5, "floor"),
            ("more", 0.9, "missed"),
            ("less", 0.9, "floor"),
            ("less", 0.5, "aim"),
            ("less", 1.1, "missed"),
        ],
    )
    def test_the_verdict(self, better: Literal["more", "less"], ratio: float, verdict: str) -> None:
        aim = 2.0 if better == "more" else 0.5
        target = targets.Target("", "", "run", ("", ""), ("", ""), 1.0, aim, better)

        assert targets.verdict(target, ratio) == verdict

    def test_every_target_has_a_row(self) -> None:
        assert len(targets.table({})) == len(targets.TARGETS) + 1


class TestPage:
    def test_a_section_is_replaced_and_nothing_else(self) -> None:
        text = "a\n<!-- generated: x -->\nold\n<!-- end: x -->\nb\n"

        new = page.splice(text, {"x": "new\n"})

        assert new == "a\n<!-- generated: x -->\n\nnew\n\n<!-- end: x -->\nb\n"
        assert page.splice(new, {"x": "new\n"}) == new

    @pytest.mark.parametrize("text", ["", "<!-- generated: x -->", "<!-- end: x -->"])
    def test_missing_markers_are_an_error(self, text: str) -> None:
        with pytest.raises(ValueError, match="x"):
            page.splice(text, {"x": "new"})

    def test_the_page_has_all_markers(self) -> None:
        names = ["machine", "contenders", "results", "targets", "growth", "memory", "profile"]
        names += ["scaling", "lock"]
        names += ["fetch", "index", "reshard"]

        text = page.PAGE.read_text(encoding="utf-8")
        spliced = page.splice(text, {name: f"{name} goes here" for name in names})

        assert [name for name in names if f"{name} goes here" not in spliced] == []

    def test_a_table_is_markdown(self) -> None:
        assert (
            page.markdown([["a", "b"], ["1", "x|y"]]) == "| a | b |\n| --- | --- |\n| 1 | x\\|y |"
        )

    def test_rates_are_medians_beside_ours(self) -> None:
        slower = figure(contender="webdataset", seconds=(2.0, 4.0, 6.0))

        _, ours, theirs = page.rates([figure(), slower])

        assert ours[:4] == ["arrowimg", "50", "42 to 75", "1.00 (1.00 to 1.00)"]
        assert theirs[:4] == ["webdataset", "25", "21 to 38", "2.00 (2.00 to 2.00)"]
        assert theirs[5:] == ["1", "same bytes, same ids"]

    def test_who_did_not_run_is_listed(self) -> None:
        failed = figure(contender="webdataset", status="failed", reason="no module")
        absent = figure(contender="Lance", status="not installed")

        text = page.contenders(run([failed, absent]))

        assert "| webdataset | failed: no module |" in text
        assert "| Lance | not installed |" in text
        assert page.rates([failed])[1][1] == "failed"

    def test_a_run_is_read_as_it_was_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(results, "FOLDER", tmp_path / "results")

        assert results.load("run") is None
        results.save(run([figure()]))
        assert results.load("run") == run([figure()])

    def test_runs_on_several_machines_are_kept_side_by_side(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(results, "FOLDER", tmp_path)
        runs = [
            msgspec.structs.replace(run([figure()], "scaling"), machine={"cores": cores})
            for cores in ("2", "16")
        ]
        for one in runs[::-1]:
            results.save(one, scaling.kept_as(one))

        assert results.load_all("scaling") == runs
        assert results.load("scaling") is None


def scaled(cores: int, contender: str, *seconds: float, name: str = "64x64") -> results.Figure:
    return figure(scaling.workload(name, cores), contender, seconds)


class TestScaling:
    RUN = run(
        [
            scaled(2, scaling.PROCESSES, 0.4, 0.5, 0.6, name="start"),
            scaled(1, scaling.LIMIT, 2.0, 2.0),
            scaled(1, scaling.THREADS, 2.5, 2.5),
            scaled(1, scaling.PEER, 5.0, 10.0),
            scaled(2, scaling.LIMIT, 1.0, 1.0),
            scaled(2, scaling.THREADS, 2.0, 2.0),
            scaled(2, scaling.PROCESSES, 1.5, 2.5),
            figure(scaling.workload("64x64", 2), scaling.PEER, status="failed", reason="no file"),
        ],
        "scaling",
    )

    @pytest.mark.parametrize(
        ("cores", "steps"),
        [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8]), (9, [1, 2, 4, 8, 9])],
    )
    def test_cores_double_up_to_those_of_the_machine(self, cores: int, steps: list[int]) -> None:
        assert scaling.steps(cores) == steps

    def test_each_core_has_as_many_rows(self) -> None:
        cases = [case for case in scaling.cases(16) if case.block != "start"]

        assert {case.block for case in cases} == set(scaling.SIZES)
        for name, size in scaling.SIZES.items():
            assert size.input in INPUTS
            rows = {(case.cores, case.num_rows) for case in cases if case.block == name}
            assert rows == {(step, step * size.rows_per_core) for step in (1, 2, 4, 8, 16)}
        assert {case.input_rows for case in cases} == {
            16 * size.rows_per_core for size in scaling.SIZES.values()
        }

    def test_a_quick_run_has_fewer_rows_in_as_many_tars(self) -> None:
        quick = [case for case in scaling.cases(2, quick=True) if case.block != "start"]

        for case in quick:
            assert (
                case.num_rows == (case.cores or 0) * scaling.SIZES[case.block].quick_rows_per_core
            )
            if "images_per_tar" in case.contender.settings:
                tars = (case.num_rows or 0) / case.contender.settings["images_per_tar"]
                assert tars == 8 * (case.cores or 0)

    def test_one_core_has_no_processes_and_files_no_peer(self) -> None:
        cases = scaling.cases(2)

        alone = {case.contender.name for case in cases if case.cores == 1}
        files = {case.contender.name for case in cases if case.block == "15 KB files"}
        assert alone == {scaling.LIMIT, scaling.THREADS, scaling.PEER}
        assert files == {scaling.LIMIT, scaling.THREADS, scaling.PROCESSES}

    def test_the_start_of_workers_is_left_out_and_stated(self) -> None:
        assert scaling.seconds(self.RUN, "64x64", 2, scaling.PROCESSES) == [1.0, 2.0]
        assert scaling.rates(self.RUN, "64x64", 2, scaling.PROCESSES) == [100.0, 50.0]
        assert "2 processes 0.50 s" in scaling.starts(self.RUN)

    def test_a_call_no_longer_than_a_start_says_nothing(self) -> None:
        figures = [
            scaled(2, scaling.PROCESSES, 2.0, name="start"),
            scaled(1, scaling.THREADS, 1.0),
            scaled(2, scaling.PROCESSES, 1.9),
        ]

        assert scaling.seconds(run(figures), "64x64", 2, scaling.PROCESSES) == []

    def test_without_a_start_only_whole_calls_are_known(self) -> None:
        measured = run([one for one in self.RUN.figures if not one.workload.startswith("start")])

        two = scaling.table(measured)[2]

        assert two[4:6] == ["", "53"]
        assert "not known" in scaling.starts(measured)

    def test_the_table_compares_the_better_of_ours(self) -> None:
        _, one, two = scaling.table(self.RUN)

        assert one[:7] == ["64x64", "1", "50", "40", "", "", "15"]
        assert one[7].startswith("0.80 ")
        assert one[8].startswith("3.00 ")
        assert two[:7] == ["64x64", "2", "100", "50", "75", "53", ""]
        assert two[7].startswith("0.75 ")
        assert two[8] == ""
        assert scaling.missing(self.RUN) == "NeMo Curator: failed (no file)."

    def test_a_plot_names_the_machine(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("matplotlib", reason="benchmarks alone draw")
        from benchmarks import plots  # see above

        monkeypatch.setattr(plots, "FOLDER", tmp_path)
        machine = {"processor": "A processor", "cores": "2"}
        measured = msgspec.structs.replace(self.RUN, machine=machine)

        plots.draw_scaling(measured)

        plot = tmp_path / "benchmarks-scaling-2-cores.svg"
        assert "A processor, 2 cores" in plot.read_text(encoding="utf-8")

    def test_processes_side_by_side_write_all_pictures(self, tmp_path: Path) -> None:
        path, reference = make_input(Input("tiny", "pixels", ((8, 8),), 200, 200), 200, tmp_path)
        table, out = read_table(str(path)), tmp_path / "out"
        out.mkdir()

        team = side_by_side.prepare(table, module="limit_encode", processes=2, threads=1)
        side_by_side.write(team, str(out))

        assert len(team.parts) == 2
        found = side_by_side.read_back(str(out), team)
        assert compare(found, str(reference)) == "same bytes, same ids"

    def test_a_process_that_fails_is_an_error(self, tmp_path: Path) -> None:
        path, _ = make_input(Input("tiny", "pixels", ((8, 8),), 4, 4), 4, tmp_path)

        with pytest.raises(EOFError):
            side_by_side.prepare(
                read_table(str(path)), module="limit_encode", processes=1, unknown=1
            )

    @pytest.mark.parametrize("workers", [1, 2])
    def test_an_arrow_file_is_written_whole(self, workers: int, tmp_path: Path) -> None:
        path, reference = make_input(Input("tiny", "pixels", ((8, 8),), 6, 6), 6, tmp_path)
        out = tmp_path / "out"

        prepared = arrowimg_call.prepare(read_table(str(path)), workers=workers)
        arrowimg_call.write(prepared, str(out), workers=workers, images_per_tar=2)
        if workers > 1:
            prepared.unlink()

        found = arrowimg_call.read_back(str(out), prepared)
        assert compare(found, str(reference)) == "same bytes, same ids"


class TestLock:
    HELD = "<module> (lock.py:9);write_again (lock.py:7);hash 3\nrun (threading.py:1);encode 4\n"
    IDLE = "write_again (lock.py:7);wait 20\nwrite_again (lock.py:8);rmtree 5\nrun;encode 18\n"

    def test_any_thread_may_hold_it(self) -> None:
        assert lock.num_held(self.HELD) == 7

    def test_a_moment_is_one_stack_of_the_main_thread(self) -> None:
        assert lock.num_moments(self.IDLE) == 20

    def test_removing_files_does_not_count(self) -> None:
        assert lock.num_held("write_again;rmtree (shutil.py:1) 9\n") == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
class TestGauges:
    def test_processor_time_of_this_process_is_counted(self) -> None:
        clock, start = Clock(), time.process_time()
        while time.process_time() - start < 0.05:
            pass
        reading = clock.read()

        assert reading.cpu_seconds >= 0.05
        assert reading.seconds > 0

    @pytest.mark.parametrize(("others", "seconds"), [(0.02, 0.01), (0.1, 1.0), (None, 1.0)])
    def test_a_little_is_no_disturbance(self, others: float | None, seconds: float) -> None:
        assert not results.Measurement(seconds, seconds, others, None).is_disturbed

    @pytest.mark.parametrize(("others", "seconds"), [(0.04, 0.01), (0.2, 1.0)])
    def test_much_is_a_disturbance(self, others: float, seconds: float) -> None:
        assert results.Measurement(seconds, seconds, others, None).is_disturbed

    def test_a_file_system_has_a_type(self) -> None:
        assert file_system(Path("/proc")) == "proc"


class Ticks:
    """Clocks that only go on when they are told to."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def pass_by(self, wall: float, cpu: float) -> None:
        self.wall += wall
        self.cpu += cpu

    def perf_counter(self) -> float:
        return self.wall

    def thread_time(self) -> float:
        return self.cpu


class TestProfile:
    def test_the_steps_are_functions_of_arrowimg(self, tmp_path: Path) -> None:
        """Also tells when one of them has gone: then the profile would say too little."""
        rows, num_rows = profile.profile("few-thumbnails", 1, tmp_path)

        assert [row[0].partition(":")[0] for row in rows[1:]] == [
            label for label, _ in profile.STEPS
        ]
        assert num_rows == 1000
        assert list(tmp_path.iterdir()) == []

    def test_a_step_that_is_gone_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(profile, "STEPS", (("gone", ("arrowimg._write.stage.gone",)),))

        with pytest.raises(AttributeError, match="gone"), profile._wrapped(profile.Timers()):
            pass

    def test_times_are_a_steps_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = Ticks()
        monkeypatch.setattr(profile, "time", clock)
        timers = profile.Timers()
        inner = timers.wrap("inner", lambda: clock.pass_by(wall=6, cpu=5))

        def outer() -> None:
            clock.pass_by(wall=2, cpu=1)
            inner()

        timers.wrap("outer", outer)()

        spent = {label: (one.wall, one.cpu, one.calls) for label, one in timers.spent.items()}
        assert spent == {"inner": (6, 5, 1), "outer": (2, 1, 1)}

    def test_a_generator_is_timed_at_each_step(self) -> None:
        timers = profile.Timers()

        def numbers() -> Iterator[int]:
            yield from range(3)

        assert list(timers.wrap("numbers", numbers)()) == [0, 1, 2]
        assert timers.spent["numbers"].calls == 4
