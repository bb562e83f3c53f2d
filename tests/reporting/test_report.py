"""The report of a run: complete, honest, self-contained, and the same for the same run."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from labram import recipe as recipes
from labram.evaluation.record import Evaluation
from labram.registry.gates import Gate, Verdict
from labram.reporting import plots, run_report
from labram.reporting.run_report import RunRecord

MakeRun = Callable[..., RunRecord]
CAUTION = "shows that the pipeline works; not a scientific result"


def page_of(record: RunRecord, folder: Path) -> str:
    return run_report.write(record, folder / "report.html").read_text(encoding="utf-8")


def text_of(page: str) -> str:
    """What a reader sees: no markup, single spaces."""
    body = re.sub(r"<(style|svg)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


@pytest.fixture(scope="module")
def page(finished: RunRecord, tmp_path_factory: pytest.TempPathFactory) -> str:
    return page_of(finished, tmp_path_factory.mktemp("page"))


@pytest.fixture
def words_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are composed but not painted, which takes most of the time."""
    monkeypatch.setattr(plots, "markup", lambda _, *, name, alt: f'<svg id="{name}-figure_1"><!--{len(alt)}--></svg>')


def test_the_same_run_gives_the_same_bytes(finished: RunRecord, page: str, tmp_path: Path) -> None:
    assert page_of(finished, tmp_path) == page


def test_nothing_is_loaded_from_anywhere(page: str) -> None:
    references = re.findall(r"""(?:\b(?:src|href|srcset|data|action)\s*=\s*|url\(|@import\s+)["']?([^"'\s)>]+)""", page)
    assert references
    assert [found for found in references if not found.startswith(("#", "data:"))] == []
    assert "<script" not in page


def test_it_is_small(page: str) -> None:
    assert len(page.encode()) < 3_000_000


def test_it_names_no_path_of_the_machine(finished: RunRecord, page: str) -> None:
    assert finished.corpus is not None
    assert str(finished.corpus.parent) not in page
    assert str(Path.home()) not in page


def test_what_went_in_is_counted(page: str) -> None:
    text = text_of(page)
    assert "30 recordings: 27 accepted and 3 quarantined" in text
    assert "FP1 FP2 F7 F3" in text
    for dataset in ("eegmat", "ssvep_exo", "muse"):
        assert dataset in text


def test_refused_recordings_are_listed_with_every_reason(page: str) -> None:
    text = text_of(page)
    assert "3 recordings of 30 were quarantined" in text
    for recording, reasons in {"063": "gaps", "064": "duplicate_format", "065": "flat, too_short"}.items():
        assert re.search(rf"muse-0+{recording} csv – {reasons}", text)


def test_what_was_put_up_with_is_counted(page: str) -> None:
    text = text_of(page)
    assert "line noise 3 Recordings with a warning are used." in text
    assert "wrong response 12" in text
    assert "no gaps gap_seconds at most 1 critical 1" in text


@pytest.mark.usefixtures("words_only")
def test_a_long_corpus_title_gives_way_to_the_names_of_the_datasets(finished: RunRecord, tmp_path: Path) -> None:
    page = page_of(replace(finished, corpus_title=9 * "Recordings "), tmp_path)
    assert "Real recordings eegmat, eegmmidb, ssvep_exo, uci_smni, muse" in text_of(page)


def test_every_stage_has_its_figures(page: str) -> None:
    for name in ("hours", "tokenizer-curves", "codebook", "spectra", "pretraining-curves"):
        assert f'id="{name}-figure_1"' in page
    for task, outcome in {"workload": "confusion", "ssvep": "baseline-confusion", "reaction_time": "scatter"}.items():
        for figure in (outcome, "intervals", "curves"):
            assert f'id="{task}-{figure}-figure_1"' in page


def test_where_a_training_was_interrupted_stands_in_its_curves(page: str) -> None:
    assert page.count("Vertical: interrupted and resumed at step 80, 210.") == 1


def test_codes_in_use_are_told_by_dataset(page: str) -> None:
    assert "By dataset: eegmat 120 codes (perplexity 50.3), muse 1 code (perplexity 1.0)." in page


def test_every_figure_says_what_it_shows_to_who_cannot_see_it(page: str) -> None:
    figures = re.findall(r"<figure class.*?</figure>", page, flags=re.DOTALL)
    assert len(figures) > 10
    for figure in figures:
        assert re.search(r'<(svg[^>]*?aria-label|img[^>]*?alt)="[^"]{20,}"', figure)
        assert "<figcaption>" in figure


def test_no_two_elements_share_an_identifier(page: str) -> None:
    identifiers = re.findall(r'\sid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))


def test_every_link_leads_somewhere(page: str) -> None:
    identifiers = set(re.findall(r'\sid="([^"]+)"', page))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', page)) <= identifiers


@pytest.mark.parametrize("simulated", [True, False])
@pytest.mark.usefixtures("words_only")
def test_every_section_head_says_which_corpus_it_is_about(finished: RunRecord, tmp_path: Path, simulated: bool) -> None:
    record = replace(finished, simulated=simulated, corpus_title="a corpus of seven words, no more")
    heads = re.findall(r'<div class="head">.*?</div>', page_of(record, tmp_path), flags=re.DOTALL)
    assert len(heads) == 10
    for head in heads:
        text = text_of(head)
        assert (CAUTION in text) == simulated
        assert ("a corpus of seven words, no more" in text) != simulated


@pytest.mark.usefixtures("words_only")
def test_a_simulated_corpus_is_announced_before_any_number(make_run: MakeRun, tmp_path: Path) -> None:
    text = text_of(page_of(make_run(simulated=True), tmp_path))
    assert text.index("not a scientific result") < text.index("95 % CI")


def test_a_model_that_beats_the_baseline_is_said_to(page: str) -> None:
    assert "LaBraM significantly beats the baseline on workload, ssvep and reaction_time." in text_of(page)


@pytest.mark.usefixtures("words_only")
def test_a_model_that_does_not_is_said_not_to(make_run: MakeRun, tmp_path: Path) -> None:
    text = text_of(page_of(make_run(skill=0.0), tmp_path))
    assert "LaBraM does not beat the baseline on any task." in text
    assert "LaBraM beats the baseline" not in text
    assert "it is not significantly better than chance" in text
    assert text.count("does not beat the baseline") == 7  # summary; badge and sentence of three tasks


@pytest.mark.usefixtures("words_only")
def test_recordings_that_training_has_seen_are_pointed_out(make_run: MakeRun, tmp_path: Path) -> None:
    record = make_run()
    path = record.tasks["ssvep"] / "evaluation.json"
    Evaluation.read(path).model_copy(update={"overlap": 2}).write(path)
    assert "Warning: training used 2 of these recordings." in text_of(page_of(record, tmp_path))


def failed(model: str, gate: str, detail: str, **figures: str) -> Verdict:
    judged = Gate(name=gate, passed=False, detail=detail, figures=figures)
    return Verdict(model=model, version="1", champion=None, gates=(judged,))


def test_a_promotion_is_the_verdict(page: str) -> None:
    text = text_of(page)
    assert "promoted All 5 gates passed. Promoted: labram-workload version 1" in text


@pytest.mark.usefixtures("words_only")
def test_a_failed_gate_is_the_verdict_and_names_its_gate(finished: RunRecord, tmp_path: Path) -> None:
    record = replace(
        finished,
        verdicts=[*finished.verdicts, failed("labram-workload", "metric", "AUROC fell by 0.081")],
        promotions=(),
    )
    text = text_of(page_of(record, tmp_path))
    assert "not promoted 1 of 6 gates failed (labram-workload: metric). No alias moved." in text
    assert "AUROC fell by 0.081" in text
    assert "failed: metric" in text


def test_text_from_outside_cannot_become_markup(make_run: MakeRun, tmp_path: Path) -> None:
    evil = '<script>alert("x")</script>$\\frac$'
    record = make_run()
    path = record.tasks["workload"] / "evaluation.json"
    Evaluation.read(path).model_copy(update={"classes": (evil, "b"), "notes": (evil,)}).write(path)
    record = replace(
        record,
        run_name=evil,
        corpus_title=evil,
        stopped=evil,
        lineage={evil: evil},
        verdicts=[failed(evil, evil, evil, **{evil: evil})],
    )
    page = page_of(record, tmp_path)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_lineage_is_complete_and_commands_can_be_copied(finished: RunRecord, page: str) -> None:
    text = text_of(page)
    for value in finished.lineage.values():
        assert value == "false" or value in text
    assert "labram evaluate models:/labram-workload/1 --task workload --data &#34;$DATA&#34; --workspace ." in text


@pytest.mark.usefixtures("words_only")
def test_uncommitted_changes_are_admitted(finished: RunRecord, tmp_path: Path) -> None:
    record = replace(finished, lineage={**finished.lineage, "git_dirty": "true"})
    assert "its commit alone does not reproduce this run" in text_of(page_of(record, tmp_path))


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("corpus", "the corpus is unknown"),
        ("tokenizer", "No tokenizer was trained in this run."),
        ("backbone", "No model was pre-trained in this run."),
        ("ssvep", "The task ssvep was not fine-tuned in this run."),
        ("ssvep/evaluation.json", "The task ssvep was fine-tuned but not evaluated in this run."),
        ("tokenizer/codebook.json", "Codebook usage was not recorded."),
        ("tokenizer/examples.npz", "The tokenizer maps every patch"),
    ],
)
@pytest.mark.usefixtures("words_only")
def test_what_is_missing_is_said_in_a_sentence(make_run: MakeRun, tmp_path: Path, missing: str, sentence: str) -> None:
    record = make_run()
    path = tmp_path / "run" / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert sentence in text_of(page_of(record, tmp_path))


@pytest.mark.usefixtures("words_only")
def test_a_run_that_never_started_has_a_report(tmp_path: Path) -> None:
    record = RunRecord(
        run_name="demo-1",
        run_id="",
        started="",
        finished="",
        recipe=recipes.load("demo"),
        corpus_title="nothing yet",
        simulated=True,
        stopped="The corpus folder is empty.",
    )
    text = text_of(page_of(record, tmp_path))
    assert "stopped early The corpus folder is empty." in text
    assert "No gate was evaluated" in text
    assert text.count("not evaluated") >= len(record.recipe.tasks)


@pytest.mark.usefixtures("words_only")
def test_a_history_cut_short_by_a_kill_is_read_up_to_there(make_run: MakeRun, tmp_path: Path) -> None:
    record = make_run()
    assert record.backbone is not None
    path = record.backbone / "history.jsonl"
    steps = record.recipe.pretraining.steps
    path.write_text(path.read_text() + f'{{"step": {steps + 10}, "loss": NaN}}\n{{"step": {steps + 20}, "lo')
    assert f"It was trained for {steps + 10} of {steps} steps." in text_of(page_of(record, tmp_path))
