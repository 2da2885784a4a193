//! The HTML face: the numbers of the Markdown, nothing fetched, nothing taken for markup.

use facefold_report::{Report, html, markdown, terminal};

use crate::run;

/// The cells of every Markdown table, in order.
fn markdown_cells(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"))
        .flat_map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()))
        .filter(|cell| !cell.is_empty())
        .collect()
}

/// The text of every cell of every HTML table, in order.
fn html_cells(text: &str) -> Vec<String> {
    text.split("<t")
        .filter_map(|piece| piece.strip_prefix("d>").or_else(|| piece.strip_prefix("h>")))
        .filter_map(|piece| Some(piece.split_once("</t")?.0))
        .map(|cell| cell.replace("<code>", "`").replace("</code>", "`").replace("&lt;", "<"))
        .filter(|cell| !cell.is_empty())
        .collect()
}

#[test]
fn the_html_holds_every_number_of_the_markdown() {
    let report = run::report();
    let (text, page) = (markdown(&report), html(&report));
    let cells = markdown_cells(&text);
    assert!(cells.len() > 200, "{}", cells.len());
    assert_eq!(html_cells(&page), cells);
    // What stands outside of tables: sentences, the command, the warning.
    for sentence in [
        "`sharp` has the best accuracy",
        "facefold cv --store faces --task age-group,age --out results/made-up",
        "The samples are drawn faces",
        "300 rows of 50 subjects",
        "non-commercial research only",
    ] {
        let marked = sentence.replacen('`', "<code>", 1).replacen('`', "</code>", 1);
        assert!(text.contains(sentence) && page.contains(&marked), "{sentence}");
    }
}

#[test]
fn the_summary_comes_first_and_names_difference_interval_and_p() {
    let page = html(&run::report());
    let first = page.split("<h2").nth(1).unwrap();
    for needed in
        ["Summary", "is significantly better than", "95 % CI 22.83 to 25.83 points", "p &lt; 0.001"]
    {
        assert!(first.contains(needed), "{needed}: {first}");
    }
}

#[test]
fn the_html_is_self_contained_and_has_no_script() {
    let page = html(&run::report());
    assert!(page.starts_with("<!DOCTYPE html>"));
    for reference in
        ["<script", "<img", "<link", "<iframe", "@import", "url(", "src=", "href=\"http"]
    {
        assert!(!page.contains(reference), "{reference}");
    }
    assert!(page.contains("default-src 'none'"));
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("@media print"));
    assert_eq!(
        page.matches("<figure>").count(),
        markdown(&run::report()).matches("Plot `plots/").count()
    );
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
}

#[test]
fn hostile_names_are_escaped_in_html() {
    const HOSTILE: &str = "</title><script>alert(\"1\")</script> `x` **y** & <img src=x onerror=z>";
    let mut report: Report = run::report();
    report.warnings.push(HOSTILE.to_owned());
    report.dataset.kind = HOSTILE.to_owned();
    report.dataset.root = HOSTILE.to_owned();
    report.dataset.notes.push(HOSTILE.to_owned());
    report.provenance.command = HOSTILE.to_owned();
    report.provenance.network.name = HOSTILE.to_owned();
    report.provenance.network.licence = HOSTILE.to_owned();
    report.tasks[0].rows.dropped.insert(HOSTILE.to_owned(), 0);
    let result = &mut report.tasks[0].result;
    result.classes[0] = HOSTILE.to_owned();
    result.heads[0].name = HOSTILE.to_owned();
    result.heads[0].settings = serde_json::json!({ HOSTILE: HOSTILE });
    result.heads[0].fits[0].log.notes.push(HOSTILE.to_owned());
    result.splits[0].name = HOSTILE.to_owned();
    result.splits[0].notes.push(HOSTILE.to_owned());
    let sliced = report.tasks[0].slices.as_mut().unwrap();
    sliced.attributes[0].name = HOSTILE.to_owned();
    sliced.attributes[0].slices[0].name = HOSTILE.to_owned();
    sliced.attributes[0].small[0].name = HOSTILE.to_owned();
    let search = &mut report.tasks[1].searches[0];
    search.head = HOSTILE.to_owned();
    search.configurations[1].0.insert(HOSTILE.to_owned(), HOSTILE.into());
    search.trials[2].failure = Some(HOSTILE.to_owned());
    let compared = report.tasks[0].comparison.as_mut().unwrap();
    compared.candidates[0].label = HOSTILE.to_owned();
    compared.pairs[0].first = HOSTILE.to_owned();
    compared.pairs[0].summary = HOSTILE.to_owned();
    let page = html(&report);
    for markup in ["<script", "<img", "</title><", "onerror=z>"] {
        assert!(!page.contains(markup), "{markup}");
    }
    assert!(page.matches("&lt;script&gt;").count() >= 20, "{}", page.matches("&lt;script").count());
    assert_eq!(page.matches("<title>").count(), 1);
    // Every attribute that holds a name keeps to its quotes.
    assert!(page.contains("aria-label=\"age-group by &lt;/title&gt;&lt;script&gt;alert(&quot;1"));
}

#[test]
fn ages_and_age_ranges_are_counted_separately() {
    let report = run::of_ranges();
    let counts = "300 rows (100 with exact years, 200 with an age range)";
    for text in [markdown(&report), terminal(&report)] {
        assert!(text.contains(counts), "{text}");
        assert!(
            text.contains("MAE (years)") && text.contains("inside the age range (%)"),
            "{text}"
        );
    }
    let (text, page) = (markdown(&report), html(&report));
    for needed in [
        "MAE and CS@n on 100 test rows with exact years",
        "On 200 test rows whose age label is a range",
        "mean distance (years)",
    ] {
        assert!(text.contains(needed) && page.contains(needed), "{needed}");
    }
    let stored = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&stored).unwrap(), report);
}
