//! `report export`: tables and plots for a paper.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use crate::support::{Dir, drawn_store, fail, json, line, run, succeed};

/// A result of two tasks, made once for all tests here.
fn result() -> &'static PathBuf {
    static DIR: OnceLock<Dir> = OnceLock::new();
    static RESULT: OnceLock<PathBuf> = OnceLock::new();
    RESULT.get_or_init(|| {
        let out = DIR.get_or_init(Dir::new).path("result");
        succeed(line(
            "cv --store {} --task gender,age --head linear --features embedding --protocol kfold:3 --out {}",
            &[drawn_store(), &out],
        ));
        out
    })
}

fn exported(format: &str) -> String {
    succeed(line(&format!("report export {{}} --format {format}"), &[result()]))
}

#[test]
fn every_format_is_printed_with_the_values_of_the_report() {
    let report = std::fs::read_to_string(result().join("report.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    let accuracy = &report["tasks"][0]["result"]["heads"][0]["pooled"]["classes"]["accuracy"];
    let accuracy = accuracy.as_f64().expect("an accuracy");

    let csv = exported("csv");
    let row = csv.lines().find(|row| row.starts_with("gender,linear,accuracy,")).expect("a row");
    assert_eq!(row.split(',').nth(3).expect("a value").parse(), Ok(accuracy));
    let columns = csv.lines().next().expect("a header").split(',').count();
    assert!(csv.lines().all(|row| row.split(',').count() == columns), "{csv}");

    let shown = format!("{:.2}", 100.0 * accuracy);
    let (latex, markdown) = (exported("latex"), exported("markdown"));
    assert!(latex.contains(&format!("linear & {shown} (")), "{latex}");
    assert_eq!(latex.matches("\\begin{").count(), latex.matches("\\end{").count(), "{latex}");
    assert_eq!(latex.matches("\\toprule").count(), 4, "heads and pairs of two tasks: {latex}");
    assert!(markdown.contains(&format!("| linear | {shown} (")), "{markdown}");
    let bibtex = exported("bibtex");
    assert!(bibtex.starts_with("@software{facefold,"), "{bibtex}");
    let answer = json(line("report export {} --format csv", &[result()]));
    assert_eq!(answer["tables"].as_str().map(str::trim_end), Some(csv.trim_end()));
}

#[test]
fn tables_and_plots_are_written_in_three_formats() {
    let dir = Dir::new();
    for (format, file) in [
        ("latex", "tables.tex"),
        ("csv", "tables.csv"),
        ("markdown", "tables.md"),
        ("bibtex", "references.bib"),
    ] {
        let out = dir.path(format);
        let command = format!("report export {{}} --format {format} --out {{}}");
        let answer = json(line(&command, &[result(), &out]));
        let written = std::fs::read_to_string(out.join(file)).expect("tables");
        assert_eq!(written.trim_end(), exported(format).trim_end());
        let plots = answer["plots"].as_array().expect("plots");
        let mut names = String::new();
        for plot in plots {
            let path = PathBuf::from(plot.as_str().expect("a path"));
            let bytes = std::fs::read(&path).expect("a plot");
            let start: &[u8] = match path.extension().and_then(|ending| ending.to_str()) {
                Some("svg") => b"<svg",
                Some("pdf") => b"%PDF",
                Some("png") => b"\x89PNG",
                other => panic!("{other:?}"),
            };
            assert!(bytes.starts_with(start), "{}", path.display());
            let _ = writeln!(names, "{}", path.file_name().expect("a name").to_string_lossy());
        }
        for ending in ["svg", "pdf", "png"] {
            let of = names.lines().filter(|name| name.ends_with(ending)).count();
            assert_eq!(of * 3, plots.len(), "{names}");
            assert!(names.contains(&format!("gender-confusion-linear.{ending}")), "{names}");
        }
    }
}

#[test]
fn a_comparison_of_results_is_printed_as_tables_with_the_values_of_its_json() {
    let dir = Dir::new();
    let other = dir.path("other");
    succeed(line(
        "cv --store {} --task gender,age --head svm --features embedding --protocol kfold:3 --out {}",
        &[drawn_store(), &other],
    ));
    let compared =
        |options: &str| line(&format!("compare {{}} {{}}{options}"), &[result(), &other]);
    let comparisons = json(compared(""));
    let csv = succeed(compared(" --format csv"));
    let mut rows = csv.lines().map(|row| row.split(',').collect::<Vec<_>>());
    let header = rows.next().expect("a header");
    assert_eq!((header.len(), rows.clone().count()), (13, 2), "a line a task: {csv}");
    for (row, comparison) in rows.zip(comparisons.as_array().expect("tasks")) {
        let of =
            |column: &str| row[header.iter().position(|name| *name == column).expect("a column")];
        let number = |column: &str| of(column).parse::<f64>().expect("a number");
        let pair = &comparison["pairs"][0];
        assert_eq!(of("task"), comparison["task"].as_str().expect("a task"));
        assert_eq!((of("first"), of("second")), ("linear (result)", "svm (other)"));
        assert_eq!(Some(number("difference")), pair["difference"].as_f64());
        assert_eq!(Some(number("interval_high")), pair["interval"]["high"].as_f64());
        assert_eq!(Some(number("p_holm")), pair["adjusted_p"].as_f64());
        assert!(
            (number("first_value") - number("second_value") - number("difference")).abs() < 1e-9
        );
    }
    let latex = succeed(compared(" --format latex"));
    assert_eq!(latex.matches("\\toprule").count(), 4, "heads and pairs of two tasks: {latex}");
    assert!(latex.contains("linear (result) & svm (other) & "), "{latex}");
    assert!(succeed(compared(" --format markdown")).contains("| linear (result) − svm (other) |"));
    assert!(!latex.contains("% warning"), "{latex}");
    let message = fail(compared(" --format bibtex"), 2);
    assert!(message.contains("latex, csv, markdown"), "{message}");
}

#[test]
fn tables_of_results_that_differ_in_more_than_their_heads_say_so() {
    let dir = Dir::new();
    let other = dir.path("other");
    succeed(line(
        "cv --store {} --task gender --head svm --features embedding --protocol kfold:4 --out {}",
        &[drawn_store(), &other],
    ));
    let compared = |format: &str| {
        let command = format!("compare {{}} {{}} --format {format}");
        let output = run(line(&command, &[result(), &other]));
        assert!(output.status.success());
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("text"))
    };
    let warning = "were split by different protocols";
    for format in ["latex", "csv", "markdown"] {
        let [tables, notes] = compared(format);
        assert!(notes.replace('\n', " ").contains(warning), "{format}: {notes}");
        assert_eq!(tables.contains(warning), format != "csv", "{format}: {tables}");
    }
    assert!(compared("latex")[0].contains("% warning: "));
}

#[test]
fn what_has_no_tables_is_refused_with_what_to_do() {
    let dir = Dir::new();
    let message = fail(line("report export {} --format word", &[result()]), 2);
    assert!(message.contains("expected one of latex, csv, markdown, bibtex"), "{message}");
    let nowhere = dir.path("nowhere");
    let message = fail(line("report export {} --format csv", &[&nowhere]), 1);
    assert!(message.contains("nowhere"), "{message}");
}
