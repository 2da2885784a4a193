//! How the settings of a head were searched for: what was chosen, and everything that was tried.

use facefold_evaluate::{Budget, Configuration, CvResult, InnerValidation, SearchResult, Trial};

use crate::figures::Figure;
use crate::format::{self, NONE};
use crate::page::{Block, Page};
use crate::plot::{Labels, dots};
use crate::table::Table;

pub(crate) fn write(page: &mut Page, result: &CvResult, search: &SearchResult) {
    let heading = format!("Hyper-parameter search for {} with {}", result.task, search.head);
    page.folded(3, heading, |page| {
        page.paragraph(in_words(search));
        let ranked = Ranked::new(search);
        choices(page, search, &ranked);
        tried(page, search, &ranked);
        failures(page, search, &ranked);
        page.figure(trials(result, search, &ranked));
    });
}

/// Configurations from best to worst: by the last iteration that they reached in any split, then by
/// the mean score there.
struct Ranked<'a> {
    search: &'a SearchResult,
    order: Vec<usize>,
}

impl<'a> Ranked<'a> {
    fn new(search: &'a SearchResult) -> Self {
        let sign = if search.metric.higher_is_better() { -1.0 } else { 1.0 };
        let mut keyed: Vec<((usize, f64), usize)> = (0..search.configurations.len())
            .map(|configuration| {
                let reached = (0..search.budget_fractions.len()).rev().find_map(|iteration| {
                    Some((iteration, mean_score(search, configuration, iteration)?))
                });
                let key = reached.map_or((usize::MAX, f64::INFINITY), |(iteration, score)| {
                    (search.budget_fractions.len() - 1 - iteration, sign * score)
                });
                (key, configuration)
            })
            .collect();
        keyed.sort_by(|(a, one), (b, other)| {
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(one.cmp(other))
        });
        Self { search, order: keyed.into_iter().map(|(_, configuration)| configuration).collect() }
    }

    /// The place of a configuration, from 1.
    fn place(&self, configuration: usize) -> usize {
        self.order.iter().position(|&other| other == configuration).map_or(0, |place| place + 1)
    }

    fn settings(&self, configuration: usize) -> String {
        settings(&self.search.configurations[configuration])
    }
}

fn settings(Configuration(settings): &Configuration) -> String {
    if settings.is_empty() {
        return "as given".to_owned();
    }
    let each = settings.iter().map(|(name, value)| match value {
        serde_json::Value::String(text) => format!("`{name}={text}`"),
        other => format!("`{name}={other}`"),
    });
    each.collect::<Vec<_>>().join(" ")
}

fn trials_of(
    search: &SearchResult,
    configuration: usize,
    iteration: usize,
) -> impl Iterator<Item = &Trial> {
    search
        .trials
        .iter()
        .filter(move |trial| trial.configuration == configuration && trial.iteration == iteration)
}

fn mean_score(search: &SearchResult, configuration: usize, iteration: usize) -> Option<f64> {
    let scores: Vec<f64> =
        trials_of(search, configuration, iteration).filter_map(|trial| trial.score).collect();
    (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
}

fn in_words(search: &SearchResult) -> String {
    let scored_on = match search.inner {
        InnerValidation::HoldOut => "its validation rows".to_owned(),
        InnerValidation::Folds(folds) => {
            format!(
                "{folds}-fold stratified group cross-validation of its training and validation rows"
            )
        }
    };
    let budget = match search.budget {
        Budget::Epochs => "epochs",
        Budget::Subjects => "training subjects",
    };
    let iterations = if search.budget_fractions.len() == 1 {
        format!("All had the full budget of {budget}.")
    } else {
        let early = search.budget_fractions[..search.budget_fractions.len() - 1]
            .iter()
            .map(|share| percent(*share));
        format!(
            "Successive halving started with {} of the {budget}; the best of each {} went on, \
             the last ones with all.",
            early.collect::<Vec<_>>().join(", then "),
            search.halving
        )
    };
    format!(
        "{} configurations were tried for `{}`, separately in every split, and scored on \
         {scored_on}, never on test rows; `{}` has the chosen settings. {iterations} These scores \
         chose the settings, so they are optimistic: quote the test results above.",
        format::count(search.configurations.len()),
        search.head,
        search.name,
    )
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

fn choices(page: &mut Page, search: &SearchResult, ranked: &Ranked<'_>) {
    let score = format!("inner {}", format::heading(search.metric));
    let mut table = Table::new(["split", &score, "rank", "chosen settings"]);
    for choice in &search.choices {
        table.row([
            choice.split.clone(),
            format::value(search.metric, choice.score),
            ranked.place(choice.configuration).to_string(),
            ranked.settings(choice.configuration),
        ]);
    }
    page.table(table);
}

fn tried(page: &mut Page, search: &SearchResult, ranked: &Ranked<'_>) {
    let metric = search.metric;
    page.paragraph(format!(
        "All configurations, best first: the mean over splits of the inner {}, and in how many of {} \
         splits the configuration reached the iteration.",
        metric.name(),
        search.choices.len()
    ));
    let iterations = search.budget_fractions.iter().map(|&share| {
        if search.budget_fractions.len() == 1 { format::heading(metric) } else { percent(share) }
    });
    let header = ["settings".to_owned(), "rank".to_owned()];
    let mut table =
        Table::new(header.into_iter().chain(iterations).chain(["chosen in".to_owned()]));
    for (place, &configuration) in ranked.order.iter().enumerate() {
        let scores = (0..search.budget_fractions.len()).map(|iteration| {
            mean_score(search, configuration, iteration).map_or_else(
                || NONE.to_owned(),
                |score| {
                    let splits = trials_of(search, configuration, iteration).count();
                    format!("{} ({splits})", format::value(metric, score))
                },
            )
        });
        let chosen =
            search.choices.iter().filter(|choice| choice.configuration == configuration).count();
        let first = [ranked.settings(configuration), (place + 1).to_string()];
        table.row(first.into_iter().chain(scores).chain([chosen.to_string()]));
    }
    page.table(table);
}

fn failures(page: &mut Page, search: &SearchResult, ranked: &Ranked<'_>) {
    let failed = search.trials.iter().filter_map(|trial| {
        let why = trial.failure.as_deref()?;
        Some(format!("Rank {}, {}: {why}.", ranked.place(trial.configuration), trial.split))
    });
    let failed: Vec<String> = failed.collect();
    if !failed.is_empty() {
        page.paragraph("Failed fits, which count as worst:");
        page.push(Block::List(failed));
    }
}

/// Every trial as a dot: the place of its configuration, its score, a colour a fraction of the
/// budget.
fn trials(result: &CvResult, search: &SearchResult, ranked: &Ranked<'_>) -> Figure {
    let scale = if search.metric.is_fraction() { 100.0 } else { 1.0 };
    let series: Vec<(String, Vec<(usize, f64)>)> = search
        .budget_fractions
        .iter()
        .enumerate()
        .rev()
        .map(|(iteration, &share)| {
            let trials = search.trials.iter().filter(|trial| trial.iteration == iteration);
            let dots = trials.filter_map(|trial| {
                Some((ranked.place(trial.configuration), scale * trial.score?))
            });
            (percent(share), dots.collect())
        })
        .collect();
    let caption = format!("{}: trials of {}, one dot a split", result.task, search.head);
    let y = format!("inner {}", format::heading(search.metric));
    let drawing = dots(Labels { title: &caption, x: "rank of the configuration", y: &y }, &series);
    Figure::new(&[result.task.as_str(), "trials", &search.head], caption, drawing)
}
