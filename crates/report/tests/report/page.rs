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
        .filter(|piece| {
            piece.starts_with("d>") || piece.starts_with("d ") || piece.starts_with("h>")
        })
        .filter_map(|piece| Some(piece.split_once('>')?.1.split_once("</t")?.0))
        .map(|cell| cell.replace("<code>", "`").replace("</code>", "`").replace("&lt;", "<"))
        .filter(|cell| !cell.is_empty())
        .collect()
}

#[test]
fn the_html_holds_every_number_of_the_markdown() {
    let report = run::report();
    let (text, page) = (markdown(&report), html(&report));
    let (of_page, mut left) = (html_cells(&page), markdown_cells(&text));
    assert!(of_page.len() > 200, "{}", of_page.len());
    for cell in of_page {
        let at = left.iter().position(|other| *other == cell);
        left.remove(at.unwrap_or_else(|| panic!("`{cell}` is not in the Markdown")));
    }
    // The numbers of confusion matrices stand in the plots.
    for cell in left.iter().filter(|cell| cell.parse::<u64>().is_ok()) {
        assert!(page.contains(&format!(">{cell}</text>")), "{cell}");
    }
    assert!(left.len() < 40, "{left:?}");
    // What stands outside of tables: sentences, the command, the warning.
    for sentence in [
        "`sharp` is better than",
        "facefold cv --store faces --task age-group,age --out results/made-up",
        "The samples are synthetic faces",
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
        ["Summary", "is better than", "24.33 points (95 % interval 22.83 to 25.83, p &lt; 0.001)"]
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
    let (text, screen) = (markdown(&report), terminal(&report));
    for text in [&text, &screen] {
        assert!(text.contains(counts), "{text}");
    }
    assert!(text.contains("MAE (years)") && text.contains("inside the age range (%)"));
    // Headings of the terminal are in lines of a column's width.
    for words in [["MAE", "(years)"], ["inside", "range"]] {
        assert!(words.iter().all(|word| screen.contains(word)), "{screen}");
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

/// The text between two marks, of every pair.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    text.split(start).skip(1).filter_map(|rest| Some(rest.split_once(end)?.0)).collect()
}

#[test]
fn every_heading_can_be_linked_to() {
    let page = html(&run::report());
    let ids: Vec<&str> = between(&page, " id=\"", "\"");
    let links: Vec<&str> = between(&page, "href=\"#", "\"");
    let headings = page.matches("<h2").count() + page.matches("<h3").count();
    assert_eq!(page.matches("<h2 id=").count() + page.matches("<h3 id=").count(), headings);
    assert_eq!(page.matches("class=\"anchor\"").count(), headings);
    for (at, id) in ids.iter().enumerate() {
        assert!(!ids[..at].contains(id), "two parts are called {id}");
    }
    for link in links {
        assert!(ids.contains(&link), "{link} leads nowhere");
    }
}

#[test]
fn what_few_need_is_folded_and_confusion_matrices_stand_once() {
    let page = html(&run::report());
    let seen = page
        .split("<details>")
        .map(|part| part.split_once("</details>").map_or(part, |(_, rest)| rest));
    let seen: String = seen.collect();
    for shown in [
        "id=\"comparison-of-the-age-heads\"",
        "id=\"error-by-age\"",
        "age-group by sharp: confusion matrix",
    ] {
        assert!(seen.contains(shown), "{shown}");
    }
    for folded in ["sd over seeds", "learning curves", "scaling=unit", "light: night", "Test CPU"] {
        assert!(page.contains(folded) && !seen.contains(folded), "{folded}");
    }
    assert_eq!(page.matches("age-group by sharp: confusion matrix").count(), 1);
    assert_eq!(page.matches("data-label=\"true ↓").count(), 0, "the plot has the numbers");
}

/// The table of heads, the plot and the confusion matrix show one accuracy.
#[test]
fn a_result_has_one_value() {
    let report = run::report();
    let value = format!("{:.2}", 100.0 * report.tasks[0].result.heads[0].summary[0].pooled);
    let text = markdown(&report);
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| sharp | ")).collect();
    assert!(rows[0].starts_with(&format!("| sharp | {value} (")), "{}", rows[0]);
    assert!(rows[1].starts_with(&format!("| sharp | {value} | ")), "{}", rows[1]);
    let page = html(&report);
    assert!(page.contains(&format!(">{value} (")), "the plot of heads shows {value}");
    let facefold_evaluate::Metrics::Classes(metrics) = &report.tasks[0].result.heads[0].pooled
    else {
        panic!()
    };
    let (right, all) =
        metrics.confusion.iter().enumerate().fold((0, 0), |(right, all), (class, row)| {
            (right + row[class], all + row.iter().sum::<u64>())
        });
    assert_eq!(format!("{:.2}", 100.0 * right as f64 / all as f64), value);
}
