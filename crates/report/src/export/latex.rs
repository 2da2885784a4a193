//! Tables of LaTeX, with the package booktabs.

use facefold_evaluate::{Comparison, Decision};

use super::grid;
use crate::contents::task_name;
use crate::format;
use crate::model::{Report, TaskReport};

pub(super) fn tables(report: &Report) -> String {
    let tables: Vec<String> = report
        .tasks
        .iter()
        .flat_map(|task| {
            [Some(heads(report, task)), task.comparison.as_ref().map(pairs)].into_iter().flatten()
        })
        .collect();
    document(&tables)
}

/// The heads of each comparison on the common rows, and their pairs.
pub(super) fn comparisons(comparisons: &[Comparison]) -> String {
    let tables: Vec<String> = comparisons
        .iter()
        .flat_map(|comparison| [warnings(comparison), candidates(comparison), pairs(comparison)])
        .collect();
    document(&tables)
}

fn document(tables: &[String]) -> String {
    format!("% \\usepackage{{booktabs}}\n\n{}", tables.join("\n"))
}

/// What a reader must know before the tables, as comments.
fn warnings(comparison: &Comparison) -> String {
    let lines = comparison.warnings.iter().flat_map(|warning| warning.lines());
    let lines: Vec<String> = lines.map(|line| format!("% warning: {line}\n")).collect();
    lines.concat()
}

fn candidates(comparison: &Comparison) -> String {
    let metric = comparison.metric;
    let header = ["head", &format::heading(metric), "95 % interval"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for candidate in &comparison.candidates {
        rows.push(vec![
            candidate.label.clone(),
            format::value(metric, candidate.value),
            format::interval(metric, candidate.interval),
        ]);
    }
    let caption = format!(
        "Heads for {} on {} rows of {} subjects that all of them predicted; 95 % intervals by a bootstrap of \
         subjects.",
        task_name(comparison.task),
        format::count(comparison.rows),
        format::count(comparison.subjects),
    );
    table(&caption, &format!("tab:{}-common-rows", comparison.task), &rows)
}

fn heads(report: &Report, task: &TaskReport) -> String {
    let rows = grid(task);
    let result = &task.result;
    let caption = format!(
        "Heads for {} on {} ({} test rows of {} subjects, protocol {}). Values over all test rows; in \
         brackets 95 % intervals by a bootstrap of subjects.",
        task_name(result.task),
        report.dataset.kind,
        format::count(result.splits.iter().map(|split| split.test).sum()),
        format::count(result.subjects),
        result.protocol,
    );
    table(&caption, &format!("tab:{}-heads", result.task), &rows)
}

fn pairs(comparison: &Comparison) -> String {
    let metric = comparison.metric;
    let header = ["first", "second", "difference", "95 % interval", "p (Holm)", "better"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for pair in &comparison.pairs {
        rows.push(vec![
            pair.first.clone(),
            pair.second.clone(),
            format::value(metric, pair.difference),
            format::interval(metric, pair.interval),
            format::p_value(pair.adjusted_p),
            match pair.decision {
                Decision::FirstBetter => pair.first.clone(),
                Decision::SecondBetter => pair.second.clone(),
                Decision::Undecided => "not significant".to_owned(),
            },
        ]);
    }
    let caption = format!(
        "Pairs of heads for {}: {} of the first less that of the second, on {} rows; paired \
         permutation test by subject, corrected by Holm.",
        task_name(comparison.task),
        metric.name(),
        format::count(comparison.rows),
    );
    table(&caption, &format!("tab:{}-comparison", comparison.task), &rows)
}

fn table(caption: &str, label: &str, rows: &[Vec<String>]) -> String {
    let line = |cells: &Vec<String>| {
        let cells: Vec<String> = cells.iter().map(|cell| escaped(cell)).collect();
        format!("{} \\\\\n", cells.join(" & "))
    };
    let columns = "r".repeat(rows.first().map_or(0, |row| row.len().saturating_sub(1)));
    let header: String = rows.iter().take(1).map(line).collect();
    let body: String = rows.iter().skip(1).map(line).collect();
    format!(
        "\\begin{{table}}\n\\centering\n\\caption{{{}}}\n\\label{{{label}}}\n\
         \\begin{{tabular}}{{l{columns}}}\n\\toprule\n{header}\\midrule\n{body}\\bottomrule\n\
         \\end{{tabular}}\n\\end{{table}}\n",
        escaped(caption)
    )
}

/// Text in which nothing is a command.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', letter]),
            '\\' => escaped.push_str("\\textbackslash{}"),
            // At the start of a line they would belong to the `\\` of the one before it.
            '[' | '*' => escaped.extend(['{', letter, '}']),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '<' => escaped.push_str("\\textless{}"),
            '>' => escaped.push_str("\\textgreater{}"),
            '–' => escaped.push_str("--"),
            '−' => escaped.push_str("$-$"),
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn names_are_no_commands() {
        assert_eq!(
            escaped("a_b & 5 % of {x} \\input{y} < 1\n"),
            "a\\_b \\& 5 \\% of \\{x\\} \\textbackslash{}input\\{y\\} \\textless{} 1 "
        );
        assert_eq!(escaped("[2ex] *"), "{[}2ex] {*}");
    }
}
