"""The gate: which paths are slower, the commit to compare with, and the errors without a verdict."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

import cpapi_fast
from benchmarks.gate import accepted, baseline, measure, selftest, timing, trees, verdict
from benchmarks.gate.accepted import Accepted
from benchmarks.gate.measure import Counts, GateError, counted, counts_of
from benchmarks.gate.trees import Seed
from benchmarks.tables import show


def _verdicts(before: dict[str, float], now: dict[str, float]) -> dict[str, str]:
    return {change.path: change.verdict for change in verdict.compare(before, now)}


class TestCompare:
    @pytest.mark.parametrize(
        ("now", "expected"),
        [(100.0, "same"), (105.0, "same"), (105.1, "slower"), (1e6, "slower"), (95.3, "same"), (95.2, "faster")],
    )
    def test_five_percent_is_the_limit(self, now: float, expected: str):
        assert _verdicts({"read/batch": 100.0}, {"read/batch": now}) == {"read/batch": expected}

    def test_a_slower_path_is_named_with_both_numbers_and_what_to_do(self):
        before, now = {"read/batch": 1000.0, "a": 5.0}, {"read/batch": 1100.0, "a": 5.0}
        (line,) = map(str, verdict.failures(verdict.compare(before, now)))
        assert line.startswith("read/batch is slower: 1,000.0 instructions per frame before, 1,100.0 now (+10.0%")
        assert "benchmarks/gate/accepted.py" in line
        assert "CONTRIBUTING.md" in line

    def test_a_path_that_the_baseline_does_not_know_is_reported_and_passes(self):
        changes = verdict.compare({"a": 1.0}, {"a": 1.0, "b": 9.0})
        assert [change.verdict for change in changes] == ["same", "new"]
        assert verdict.failures(changes) == []

    def test_a_missing_path_fails(self):
        (line,) = map(str, verdict.failures(verdict.compare({"a": 1.0, "b": 9.0}, {"a": 1.0})))
        assert line.startswith("b is no longer measured: 9.0 instructions per frame before, - now")
        assert "benchmarks/gate/accepted.py" in line

    def test_a_faster_path_is_reported_and_passes(self, capsys: pytest.CaptureFixture[str]):
        changes = verdict.compare({"a": 100.0}, {"a": 50.0})
        show(verdict.table_of(changes))
        assert capsys.readouterr().out.splitlines()[-1].split() == ["a", "100.0", "50.0", "-50.0%", "faster"]
        assert verdict.failures(changes) == []

    def test_one_slower_path_among_faster_ones_fails(self):
        before = {"a": 100.0, "b": 100.0}
        assert len(verdict.failures(verdict.compare(before, {"a": 10.0, "b": 106.0}))) == 1

    def test_an_accepted_ratio_replaces_the_limit_of_its_path(self):
        before, now = {"a": 100.0, "b": 100.0}, {"a": 109.0, "b": 109.0}
        changes = verdict.compare(before, now, {"a": 1.1})
        assert [change.verdict for change in changes] == ["accepted", "slower"]
        assert [change.path for change in verdict.failures(changes)] == ["b"]
        (line,) = map(str, verdict.failures(verdict.compare({"a": 100.0}, {"a": 111.0}, {"a": 1.1})))
        assert "the limit is +10%" in line

    def test_an_accepted_path_is_so_for_baselines_up_to_its_commit(self, repository: Path):
        first, second, third = (_commit(repository, name) for name in "abc")
        entries = (Accepted("a", second, 1.2, "why"), Accepted("b", "0" * 40, 1.2, "a commit that is not there"))
        assert accepted.limits(repository, first, entries) == {"a": 1.2}
        assert accepted.limits(repository, second, entries) == {"a": 1.2}
        assert accepted.limits(repository, third, entries) == {}

    def test_each_accepted_path_is_in_the_history_and_has_a_reason(self):
        for entry in accepted.ACCEPTED:
            assert verdict.LIMIT < entry.ratio < 1.25
            assert len(entry.before) == 40
            assert len(entry.why) > 20

    def test_nothing_measured_is_no_verdict(self):
        with pytest.raises(GateError, match="measured no path"):
            verdict.compare({"a": 1.0}, {})


class TestBounds:
    BOUND = verdict.Bound("a", "floor", 2.0, "because")

    def test_within(self):
        assert verdict.bound_failures(Counts({"a": 20.0}, {"floor": 10.0}), (self.BOUND,)) == []

    def test_beyond_is_named_with_both_numbers_and_the_reason(self):
        (line,) = verdict.bound_failures(Counts({"a": 21.0}, {"floor": 10.0}), (self.BOUND,))
        assert line == "a costs 2.100 times floor (21.0 and 10.0 per frame), the limit is 2: because"

    @pytest.mark.parametrize("counts", [Counts({}, {"floor": 1.0}), Counts({"a": 1.0}, {})])
    def test_a_bound_on_what_was_not_measured_is_no_verdict(self, counts: Counts):
        with pytest.raises(GateError, match="did not measure"):
            verdict.bound_failures(counts, (self.BOUND,))


class TestMeasure:
    LAYOUT = (
        {"name": "floor", "frames": 10, "over": None},
        {"name": "read/batch", "frames": 10, "over": "floor"},
    )
    #: Start-up, N, between, 2 N; twice.
    SEGMENTS = (9_000_000, 107, 555, 207, 777, 407, 555, 807)

    def test_start_up_and_marks_cancel_out_and_the_floor_is_subtracted(self):
        assert counts_of(list(self.LAYOUT), list(self.SEGMENTS)) == Counts({"read/batch": 30.0}, {"floor": 10.0})

    @pytest.mark.parametrize("key", ["summary", "totals"])
    def test_the_total_of_a_file(self, key: str):
        assert counted(f"version: 1\nevents: Ir\nfn=(1) main\n3 999\n{key}: 1234\n", "callgrind.1") == 1234

    @pytest.mark.parametrize("text", ["", "version: 1\nevents: Ir\n3 999\n", "summary: many\n"])
    def test_a_file_without_a_total_is_no_verdict(self, text: str):
        with pytest.raises(GateError, match=r"no total into callgrind\.7"):
            counted(text, "callgrind.7")

    @pytest.mark.parametrize("count", [0, 1, 7, 9])
    def test_missing_or_surplus_files_are_no_verdict(self, count: int):
        with pytest.raises(GateError, match=f"wrote {count} files for 2 paths"):
            counts_of(list(self.LAYOUT), (list(self.SEGMENTS) * 2)[:count])

    def test_a_path_that_costs_nothing_is_no_verdict(self):
        with pytest.raises(GateError, match="read/batch seems to cost"):
            counts_of(list(self.LAYOUT), [*self.SEGMENTS[:7], self.SEGMENTS[5]])

    def test_without_valgrind_the_error_shows_how_to_install_it(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(GateError, match="apt-get install valgrind"):
            measure.valgrind()


def _git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Nobody", "-c", "user.email=nobody@example.invalid", "-c", "commit.gpgsign=false")
    command = ["git", *identity, "-c", "tag.gpgsign=false", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def _commit(folder: Path, name: str, text: str = "") -> str:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    _git(folder, "add", "--all")
    _git(folder, "commit", "--quiet", "-m", name)
    return _git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    _git(folder, "init", "--quiet", "--initial-branch=main")
    return folder


class TestBaseline:
    def test_the_commit_before(self, repository: Path):
        first = _commit(repository, "a")
        _commit(repository, "b")
        assert baseline.choose(repository, {}) == baseline.Baseline(first, "the commit before this one")

    def test_the_first_commit_has_none(self, repository: Path):
        _commit(repository, "a")
        assert baseline.choose(repository, {}) == baseline.Baseline(None, "this is the first commit")

    def test_where_the_branch_left_origin(self, repository: Path, tmp_path: Path):
        first = _commit(repository, "a")
        _git(tmp_path, "clone", "--quiet", str(repository), "clone")
        clone = tmp_path / "clone"
        _commit(clone, "b")
        _commit(clone, "c")
        assert baseline.choose(clone, {}) == baseline.Baseline(first, "where this branch left origin/HEAD")

    def test_on_the_default_branch_itself_it_is_the_commit_before(self, repository: Path, tmp_path: Path):
        first = _commit(repository, "a")
        _commit(repository, "b")
        _git(tmp_path, "clone", "--quiet", str(repository), "clone")
        assert baseline.choose(tmp_path / "clone", {}).commit == first

    def test_where_a_local_branch_left_main(self, repository: Path):
        first = _commit(repository, "a")
        _git(repository, "switch", "--quiet", "--create", "other")
        _commit(repository, "b")
        _commit(repository, "c")
        assert baseline.choose(repository, {}) == baseline.Baseline(first, "where this branch left main")

    def test_the_branch_point_is_preferred_to_a_release(self, repository: Path):
        _commit(repository, "a")
        _git(repository, "tag", "v0.1.0")
        second = _commit(repository, "b")
        _git(repository, "switch", "--quiet", "--create", "other")
        _commit(repository, "c")
        assert baseline.choose(repository, {}).commit == second

    def test_the_last_release(self, repository: Path):
        _commit(repository, "a")
        _git(repository, "tag", "v0.1.0")
        second = _commit(repository, "b")
        _git(repository, "tag", "v0.2.0")
        _commit(repository, "c")
        _git(repository, "tag", "other")
        _commit(repository, "d")
        assert baseline.choose(repository, {}) == baseline.Baseline(second, "v0.2.0 is the last release")

    def test_a_release_is_compared_with_the_one_before(self, repository: Path):
        first = _commit(repository, "a")
        _git(repository, "tag", "v0.1.0")
        _commit(repository, "b")
        _git(repository, "tag", "v0.2.0")
        assert baseline.choose(repository, {}) == baseline.Baseline(first, "v0.1.0 is the last release")

    def test_the_variable_wins(self, repository: Path):
        first = _commit(repository, "a")
        _commit(repository, "b")
        _git(repository, "tag", "v0.1.0")
        _commit(repository, "c")
        chosen = baseline.choose(repository, {baseline.VARIABLE: "HEAD~2"})
        assert chosen == baseline.Baseline(first, "CPAPI_FAST_BASELINE=HEAD~2")

    @pytest.mark.parametrize("name", ["v9.9.9", "0" * 40, "--help", "HEAD:a"])
    def test_a_variable_that_names_nothing_here_is_no_verdict(self, repository: Path, name: str):
        _commit(repository, "a")
        with pytest.raises(GateError, match=r"CPAPI_FAST_BASELINE names .* fetch it"):
            baseline.choose(repository, {baseline.VARIABLE: name})

    def test_a_shallow_clone_is_no_verdict(self, repository: Path, tmp_path: Path):
        _commit(repository, "a")
        _commit(repository, "b")
        _git(tmp_path, "clone", "--quiet", "--depth=1", repository.as_uri(), "clone")
        with pytest.raises(GateError, match="fetch-depth: 0"):
            baseline.choose(tmp_path / "clone", {})

    def test_outside_of_git_it_is_no_verdict(self, tmp_path: Path):
        with pytest.raises(GateError, match="not a git checkout"):
            baseline.choose(tmp_path, {})


class TestWorkTree:
    def test_it_has_files_as_they_are_on_disk_and_leaves_the_index_alone(self, repository: Path):
        _commit(repository, "a", "old")
        (repository / ".gitignore").write_text("ignored\n")
        for name in ("a", "untracked", "ignored"):
            (repository / name).write_text("new")
        tree = trees.work_tree(repository)
        assert _git(repository, "ls-tree", "--name-only", tree).splitlines() == [".gitignore", "a", "untracked"]
        assert _git(repository, "show", f"{tree}:a") == "new"
        assert _git(repository, "diff", "--cached", "--name-only") == ""

    def test_copies_of_the_same_sources_share_a_folder(self, repository: Path):
        first = _commit(repository, "cpapi_fast/a.py")
        second = _commit(repository, "docs.md")
        third = _commit(repository, "cpapi_fast/a.py", "changed")
        paths = [trees.Copy(repository, commit).path for commit in (first, second, third)]
        assert paths[0] == paths[1] != paths[2]
        assert trees.Copy(repository, first, selftest.SEEDS).path != paths[0]


class TestTiming:
    BOUNDS = (verdict.Bound("slow", "floor", 2.0, "because"), verdict.Bound("fine", "floor", 2.0, "because"))

    def _failures(self, slow: Iterable[float]) -> tuple[list[str], list[list[str]]]:
        values, calls = iter(slow), []

        def measured(names: Iterable[str]) -> Counts:
            calls.append(list(names))
            times = {"slow": next(values), "fine": 1.0, "floor": 1.0}
            return Counts(times, times)

        return timing.failures(self.BOUNDS, measured), calls

    def test_what_is_beyond_its_limit_three_times_fails(self):
        lines, calls = self._failures([2.1, 3.0, 2.5])
        assert lines == ["slow costs 2.500 times floor (2.5 and 1.0 per frame), the limit is 2: because"]
        assert calls == [["slow", "floor", "fine"], ["slow", "floor"], ["slow", "floor"]]

    def test_what_is_within_it_once_passes(self):
        lines, calls = self._failures([9.0, 1.9])
        assert lines == []
        assert len(calls) == 2


class TestSelftest:
    SEED = selftest.SEEDS[0]

    @pytest.mark.parametrize("seed", selftest.SEEDS, ids=lambda seed: seed.file)
    def test_every_seed_finds_its_anchor_in_the_sources(self, seed: Seed, tmp_path: Path):
        source = Path(cpapi_fast.__path__[0]).parent / seed.file
        (tmp_path / seed.file).parent.mkdir(parents=True)
        (tmp_path / seed.file).write_text(source.read_text())
        seed.plant(tmp_path)
        assert len((tmp_path / seed.file).read_text()) > len(source.read_text())

    def test_a_seed_whose_anchor_is_gone_fails_loudly(self, tmp_path: Path):
        (tmp_path / self.SEED.file).parent.mkdir(parents=True)
        (tmp_path / self.SEED.file).write_text("moved on\n")
        with pytest.raises(GateError, match="finds its anchor 0 times"):
            self.SEED.plant(tmp_path)

    @pytest.mark.parametrize(
        ("after", "wrong"),
        [
            ({"a": 150.0, "b": 101.0, "c": 200.0}, []),
            ({"a": 101.0, "b": 101.0, "c": 200.0}, ["a passes with a seed"]),
            ({"a": 150.0, "b": 150.0, "c": 200.0}, ["b fails without a seed"]),
        ],
    )
    def test_a_seed_has_to_be_named_and_the_rest_spared(self, after: dict[str, float], wrong: list[str]):
        seed = replace(self.SEED, name="a seed", slower=frozenset({"a"}))
        before = Counts({"a": 100.0, "b": 100.0, "c": 100.0}, {})
        assert selftest.check_seeded([seed], frozenset({"b"}), before, Counts(after, {})) == wrong

    def test_two_runs_on_one_tree_have_to_agree(self):
        before = Counts({"a": 1000.0, "b": 1000.0}, {})
        assert selftest.check_same(before, Counts({"a": 1004.0, "b": 1000.0}, {})) == []
        assert len(selftest.check_same(before, Counts({"a": 1006.0, "b": 1000.0}, {}))) == 1
        assert len(selftest.check_same(before, Counts({"a": 1060.0, "b": 1000.0}, {}))) == 2
