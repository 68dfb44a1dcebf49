"""What pages promise is tested, and by which test; what pages link to is there.

Every paragraph and every bullet of a section named in ``SECTIONS`` has a promise.
"""

# ruff: noqa: E501  # a promise and its test stand in one line

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import scipy.special

import jitad

ROOT = next(p for p in Path(__file__).parents if (p / "pyproject.toml").exists())
DOCS = ".github/docs"
PAGES = ["README.md", *sorted(f"{DOCS}/{p.name}" for p in (ROOT / DOCS).glob("*.md"))]

# A phrase of a page, and the tests that would fail if it were not so.
PROMISES = {
    "README.md": {
        "the second installs it and runs the tests": "its_commands_are_the_ones_that_ci_runs",
        "fits eight certified regression problems": "the_packaged_eight_are_fitted",
        "a call of a signature met before": "its_examples",
        "what `f` prints it prints once": "its_examples",
        "return a function that is called as `f` is": "functions_say_what_they_take_and_return",
        "says which mode was taken and why": "the_reason_of_a_choice",
        "holds all modes against each other": "a_mode_that_differs_is_caught",
        "against the interpreter": "a_back_end_that_differs_is_caught",
        "against finite differences": "a_planted_rule_is_caught",
        "notes kinks that x lies on": "corners_are_noted",
        "`jitad.graph(f, x, values=True)` prints": "the_text_with_values",
        "in a folder of yours alone": "a_folder_open_to_others_is_not_read",
        "says where and how much, or why nothing is": "info_says_why_nothing_is_kept",
        "compiles only what is new": "what_was_made_is_found_again",
        "`jitad.jit(J, cache=False)` keeps nothing": "nothing_is_kept_where_it_is_not_wanted",
        "with `JITAD_CACHE=0` in its environment": "the_environment_can_say_that_nothing_is_kept",
        "`jitad.cache_clear()` removes all": "all_is_removed_but_what_others_put_there",
        "Code is made quickly at first": "code_is_made_again_when_it_has_run_long",
        '`jitad.jit(J, compile="full")`': "the_other_efforts_make_code_once",
        '`jitad.jit(J, compile="fast")`': "both_give_the_same_bits",
        "What takes longer than five seconds": "what_takes_long_is_told_of_once",
        "Ctrl-C ends it at once": "an_interrupt_ends_the_wait_at_once",
        "`jitad jacobian module:function inputs.npy outputs.npy`": "jacobian_of_files",
        "`examples/` has": "an_example_runs_as_a_script",
        "(`|x|'` is 0 at 0)": "derivative",
        "what `where` does not take contributes exactly 0": "untaken_branches_give_exact_zeros",
        "Forward, reverse and cross-country agree": "the_orders_agree",
        "the same bits for any number of threads": "results_do_not_depend_on_threads_or_place",
        "Inputs are never modified": "results_are_written_to_arrays_apart",
        "They compile in a time that does not depend on their length": "the_graph_does_not_grow_with_the_length",
        "so are Python loops of": "what_cannot_be_read_is_run",
        "some hundred thousand scalar operations": "too_much_for_one_point_is_refused",
        "as few passes over memory as there have to be": "the_passes_are_explained",
        "their text is run on the host": "edges_in_loops",
    },
    f"{DOCS}/coverage.md": {
        "The rules are stated and tested in every mode": "derivative",
        "where it is infinite": "a_gate_is_a_strong_zero_and_a_product_is_not",
        "takes one side of all kinks": "pairs_of_modes",
        "even functions of norms are exact": "hessian",
        "differences in hundreds of digits": "of_mpmath",
        "any place in a batch": "results_do_not_depend_on_threads_or_place",
        "64 paths through its Python branches": "sixty_four_paths_are_the_most",
        "of about twice the root of that many": "reverse_mode_needs_no_bound",
        "runs ten million iterations": "a_loop_that_never_ends_has_no_number",
        "keeps its arrays whole": "gradients_are_those_of_points",
        "at most 400,000 entries": "what_is_too_large_is_refused",
        "at least 0.4 of the largest is positive": "signs_of_eigenvectors_follow_a_rule",
        "The derivative of `zeta` in its first argument is refused": "zeta_has_no_derivative_in_its_first_argument",
        "raises LinAlgError on the CPU": "a_point_raises_as_numpy_and_a_batch_has_nan",
        "its handler runs for such points alone": "handlers_run_where_numpy_runs_them",
        "may be NaN in other places than there": "what_is_nan_of_nan_entries_in_numpy_is_nan",
        "A loop over such arrays is one step, repeated": "loops_are_those_of_points",
        "becomes one piece of code that reads and writes": "runs_as_code",
        "the order of slopes' products and sums": "infinite_slopes_meet_in_the_order_of_a_mode",
        "an infinity is divided by or exponentiated": "derivative",
        "has to be copied to be contiguous": "sums_that_cannot_read_an_array_as_it_lies_say_so",
        "of which one point may take some hundred thousand": "too_much_for_one_point_is_refused",
        "`jitad.check` notes such lines": "corners_are_noted",
        "inputs are never modified": "results_are_written_to_arrays_apart",
    },
    f"{DOCS}/processes.md": {
        "can be copied, pickled and sent": "processes_compute_the_same_bits",
        "travel by cloudpickle": "closures_travel_by_cloudpickle",
        "The bits do not depend on blocks or workers": "dask_computes_the_same_bits",
        "All threads of a process share one pool": "tasks_side_by_side_share_one_pool",
        "sums over 10⁸ points": "points_beyond_memory_are_summed_by_a_cluster",
    },
    f"{DOCS}/gpu.md": {
        "on their library's stream": "results_are_of_the_library_and_on_the_stream_of_the_arguments",
        "Everything that runs on the CPU runs there": "loops_branches_and_random_numbers",
        "in fixed point and so in any order": "tables_are_read_and_added_to",
        "`jitad.info()` lists cards": "info_lists_the_cards",
        "can be called in your own `@cuda.jit` kernels": "the_numbers_are_those_of_the_call",
        "`jitad.explain` shows registers": "explain_of_arrays_on_a_card",
        "NumPy in, NumPy out, part after part": "batches_of_the_host_go_in_parts",
        "on two cards": "parts_are_shared_by_several_cards",
    },
    f"{DOCS}/solvers.md": {
        "Shapes are checked before they reach a solver": "nlopt_refuses_other_shapes",
        "you have | you write": "the_page_names_every_adapter",
    },
    f"{DOCS}/speed.md": {
        "outputs checked equal before timing": "planted_wrong_competitor_is_not_timed",
        "large ones lie in memory of earlier ones": "memory_is_constant_in_a_loop",
        "an eighth of the machine's memory (or of a container's)": "control_groups_bound_it",
    },
}
SECTIONS = {
    "README.md": ["What happens", "To see, to check", "What it promises"],
    f"{DOCS}/coverage.md": ["At the edges", "Limits"],
}


def flat(text: str) -> str:
    """The text in one line, without regard to capital letters at its beginning."""
    return re.sub(r"\s+", " ", text)


def names_of_tests() -> set[str]:
    files = (ROOT / "tests").rglob("test_*.py")
    return {
        n for p in files for n in re.findall(r"def test_(\w+)", p.read_text("utf-8"))
    }


@pytest.mark.parametrize("page", PAGES)
def test_promises_are_made_and_tested(page: str) -> None:
    text, known = flat((ROOT / page).read_text("utf-8")), names_of_tests()
    assert PROMISES[page]
    for phrase, test in PROMISES[page].items():
        assert phrase.lower() in text.lower(), phrase
        assert test in known, test


@pytest.mark.parametrize(
    ("page", "section"), [(p, s) for p in SECTIONS for s in SECTIONS[p]]
)
def test_nothing_else_is_promised(page: str, section: str) -> None:
    after = (ROOT / page).read_text("utf-8").partition(f"## {section}")[2]
    prose = re.sub(r"```.*?```", "", after.partition("\n## ")[0], flags=re.DOTALL)
    blocks = re.split(r"\n\n|\n(?=- )", prose)[1:]
    assert blocks
    for block in blocks:
        said = [
            phrase for phrase in PROMISES[page] if phrase.lower() in flat(block).lower()
        ]
        assert said or not block.strip() or block.strip() == "BSD-3-Clause.", block


@pytest.mark.parametrize("page", [*PAGES, ".github/CONTRIBUTING.md"])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    links = re.findall(r"\]\(([^)#:]+)\)|(?:src|srcset)=\"([^\"]+)\"", text)
    if page == "README.md":
        assert len(links) > 6
    for link in filter(None, sum(links, ())):
        assert (ROOT / page).parent.joinpath(link).is_file(), link


def test_every_page_is_linked() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for page in PAGES[1:]:
        assert f"({page})" in readme, page


def test_functions_that_are_covered_are_there() -> None:
    rows = (ROOT / DOCS / "coverage.md").read_text("utf-8").splitlines()
    cells = [row.split("|")[1:3] for row in rows if row.startswith("| ")]
    table = {first.strip(): re.findall(r"`(\w+)`", rest) for first, rest in cells}
    places = {
        "NumPy": [np, np.linalg],
        "SciPy": [scipy.special],
        "transformations": [jitad],
        "equations": [jitad],
    }
    for row, modules in places.items():
        assert table[row]
        for name in table[row]:
            assert any(hasattr(module, name) for module in modules), name


def test_examples_are_counted() -> None:
    count = len(list((ROOT / "examples").glob("*.py")))
    assert count == 12
    assert "has twelve short programs" in (ROOT / "README.md").read_text("utf-8")
