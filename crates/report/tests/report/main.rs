//! A report of a small made-up run: what it must say, and that its faces agree.
#![allow(clippy::unwrap_used, reason = "helpers outside of test functions may unwrap too")]

mod export;
mod matrix;
mod page;
mod run;

use std::collections::BTreeSet;

use facefold_report::{FORMAT, Report, comparison, html, markdown, terminal, write};

#[test]
fn the_markdown_matches_its_snapshot() {
    insta::assert_snapshot!(markdown(&run::report()));
}

#[test]
fn the_markdown_has_all_required_sections() {
    let report = run::report();
    let text = markdown(&report);
    let opening: String =
        text.lines().take_while(|line| !line.starts_with("## Age group")).collect();
    for first in ["synthetic faces", "`untrained`", "0123456789abcdef0123456789abcdef"] {
        assert!(opening.contains(first), "`{first}` stands at the top:\n{opening}");
    }
    for needed in [
        "facefold cv --store faces",
        "commit abc1234",
        "2026-11-22T05:00:00Z",
        "Test CPU",
        "7.5 GiB",
        "2 min 3 s",
        "Label policy: `exact`",
        "Age groups: `0-12,13-40,41+`",
        "− no face",
        "− no known age",
        "seed 7 for the split, fits with seeds 1, 2",
        "balanced accuracy",
        "one-off accuracy",
        "MAE (years)",
        "CS@5",
        "Plot `plots/age-heads.svg`",
        "| macro F1 (%) | Cohen's kappa | AUC (%) |",
        "RMSE (years)",
        "Plot `plots/age-group-roc-sharp.svg`",
        "Plot `plots/age-predicted-ages-sharp.svg`",
        "sd over folds",
        "sd over seeds",
        "95 % interval by subject",
        "permutation p",
        "McNemar",
        "corrected t",
        "age-group by sharp: confusion matrix",
        "true ↓, predicted →",
        "learning curves",
        "non-commercial research only",
        "annotators' guesses from pictures",
        "one of two",
        "\"hidden\": 256",
        "trained on a subsample of 5 of 50 rows (10 of 10 fits)",
        "`sharp` is better than `blunt` on age group: accuracy higher by ",
        "`sharp` is better than `blunt` on age: mean absolute error lower by ",
        "The worst slice of `sharp` is",
        "| light | rows | subjects | accuracy (%) |",
        "light, too small: `dusk` (12 rows, 2 subjects)",
        "light: unknown for 6 rows",
        "face size (pixels)",
        "For 1,234 pictures `sharp`",
        "`age/label-errors.csv`",
        "probability of at least 90 %",
        "off by at least 4 times its mean error",
        "Hyper-parameter search for age with sharp",
        "`sharp-tuned` has the chosen settings",
        "started with 33 % of the epochs; the best of each 3 went on",
        "| fold 2 | 4.20 | 1 | `sharp.scaling=unit` `sharp.wrong=7` |",
        "| `sharp.scaling=unit` `sharp.wrong=7` | 1 | 4.70 (5) | 4.20 (5) | 5 |",
        "| as given | 2 | 5.20 (5) | – | 0 |",
        "Rank 3, fold 0: cannot train: the loss is not finite.",
        "plots/age-trials-sharp.svg",
        "| head and ages | rows | mean error (years) | MAE (years) | RMSE (years) | CS@5 (%) |",
        "| sharp, under 18 | 102 |",
        "### Decisions at 18",
        "`sharp` passes people as 18 or older who by its prediction have reached 18",
        "| light: night |",
        "predicts no distribution over ages",
    ] {
        assert!(text.contains(needed), "the report does not say `{needed}`:\n{text}");
    }
    assert!(!text.contains("do not add up"), "{text}");
    assert!(!text.contains("NaN"), "{text}");
}

#[test]
fn inconsistent_counts_are_reported() {
    let mut report = run::report();
    report.tasks[0].rows.used += 1;
    assert_eq!(markdown(&report).matches("do not add up").count(), 1);
    report.dataset.embedded += 1;
    assert_eq!(markdown(&report).matches("do not add up").count(), 2);
}

#[test]
fn a_written_report_reads_back_and_its_plots_are_there() {
    let directory = tempfile::tempdir().unwrap();
    let report = run::report();
    let written = write(&report, directory.path()).unwrap();
    assert_eq!(Report::read(directory.path()).unwrap(), report);
    assert_eq!(Report::read(&written.json).unwrap(), report);

    let text = fs_err::read_to_string(&written.markdown).unwrap();
    let named: BTreeSet<&str> =
        text.split("Plot `").skip(1).filter_map(|rest| rest.split('`').next()).collect();
    let plots: BTreeSet<String> = written
        .plots
        .iter()
        .map(|plot| format!("plots/{}", plot.file_name().unwrap().to_str().unwrap()))
        .collect();
    assert_eq!(named, plots.iter().map(String::as_str).collect(), "every plot is named");
    for plot in &written.plots {
        let svg = fs_err::read_to_string(plot).unwrap();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"), "{}", plot.display());
        assert!(!svg.contains("NaN"), "{}", plot.display());
    }
}

#[test]
fn reports_without_slices_load() {
    let mut report = run::report();
    for task in &mut report.tasks {
        (task.slices, task.label_error_candidates) = (None, None);
        task.searches.clear();
    }
    let mut document = serde_json::to_value(&report).unwrap();
    for task in document["tasks"].as_array_mut().unwrap() {
        let fields = task.as_object_mut().unwrap();
        assert!(
            fields.remove("slices").is_some() && fields.remove("label_error_candidates").is_some()
        );
    }
    let directory = tempfile::tempdir().unwrap();
    fs_err::write(directory.path().join("report.json"), document.to_string()).unwrap();
    assert_eq!(Report::read(directory.path()).unwrap(), report);
    assert!(!markdown(&report).contains("### Slices of"));
}

#[test]
fn no_output_of_the_report_names_a_picture() {
    let directory = tempfile::tempdir().unwrap();
    let report = run::report();
    let written = write(&report, directory.path()).unwrap();
    let json = fs_err::read_to_string(&written.json).unwrap();
    for text in [json, markdown(&report), html(&report), terminal(&report)] {
        assert!(!text.contains(".jpg"), "{text}");
    }
}

#[test]
fn a_file_that_is_no_report_is_an_error_with_its_path() {
    let directory = tempfile::tempdir().unwrap();
    let missing = Report::read(directory.path()).unwrap_err().to_string();
    assert!(missing.contains("report.json"), "{missing}");
    let path = directory.path().join("report.json");
    for (content, reason) in [
        ("{", "EOF"),
        ("{}", "found none"),
        (r#"{"format": 99}"#, "expected format 1, found 99"),
        (r#"{"format": 1}"#, "missing field"),
    ] {
        fs_err::write(&path, content).unwrap();
        let message = Report::read(&path).unwrap_err().to_string();
        assert!(message.contains(reason) && message.contains("report.json"), "{message}");
    }
    assert_eq!(FORMAT, 1);
}

#[test]
fn the_terminal_shows_warnings_numbers_and_the_comparison() {
    let text = terminal(&run::report());
    assert!(text.starts_with("! The samples are synthetic faces"), "{text}");
    for needed in ["untrained", "sharp", "MAE", "(years)", "`sharp` is better than", "sd", "folds"]
    {
        assert!(text.contains(needed), "{needed}: {text}");
    }
}

#[test]
fn a_comparison_renders_alone() {
    let report = run::report();
    let compared = report.tasks[0].comparison.as_ref().unwrap();
    for text in [comparison::markdown(compared), comparison::terminal(compared)] {
        assert!(text.contains("`sharp` is better than `blunt` on age group"), "{text}");
        assert!(text.contains("sharp − blunt"), "{text}");
    }
}

#[test]
fn names_of_classes_are_escaped_in_markdown() {
    let mut report = run::report();
    for task in report.tasks.iter_mut().filter(|task| !task.result.classes.is_empty()) {
        task.result.classes = ["**old**", "<img src=x>", "a|b`c"].map(str::to_owned).to_vec();
    }
    let text = markdown(&report);
    for needed in ["| \\*\\*old\\*\\* |", "| \\<img src=x> |", "| a\\|b\\`c |"] {
        assert!(text.contains(needed), "`{needed}`:\n{text}");
    }
    assert!(!text.replace("\\<", "").contains("<img"), "{text}");
    let page = html(&report);
    for needed in [">**old**</td>", ">&lt;img src=x&gt;</td>", ">a|b`c</td>"] {
        assert!(page.contains(needed), "`{needed}`:\n{page}");
    }
}

#[test]
fn a_comparison_starts_with_its_warnings() {
    let mut compared = run::report().tasks[0].comparison.clone().unwrap();
    compared.warnings = vec!["The results use different rows: `a`: 1; `b`: 2.".to_owned()];
    assert!(comparison::terminal(&compared).starts_with("! The results use different rows"));
    assert!(comparison::markdown(&compared).starts_with("> **The results use different rows"));
}

#[test]
fn a_class_that_was_never_trained_on_has_no_recall() {
    let mut report = run::report();
    let result = &mut report.tasks[0].result;
    let class = result.classes[1].clone();
    for split in &mut result.splits {
        split.untrained_classes.insert(class.clone(), split.test);
    }
    // Its test rows under both seeds.
    let tested: usize = result.splits.iter().map(|split| split.test).sum();
    for head in &mut result.heads {
        let facefold_evaluate::Metrics::Classes(metrics) = &mut head.pooled else { panic!() };
        metrics.confusion[1] = vec![2 * tested as u64, 0, 0];
    }
    let text = markdown(&report);
    assert!(text.contains("| never trained on | never trained on |"), "{text}");
    assert!(text.contains("classes with test rows but no training row"), "{text}");
}
