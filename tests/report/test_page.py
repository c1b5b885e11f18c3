import re
from collections.abc import Callable
from pathlib import Path

import html5lib
import numpy as np
import pytest
from numpy.typing import NDArray

import seviz
from seviz.errors import WriteError
from seviz.report.page import page, report
from seviz.run.store import Run
from tests.made_runs import make_run
from tests.report.pages import Page

NASTY = "<script>alert(1)</script>"
RISING = {"SE_2_1": 0.1, "SE_3_1": 1.0, "SE_4_1": 4.0}
NAMED = ("cat", "frog", "ship")
Made = Callable[..., tuple[Run, str]]


def planted(
    labels: NDArray[np.int64], strengths: dict[str, float], channels: int = 12
) -> dict[str, NDArray[np.float64]]:
    """Gates whose class means differ so strongly, block by block."""
    random = np.random.default_rng(0)
    of_class = random.normal(size=(labels.max() + 1, channels))
    noise = {block: random.normal(size=(len(labels), channels)) for block in strengths}
    return {
        block: 1 / (1 + np.exp(-(noise[block] + strength * of_class[labels]))) for block, strength in strengths.items()
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A run of three classes and its page, the same for the same arguments."""
    known = dict[str, tuple[Run, str]]()

    def made(strengths: dict[str, float] = RISING, *, title: str | None = None, **options: object) -> tuple[Run, str]:
        key = repr((strengths, title, options))
        if key not in known:
            labels = np.arange(120) % 3
            path = tmp_path_factory.mktemp("run") / "run"
            run = make_run(path, planted(labels, strengths), labels, **options)  # type: ignore[arg-type]
            known[key] = (run, page(run, title=title))
        return known[key]

    return made


def test_a_page_is_valid_and_refers_to_nothing_outside(made: Made) -> None:
    _, markup = made(failed=(3, 5), classes=NAMED)
    html5lib.HTMLParser(strict=True).parse(markup)
    shown = Page(markup)
    assert shown.problems == []
    ids = [attributes["id"] for _, attributes in shown.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in shown.elements:
        for name in ("src", "srcset", "data", "action", "xlink:href", "poster"):
            assert attributes.get(name, "data:").startswith("data:")
    assert not shown.of("link")
    assert {a["href"] for a in shown.of("a")} == {"https://doi.org/10.1109/TPAMI.2019.2913372"}
    style = "".join(re.findall(r"<style>(.*?)</style>", markup, re.DOTALL))
    assert "@import" not in style
    assert "url(" not in style
    assert all(reference.startswith("#") for reference in re.findall(r"url\(([^)]+)\)", markup))
    assert len(markup.encode()) < 5_000_000


def test_every_picture_and_table_has_words(made: Made) -> None:
    shown = Page(made()[1])
    figures = shown.of("svg") + shown.of("img")
    assert len(figures) == 7
    ids = {attributes["id"] for _, attributes in shown.elements if "id" in attributes}
    for attributes in figures:
        assert attributes.get("alt") or set(attributes["aria-labelledby"].split()) <= ids
    assert len(shown.of("caption")) == len(shown.of("table")) == 3
    for attributes in shown.of("th"):
        assert attributes["scope"] in ("row", "col")


def test_it_says_what_was_run_and_how_to_make_it_again(made: Made) -> None:
    run, markup = made(failed=(3, 5), classes=NAMED)
    text = Page(markup).text
    assert text.startswith(
        " tests/made on made tests/made on made 3 SE blocks · 120 images (118 ok, 0 coerced, 2 failed)"
    )
    assert f"seviz capture tests/made made -o {run.path} --keep-gates all --device cpu --compile off" in text
    assert f"seviz report {run.path} -o report.html" in text
    assert "2 of 120 images failed; `samples` says which and why." in text
    assert "000003.png" in text
    assert "made to fail" in text
    assert "Squeeze-and-Excitation Networks. IEEE Transactions" in text


def test_remarks_stand_before_all_else(made: Made) -> None:
    text = Page(made(trained=False)[1]).text
    remark = "The weights of the SE blocks are untrained: the gates say nothing of learned features."
    assert text.index(remark) < text.index("What the gates say")
    assert "Before you believe it" not in Page(made()[1]).text


def test_the_headline_changes_with_the_run(made: Made) -> None:
    rising = Page(made()[1]).text
    assert re.search(r"rises with depth, from -?0\.0\d at SE_2_1 .* to 0\.[6-9]\d at SE_4_1", rising)
    assert "It rises with depth." in rising
    falling = Page(made({"SE_2_1": 4.0, "SE_3_1": 1.0, "SE_4_1": 0.1})[1]).text
    assert "falls with depth, from 0." in falling
    assert "It falls with depth." in falling
    level = Page(made(dict.fromkeys(("SE_2_1", "SE_3_1"), 1.0))[1]).text
    assert "is about the same in all blocks" in level
    nothing = Page(made({"SE_2_1": 0.0, "SE_3_1": 0.0})[1]).text
    assert "In no block more of the gates' variance lies between classes than chance makes" in nothing
    assert "not read off better than by a guess" in nothing


def test_untrained_weights_claim_no_class_specificity(made: Made) -> None:
    text = Page(made(trained=False)[1]).text
    said = text[text.index("accuracy:") : text.index("Figures")]
    assert "untrained, so that their gates learned nothing" in said
    for claim in ("rises with depth", "most class-specific block", "towards class-specific"):
        assert claim not in said
    assert "untrained SE weights" in text[text.index("Figures") :]


def test_what_comes_from_the_run_is_escaped(made: Made) -> None:
    _, markup = made(classes=(NASTY, 'a"b&c $\\x$ \x01 鱼', "<img src=http://evil.example>"), title=NASTY)
    shown = Page(markup)
    assert shown.problems == []
    assert len(shown.of("script")) == 1
    assert not [attributes for attributes in shown.of("img") if "evil" in attributes.get("src", "")]
    assert shown.text.startswith(f" {NASTY} {NASTY} ")
    assert NASTY in shown.text[100:]


def test_the_script_is_the_only_one_that_a_browser_runs(made: Made) -> None:
    policy = next(meta["content"] for meta in Page(made()[1]).of("meta") if "http-equiv" in meta)
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy
    assert "unsafe" not in policy.replace("style-src 'unsafe-inline'", "")


def test_the_same_run_gives_the_same_bytes_and_tables_are_not_computed_twice(made: Made) -> None:
    run, first = made()
    assert list((run.path / "tables").glob("decoding-*.parquet"))
    told = list[str]()
    assert page(Run(run.path), tell=told.append) == first
    assert not [message for message in told if message.startswith("computing")]
    assert "drawing depth" in told


def test_a_run_that_cannot_be_written_to_is_reported_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.arange(120) % 3
    run, told = make_run(tmp_path / "run", planted(labels, RISING), labels), list[str]()
    monkeypatch.setattr("os.access", lambda *_: False)
    assert "rises with depth" in page(run, tell=told.append)
    assert "computing specificity" in told
    assert not (run.path / "tables").exists()


def test_a_network_of_untrained_weights_on_real_images(tmp_path: Path) -> None:
    network = seviz.load("seviz/seresnet50-cifar10", weights="none")
    with pytest.warns(UserWarning, match="untrained"):
        run = seviz.collect(network, "bundled", tmp_path / "run", per_class=4, batch_size=20)
    text = Page(page(run)).text
    assert "this is what random weights make of images that look different, and no learned class specificity" in text
    assert "most class-specific block is" not in text
    assert "--weights none" in text


@pytest.mark.parametrize(
    ("images", "classes", "blocks", "several", "kept"),
    [
        (1, 1, 1, False, 1),
        (1, 1, 2, True, 0),
        (2, 1, 2, False, 1),
        (2, 2, 1, False, 1),
        (30, 1, 2, False, 1),
        (30, 3, 1, False, 1),
        (30, 3, 2, False, 0),
        (30, 3, 2, False, 2),
        (30, 3, 2, True, 1),
        (30, 3, 1, True, 0),
    ],
)
def test_odd_runs_have_a_page(tmp_path: Path, images: int, classes: int, blocks: int, several: bool, kept: int) -> None:
    """Few images or none; one class, and one without images; one block; gates kept of none, all or every second."""
    labels = np.arange(images) % classes
    gates = planted(labels, dict.fromkeys(("SE_2_1", "SE_3_1")[:blocks], 2.0), channels=4)
    names = [f"class{k}" for k in range(classes + 1)]
    given = labels[:, None] == np.arange(classes + 1) if several else labels
    chosen = np.arange(images) % kept == 0 if kept else np.zeros(images, bool)
    shown = Page(page(make_run(tmp_path / "run", gates, given, classes=names, kept=chosen)))
    assert shown.problems == []
    assert ("Not known: " in shown.text) == (kept == 0)
    assert "nan" not in shown.text


def test_gates_that_are_constant_and_images_that_all_failed_have_a_page(tmp_path: Path) -> None:
    labels = np.arange(12) % 3
    constant = make_run(tmp_path / "constant", {"SE_2_1": np.full((12, 4), 0.5), "SE_2_2": np.ones((12, 4))}, labels)
    text = Page(page(constant)).text
    assert "no gate varies, or no class has two images" in text
    assert "SE_2_2 is near the identity" in text
    assert "8 of all 8 channels have the same gate for every image" in text
    gates = planted(labels, {"SE_2_1": 1.0})
    failed = Page(page(make_run(tmp_path / "failed", gates, labels, failed=range(12)))).text
    assert "How class-specific gates are cannot be told: no image is left." in failed
    assert "12 failed" in failed


def test_it_is_written_whole_or_not_at_all(made: Made, tmp_path: Path) -> None:
    run, markup = made()
    path = report(run, tmp_path / "new" / "report.html")
    assert path.read_text() == markup
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"is a file. Give another place"):
        report(run, tmp_path / "file" / "report.html")


def test_a_page_of_many_blocks_and_classes_is_small_enough(tmp_path: Path) -> None:
    random, labels = np.random.default_rng(0), np.arange(160) % 40
    gates = {f"SE_{2 + k // 10}_{1 + k % 10}": random.random((160, 8)) for k in range(30)}
    run = make_run(tmp_path / "run", gates, labels, classes=[f"a rather long class name {k}" for k in range(40)])
    assert len(page(run).encode()) < 5_000_000
