//! A comparison of heads, or of whole results, as Markdown and for the terminal.

use facefold_core::text::{TERMINAL_WIDTH, wrapped};
use facefold_evaluate::compare::{CandidateScore, Decision};
use facefold_evaluate::{Comparison, Metric, PairComparison};

use crate::format::{self, NONE};
use crate::inline::{literal, unescaped};
use crate::markdown::render;
use crate::page::{Block, Page};
use crate::table::Table;

/// The comparison as Markdown, without a heading: what a reader must know first, then words, then
/// the numbers behind them.
#[must_use]
pub fn markdown(comparison: &Comparison) -> String {
    let mut page = Page::default();
    fill(&mut page, comparison);
    render(&page)
}

fn fill(page: &mut Page, comparison: &Comparison) {
    warnings(page, comparison);
    page.paragraph(format!("**{}**", comparison.summary()));
    page.table(pairs(comparison));
    details(page, comparison);
}

/// The decision on every pair, with the numbers that it rests on.
pub(crate) fn of_report(page: &mut Page, comparison: &Comparison) {
    warnings(page, comparison);
    page.table(pairs(comparison));
}

fn warnings(page: &mut Page, comparison: &Comparison) {
    for warning in &comparison.warnings {
        page.push(Block::Warning(warning.clone()));
    }
}

/// Every head on the common rows, the other tests, and how they decide.
pub(crate) fn details(page: &mut Page, comparison: &Comparison) {
    page.table(values(comparison));
    page.table(tests(comparison));
    page.paragraph(basis(comparison));
}

/// Comparisons for the terminal, each under the name of its task.
#[must_use]
pub fn terminals(comparisons: &[Comparison]) -> String {
    let blocks = comparisons
        .iter()
        .map(|comparison| format!("{}\n{}", comparison.task, terminal(comparison)));
    blocks.collect::<Vec<_>>().join("\n")
}

/// The comparison for the terminal: a table of heads, then a list of pairs.
#[must_use]
pub fn terminal(comparison: &Comparison) -> String {
    let warnings = comparison.warnings.iter().map(|warning| format!("! {warning}\n"));
    let mut text = warnings.collect::<Vec<_>>().concat();
    text.push_str(&values(comparison).terminal());
    let (pairs, tests) = (pairs(comparison), tests(comparison));
    for (row, pair) in comparison.pairs.iter().enumerate() {
        let lines = format!("  {}\n  {}", pairs.described(row), tests.described(row));
        let (name, lines) = (unescaped(&name(pair)), wrapped(&lines, TERMINAL_WIDTH));
        for line in ["\n", &name, "\n", &lines, "\n"] {
            text.push_str(line);
        }
    }
    for line in ["\n", &comparison.summary(), "\n"] {
        text.push_str(line);
    }
    text
}

fn values(comparison: &Comparison) -> Table {
    let metric = comparison.metric;
    let heading = format::heading(metric);
    let mut table = Table::new([
        "head",
        "seeds",
        "wrong",
        &heading,
        "95 % interval by subject",
        "Wilson (rows)",
    ]);
    for candidate in &comparison.candidates {
        table.row([
            literal(&candidate.label),
            candidate.seeds.to_string(),
            wrong(comparison, candidate).unwrap_or_else(|| NONE.to_owned()),
            format::value(metric, candidate.value),
            format::interval(metric, candidate.interval),
            candidate
                .wilson
                .map_or_else(|| NONE.to_owned(), |wilson| format::interval(metric, wilson)),
        ]);
    }
    table
}

/// `2 of 108`, for classes under one seed.
fn wrong(comparison: &Comparison, candidate: &CandidateScore) -> Option<String> {
    if comparison.metric != Metric::Accuracy || candidate.seeds != 1 {
        return None;
    }
    let wrong = ((1.0 - candidate.value) * comparison.rows as f64).round() as usize;
    Some(format!("{} of {}", format::count(wrong), format::count(comparison.rows)))
}

pub(crate) fn pairs(comparison: &Comparison) -> Table {
    let metric = comparison.metric;
    let mut table = Table::new([
        "first less second",
        &format!("difference in {}", format::heading(metric)),
        "95 % interval",
        "p (Holm)",
        "minimum detectable",
        "better",
    ]);
    for pair in &comparison.pairs {
        let better = match pair.decision {
            Decision::FirstBetter => literal(&pair.first),
            Decision::SecondBetter => literal(&pair.second),
            Decision::Undecided => "no significant difference".to_owned(),
        };
        table.row([
            name(pair),
            format::value(metric, pair.difference),
            format::interval(metric, pair.interval),
            format::p_value(pair.adjusted_p),
            format::value(metric, pair.minimum_detectable_difference),
            better,
        ]);
    }
    table
}

fn name(pair: &PairComparison) -> String {
    format!("{} − {}", literal(&pair.first), literal(&pair.second))
}

fn tests(comparison: &Comparison) -> Table {
    let mut table = Table::new([
        "first less second",
        "standard error",
        "permutation p",
        "McNemar exact p",
        "McNemar χ² p",
        "corrected t p",
        "Cohen's d",
    ]);
    let dash = || NONE.to_owned();
    for pair in &comparison.pairs {
        table.row([
            name(pair),
            format::value(comparison.metric, pair.standard_error),
            format::p_value(pair.permutation.p_value),
            pair.mcnemar.map_or_else(dash, |test| format::p_value(test.exact_p)),
            pair.mcnemar.map_or_else(dash, |test| format::p_value(test.chi_squared_p)),
            pair.corrected_t.map_or_else(dash, |test| format::p_value(test.p_value)),
            pair.cohens_d.map_or_else(dash, |d| format!("{d:.2}")),
        ]);
    }
    table
}

fn basis(comparison: &Comparison) -> String {
    let left_out = match comparison.rows_left_out {
        0 => String::new(),
        rows => format!(" ({} rows are left out)", format::count(rows)),
    };
    format!(
        "On {} identical rows of {} subjects{left_out}. A head is called better when the paired \
         sign-flip permutation test by subject, corrected by Holm for {} pair(s), gives p < 0.05 \
         and the bootstrap interval by subject (10,000 draws) does not contain 0; both use {} \
         averaged over seeds first. McNemar's test (one seed, classes only) and Wilson's interval \
         take rows as independent, which pictures of one person are not; they and the corrected \
         resampled t-test over folds (Nadeau and Bengio 2003) are for comparison with other work. \
         The minimum detectable difference is that at 80 % power.",
        format::count(comparison.rows),
        format::count(comparison.subjects),
        comparison.pairs.len(),
        if comparison.metric.is_fraction() {
            "correctness (0 or 1)"
        } else {
            "absolute error in years"
        },
    )
}
