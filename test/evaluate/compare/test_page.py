"""The page of a comparison: every number of it, claims beside their tests, nothing from elsewhere."""

import io
import os
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from so_arm_policy.cli import main
from so_arm_policy.evaluate.compare.comparison import RESULTS, TIMING
from so_arm_policy.evaluate.compare.page.choice import representatives
from so_arm_policy.evaluate.compare.page.clips import FOLDER, MOST_BYTES, clips, small
from so_arm_policy.evaluate.compare.page.figures import SUCCESS_PNG, TIMES_PNG, write_figures
from so_arm_policy.evaluate.compare.page.lines import glances
from so_arm_policy.evaluate.compare.page.page import FILE_NAME, Made, write_page
from so_arm_policy.evaluate.compare.page.provenance import ranges, seeds_of
from so_arm_policy.evaluate.compare.rows import EpisodeRow, TimingRow
from so_arm_policy.evaluate.compare.run import Settings
from so_arm_policy.evaluate.compare.summary import compare_pairs, summarise
from so_arm_policy.evaluate.compare.table import read_rows, write_rows

ARGUMENTS = ["--tasks", "reach", "--controllers", "hold", "pid", "expert", "--seeds", "20:23", "--jobs", "1"]
MADE = Made(command="so-arm compare", settings=Settings())


class Page(HTMLParser):
    """Rows of all tables as lists of texts, every address, and every tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self.pictures: list[dict[str, str | None]] = []
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset")]
        if tag in ("img", "svg"):
            self.pictures.append(dict(attrs))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[-1][-1] = f"{self.rows[-1][-1]} {data}".strip()

    def table_row(self, controller: str) -> list[str]:
        """Return the row of the table of figures that begins with the name."""
        (found,) = [row for row in self.rows if row and row[0].split()[:1] == [controller] and len(row) == 13]
        return [cell.replace("−", "-") for cell in found]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny comparison with its page."""
    out = tmp_path_factory.mktemp("compared")
    assert main(["compare", "--out", str(out), *ARGUMENTS, "--figures", str(out / "figures")]) == 0
    return out


@pytest.fixture
def rows(made: Path) -> list[EpisodeRow]:
    return read_rows(made / RESULTS, EpisodeRow)


def test_the_page_holds_the_numbers_of_every_row(made: Path, rows: list[EpisodeRow]) -> None:
    page = Page((made / FILE_NAME).read_text(encoding="utf-8"))
    timing = read_rows(made / TIMING, TimingRow)
    for cell in summarise(rows, timing):
        name, sees, success, *values = page.table_row(cell.controller)
        family = next(row.family for row in rows if row.controller == cell.controller)
        assert (name.split(), sees) == ([cell.controller, family], cell.sees)
        assert f"{cell.successes}/{cell.episodes}" in success
        rate = 100 * cell.successes / cell.episodes
        assert f"{rate:.1f} % ({100 * cell.low:.1f} to {100 * cell.high:.1f})" in success
        figures = [(cell.time_s, 2), (cell.smoothness, 2), (cell.sparc, 2), (cell.energy_j, 2)]
        figures += [(cell.clamps, 1), (cell.rejects, 1), (cell.holds, 1)]
        assert [value.split()[0] for value in values[:7]] == [
            "–" if number is None else f"{number:.{digits}f}" for number, digits in figures
        ]
        cpu = [clock.cpu_s for clock in timing if clock.controller == cell.controller]
        assert values[-1] == f"{sum(cpu) / len(cpu):.2f}"


def test_three_seeds_are_no_verdict_and_each_claim_has_its_test(made: Path, rows: list[EpisodeRow]) -> None:
    text = (made / FILE_NAME).read_text(encoding="utf-8")
    assert "No difference found." in text
    assert "wins" not in text
    couples = compare_pairs(rows)
    page = Page(text)
    assert not any("★" in cell for row in page.rows for cell in row)
    for couple in couples:
        (row,) = [row for row in page.rows if len(row) == 10 and {couple.a, couple.b} == set(row[0].split(" − "))]
        judged = couple.judged
        assert row[1] == "not distinguishable"
        assert f"{100 * abs(judged.difference):.1f}" in row[2]
        assert sorted(row[3].split(" : ")) == sorted([str(judged.pairs.only_a), str(judged.pairs.only_b)])
        assert row[4:8] == ["3", f"{judged.p:.2g}", f"{judged.p_holm:.2g}", f"{judged.p_anytime:.2g}"]
    assert text.count('<li><span class="same">not distinguishable</span>') == 2
    assert "10 points takes" in text


def test_a_glance_shows_every_rate_and_leaves_out_what_was_not_run(made: Path, rows: list[EpisodeRow]) -> None:
    elsewhere = [replace(row, task="track", success=row.seed == 20) for row in rows if row.controller != "pid"]
    cells = summarise([*rows, *elsewhere], [])
    lines = glances(["reach", "track"], cells)
    assert [line.controller for line in lines][-1] == "pid"
    for line in lines:
        assert line.cells == tuple(
            next((c for c in cells if (c.task, c.controller) == (task, line.controller)), None)
            for task in ("reach", "track")
        )
    page = Page((made / FILE_NAME).read_text(encoding="utf-8"))
    shown = {row[0]: row[1].replace("\xa0", " ") for row in page.rows if len(row) == 2}
    rates = {c.controller: f"{100 * c.successes / c.episodes:.0f} %" for c in cells if c.task == "reach"}
    assert {name: text for name, text in shown.items() if name in rates} == rates


def test_the_page_needs_nothing_else_and_says_what_its_pictures_show(made: Path) -> None:
    text = (made / FILE_NAME).read_text(encoding="utf-8")
    page = Page(text)
    assert "://" not in text
    assert not page.tags & {"script", "link", "iframe", "object"}
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    assert len(page.pictures) == 4 + 3
    assert all(picture.get("alt") or picture.get("aria-label") for picture in page.pictures)
    assert "so-arm compare --tasks reach --controllers hold pid expert --seeds 20:23" in text
    assert 'id="demonstrations"' not in text


def test_the_results_are_as_without_a_page(made: Path, tmp_path: Path) -> None:
    assert main(["compare", "--out", str(tmp_path), *ARGUMENTS, "--no-clips"]) == 0
    assert (tmp_path / RESULTS).read_bytes() == (made / RESULTS).read_bytes()
    before = {name: (made / name).read_bytes() for name in (RESULTS, TIMING)}
    write_page(made, read_rows(made / RESULTS, EpisodeRow), read_rows(made / TIMING, TimingRow), MADE)
    assert {name: (made / name).read_bytes() for name in before} == before
    assert not (tmp_path / FOLDER).exists()
    assert 'id="clips"' not in (tmp_path / FILE_NAME).read_text(encoding="utf-8")


def test_names_and_reasons_are_text_not_html(rows: list[EpisodeRow], tmp_path: Path) -> None:
    bad = '<script>$x_1$</script>&"'
    odd = [
        replace(row, controller=bad, failure_reason=f"error: {bad}", bundle=bad) if row.controller == "hold" else row
        for row in rows
    ]
    write_rows(tmp_path / RESULTS, odd, EpisodeRow)
    told = Made(command=f"so-arm {bad}", settings=Settings(), left_out=(bad,))
    text = write_page(tmp_path, odd, [], told).read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;$x_1$&lt;/script&gt;&amp;" in text
    assert "script" not in Page(text).tags


def test_a_winner_is_named_where_the_test_says_so(rows: list[EpisodeRow], tmp_path: Path) -> None:
    """The rows of three seeds, as if they were thirty; the expert a second quicker than it was, so that it is best."""
    many = [
        replace(row, seed=row.seed + 100 * i, time_s=row.time_s and row.time_s - (row.controller == "expert"))
        for i in range(10)
        for row in rows
        if row.controller != "pid"
    ]
    write_rows(tmp_path / RESULTS, many, EpisodeRow)
    text = write_page(tmp_path, many, [], MADE).read_text(encoding="utf-8")
    assert "expert wins: 30 of 30 (100.0 %)." in text
    assert "expert beats hold by 100.0 points." in text
    assert "discordant 30 : 0 of 30 seeds" in text
    row = Page(text).table_row("expert")
    assert "30/30 ★" in row[2]
    assert "★" not in "".join(row[3:])


def test_the_figures_are_pictures_and_the_same_each_time(made: Path, rows: list[EpisodeRow], tmp_path: Path) -> None:
    cells = summarise(rows, [])
    paths = write_figures(tmp_path / "new", cells, rows)
    assert [path.name for path in paths] == [SUCCESS_PNG, TIMES_PNG]
    for path in paths:
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert picture.width > 1000
        assert path.read_bytes() == (made / "figures" / path.name).read_bytes()


def test_clips_are_small_loop_and_are_made_once(made: Path, rows: list[EpisodeRow]) -> None:
    chosen = representatives(rows, 99)
    assert [(choice.row.controller, choice.row.success, choice.of) for choice in chosen] == [
        ("expert", True, 3),
        ("hold", False, 3),
        ("pid", True, 3),
    ]
    stamps = {path: os.stat(path).st_mtime_ns for path in (made / FOLDER).iterdir()}
    assert len(stamps) == 3
    for clip in clips(chosen, Settings(), made / FOLDER):
        assert clip.webp is not None
        assert len(clip.webp) <= MOST_BYTES
        with Image.open(io.BytesIO(clip.webp)) as picture:
            assert (picture.format, picture.size, picture.info["loop"]) == ("WEBP", (320, 240), 0)
            assert picture.n_frames > 1
    assert {path: os.stat(path).st_mtime_ns for path in (made / FOLDER).iterdir()} == stamps


def test_an_episode_that_comes_out_differently_is_not_shown(rows: list[EpisodeRow], tmp_path: Path) -> None:
    chosen = representatives([replace(row, digest="0" * 64) for row in rows if row.controller == "expert"], 1)
    (clip,) = clips(chosen, Settings(), tmp_path)
    assert clip.webp is None
    assert "expected 000000000000" in clip.problem
    assert not any(tmp_path.iterdir())
    gone = replace(chosen[0], row=replace(chosen[0].row, controller="gone"))
    (clip,) = clips([gone], Settings(), tmp_path)
    assert "got 'gone'" in clip.problem
    write_rows(tmp_path / RESULTS, rows, EpisodeRow)
    page = write_page(tmp_path, rows, [], MADE, list(clips(chosen, Settings(), tmp_path)))
    assert "not shown: run again: got digest" in page.read_text(encoding="utf-8")


def test_the_median_stands_for_all_and_of_equals_the_lowest_seed(rows: list[EpisodeRow]) -> None:
    one = next(row for row in rows if row.success)
    ticks = {9: 100, 8: 200, 7: 200, 6: 900, 5: 180}
    chosen = representatives([replace(one, seed=seed, ticks=count) for seed, count in ticks.items()], 5)
    assert [(choice.row.seed, choice.of) for choice in chosen] == [(7, 5)]
    assert representatives([replace(one, digest=None)], 5) == []
    both = [replace(one, success=False), replace(one, seed=1)]
    assert [choice.row.success for choice in representatives(both, 1)] == [True]
    assert [choice.row.success for choice in representatives(both, 2)] == [False, True]
    assert representatives(both, 0) == []


def test_a_clip_is_made_as_small_as_is_asked() -> None:
    pictures = list(_moving(40))
    large, little = small(pictures, 10_000_000), small(pictures, len(small(pictures, 10_000_000)) // 2)
    assert len(little) <= len(large) // 2
    with Image.open(io.BytesIO(large)) as picture:
        assert picture.n_frames == 40


@pytest.mark.parametrize(
    ("seeds", "text"),
    [([3, 1, 2], "1:4"), ([5], "5"), ([1, 2, 9, 4], "1:3, 4, 9"), ([7, 7], "7"), ([], "")],
)
def test_seeds_in_few_words(seeds: list[int], text: str) -> None:
    assert ranges(seeds) == text


def test_controllers_of_the_same_seeds_are_told_together(rows: list[EpisodeRow]) -> None:
    assert seeds_of(rows) == {"reach: expert, hold, pid": "20:23"}
    assert seeds_of(rows[1:]) == {"reach: expert": "21:23", "reach: hold, pid": "20:23"}


def test_bad_numbers_of_clips_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--out", str(tmp_path), *ARGUMENTS, "--clips", "-1"]) == 2
    assert "--clips: got -1, expected at least 0" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def _moving(count: int) -> Iterator[Image.Image]:
    """Yield noise that lies otherwise in each picture: nothing is the same as before."""
    noise = Image.effect_noise((160, 120), 60).convert("RGB")
    for i in range(count):
        yield noise.transform(noise.size, Image.Transform.AFFINE, (1, 0, i, 0, 1, 2 * i))
