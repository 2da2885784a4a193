//! Tables and plots for papers.

use facefold_report::{TableFormat, export};

use crate::run;

#[test]
fn every_plot_is_there_as_svg_pdf_and_png() {
    let directory = tempfile::tempdir().unwrap();
    let exported = export(&run::report(), TableFormat::Latex, directory.path()).unwrap();
    assert!(exported.tables.ends_with("tables.tex"));
    let of = |extension: &str| -> Vec<String> {
        let names = exported.plots.iter().filter(|path| path.extension().unwrap() == extension);
        names.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
    };
    assert_eq!((of("svg"), of("svg")), (of("pdf"), of("png")));
    for plot in [
        "age-group-heads",
        "age-group-confusion-sharp",
        "age-group-roc-sharp",
        "age-group-calibration",
        "age-predicted-ages-sharp",
        "age-cumulative-score",
    ] {
        assert!(of("svg").iter().any(|name| name == plot), "{plot}: {:?}", of("svg"));
    }
    for path in &exported.plots {
        let bytes = fs_err::read(path).unwrap();
        let starts: &[&[u8]] = &[b"<svg", b"%PDF-1.4", b"\x89PNG"];
        assert!(starts.iter().any(|start| bytes.starts_with(start)), "{}", path.display());
    }
    let axes = fs_err::read_to_string(directory.path().join("plots/age-group-confusion-sharp.svg"));
    let axes = axes.unwrap();
    assert!(axes.contains(">true class<") && axes.contains(">predicted class<"));
    let ages = directory.path().join("plots/age-predicted-ages-sharp.svg");
    let ages = fs_err::read_to_string(ages).unwrap();
    assert!(ages.contains(">true age (years)<") && ages.contains(">predicted age (years)<"));
}

#[test]
fn tables_have_the_values_of_the_report() {
    let report = run::report();
    let line = &report.tasks[1].result.heads[0].summary[0];
    let csv = report.tables(TableFormat::Csv);
    let interval = line.interval.unwrap();
    let expected =
        format!("age,sharp,MAE (years),{},{},{},", line.pooled, interval.low, interval.high);
    assert!(csv.lines().any(|line| line.starts_with(&expected)), "{expected}: {csv}");
    let lines: usize = report
        .tasks
        .iter()
        .flat_map(|task| &task.result.heads)
        .map(|head| head.summary.len())
        .sum();
    assert_eq!(csv.lines().count(), 1 + lines);

    let shown = format!("{:.2} ({:.2} to {:.2})", line.pooled, interval.low, interval.high);
    let latex = report.tables(TableFormat::Latex);
    assert!(latex.contains(&format!("sharp & {shown} & ")), "{latex}");
    assert_eq!(latex.matches("\\begin{table}").count(), 4, "heads and pairs of two tasks");
    assert!(latex.contains("accuracy (\\%)") && latex.contains("sharp & blunt & -2.07 & "));
    let markdown = report.tables(TableFormat::Markdown);
    assert!(markdown.contains(&format!("| sharp | {shown} |")), "{markdown}");
    assert!(markdown.contains("`sharp` is better than `blunt` on age: "));
}

#[test]
fn references_name_version_commit_and_fingerprint() {
    let text = run::report().tables(TableFormat::Bibtex);
    for needed in [
        "@software{facefold,",
        "version = {0.1.0, commit abc1234}",
        "year    = {2026}",
        "fingerprint 0123456789abcdef0123456789abcdef",
        "deng2019arcface",
    ] {
        assert!(text.contains(needed), "{needed}: {text}");
    }
    assert_eq!(text.matches('{').count(), text.matches('}').count());
}

#[test]
fn imported_embeddings_are_not_attributed_to_arcface() {
    let mut report = run::report();
    report.provenance.network.name = "clip-vit-l14 (imported)".to_owned();
    report.provenance.network.imported = true;
    let text = report.tables(TableFormat::Bibtex);
    assert!(!text.contains("deng2019arcface"), "{text}");
    assert!(text.contains("Network clip-vit-l14 (imported), fingerprint"), "{text}");
    assert!(text.contains("% Cite the paper of the network"), "{text}");
}

#[test]
fn names_in_tables_are_escaped() {
    let mut report = run::report();
    report.tasks[0].result.heads[0].name = "=a_b,\"c\" & | {d}".to_owned();
    let latex = report.tables(TableFormat::Latex);
    assert!(latex.contains("=a\\_b,\"c\" \\& | \\{d\\} & "), "{latex}");
    let csv = report.tables(TableFormat::Csv);
    assert!(csv.contains("\nage-group,\"'=a_b,\"\"c\"\" & | {d}\",accuracy,"), "{csv}");
    assert!(report.tables(TableFormat::Markdown).contains("| =a_b,\"c\" & \\| {d} |"));
}

#[test]
fn formats_are_read_by_name() {
    for format in TableFormat::ALL {
        assert_eq!(format.as_str().parse(), Ok(format));
    }
    let error = "word".parse::<TableFormat>().unwrap_err();
    assert_eq!(error, "expected one of latex, csv, markdown, bibtex, found `word`");
}
