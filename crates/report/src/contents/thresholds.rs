//! Decisions at age thresholds: how many minors pass as adults, and what that costs adults.

use facefold_core::AgeThreshold;
use facefold_evaluate::thresholds::MARGIN;
use facefold_evaluate::{CvResult, Decisions, HeadResult, Metric, Rate, ThresholdResult};

use crate::format::{self, NONE};
use crate::inline::literal;
use crate::page::{Block, Page};
use crate::table::Table;

/// The sections of a page, one a threshold.
pub(crate) fn write(page: &mut Page, result: &CvResult) {
    for age in ages(result) {
        let of_heads = at(result, age);
        let Some(&(_, first)) = of_heads.first() else { continue };
        page.subsection(format!("Decisions at {age}"));
        page.push(Block::List(of_heads.iter().map(|(head, at)| words(head, at)).collect()));
        page.folded(3, format!("Decisions at {age} in detail"), |page| {
            page.paragraph(definitions(first));
            details(page, &of_heads);
        });
    }
}

fn details(page: &mut Page, of_heads: &[(&HeadResult, &ThresholdResult)]) {
    page.table(passed(of_heads));
    page.table(under(of_heads));
    page.table(roc(of_heads));
    for &(head, at) in of_heads {
        if at.decisions.adults_passed.hits > 0.0 {
            page.paragraph(format!("Challenge ages of `{}`, the same for all fits:", head.name));
            page.table(challenges(at));
            page.paragraph(format!(
                "Slices of the test rows at the limits that the fits of `{}` chose; the exact \
                 95 % intervals (Clopper and Pearson) take rows as independent:",
                head.name
            ));
            page.table(slices(at));
        }
    }
}

/// The same in short.
pub(crate) fn terminal(result: &CvResult) -> String {
    let mut text = String::new();
    for age in ages(result) {
        let of_heads = at(result, age);
        let title = format!("\nDecisions at {age}");
        let sentences = of_heads.iter().map(|(head, at)| words(head, at));
        let lines: Vec<String> = std::iter::once(title).chain(sentences).collect();
        text += &lines.join("\n");
        text.push('\n');
        text += &passed(&of_heads).terminal();
    }
    text
}

/// The thresholds, ascending.
fn ages(result: &CvResult) -> Vec<u32> {
    let all = result.heads.iter().flat_map(|head| &head.thresholds);
    let mut ages: Vec<u32> = all.map(|at| at.age).collect();
    ages.sort_unstable();
    ages.dedup();
    ages
}

fn at(result: &CvResult, age: u32) -> Vec<(&HeadResult, &ThresholdResult)> {
    let of_head = |head| -> Option<(&HeadResult, &ThresholdResult)> {
        let head: &HeadResult = head;
        Some((head, head.thresholds.iter().find(|at| at.age == age)?))
    };
    result.heads.iter().filter_map(of_head).collect()
}

/// A head's decisions in plain words.
fn words(head: &HeadResult, at: &ThresholdResult) -> String {
    let Decisions { minors_passed, adults_passed, older_passed, .. } = &at.decisions;
    let (name, age, bound) = (&head.name, at.age, at.max_error);
    let Some(challenge) = limits(at, |limits| limits.over_from) else {
        let most = at.chosen.iter().map(|chosen| chosen.limits.minors).max().unwrap_or(0);
        return format!(
            "`{name}` passes no one as {age} or older: to choose a challenge age that passes at most \
             {bound} of minors takes at least {} minors, each a person, among the validation rows of a fit, and \
             there are {}; add pictures of other minors, or raise `--max-false-adult`.",
            format::count(bound.min_subjects()),
            format::count(most),
        );
    };
    let kept = match minors_passed.share {
        Some(rate) if rate <= bound.rate() => "keeps the bound",
        Some(_) => "**breaks the bound**",
        None => "cannot be tested without minors",
    };
    let undecided = at.chosen.iter().filter(|chosen| chosen.limits.over_from.is_none()).count();
    let mut text = format!(
        "`{name}` passes people as {age} or older who by its prediction have reached {challenge} with a \
         probability of 90 % (a challenge age chosen \
         on validation rows to pass at most {bound} of minors), which {kept} on test rows: of {} minors {} pass, \
         of {} adults {} %, of {} over {} years {} %.",
        format::count(minors_passed.rows),
        percent_with_interval(minors_passed),
        format::count(adults_passed.rows),
        percent(adults_passed),
        format::count(older_passed.rows),
        age + MARGIN,
        percent(older_passed),
    );
    if undecided > 0 {
        let fits = at.chosen.len();
        let note = format!(
            " {undecided} of {fits} fits had too few minors to choose a limit and pass no one."
        );
        text += &note;
    }
    if !at.has_distribution {
        text.push_str(" It predicts no distribution over ages: its predicted age alone decides.");
    }
    text
}

fn definitions(at: &ThresholdResult) -> String {
    let ThresholdResult { age, max_error, not_counted, .. } = at;
    let mut text = format!(
        "A minor is younger than {age}, an adult is not. A person passes where the lower decile of the \
         predicted distribution over years, the age reached with a probability of 90 %, is at least \
         the challenge age, and is called under where the median is below a limit of at most {age}; \
         between them nothing is decided. Where a head predicts no distribution, its predicted years \
         are both. Each fit chooses both on its validation rows: the challenge age is \
         the smallest in whole years that keeps the share of minors who pass, were the next one to \
         pass too, at or below {max_error}, and the limit is the largest that does so for adults \
         called under (conformal risk control: the bound holds on average over such choices, for \
         people like the validation rows). Test rows never choose. AUC is the area under the ROC \
         curve of the predicted probability of being {age} or older. Intervals draw subjects (10,000 \
         draws) and are no narrower than the exact ones for independent rows.",
    );
    if *not_counted > 0 {
        let rows = format::count(*not_counted);
        let note = format!(" {rows} rows are not counted: their age ranges extend across {age}.");
        text += &note;
    }
    text
}

/// Pass rates of the heads at the challenge ages that their fits chose.
fn passed(of_heads: &[(&HeadResult, &ThresholdResult)]) -> Table {
    let older = of_heads.first().map_or(0, |(_, at)| at.age) + MARGIN;
    let mut table = Table::new([
        "head".to_owned(),
        "challenge age".to_owned(),
        "minors passed (%)".to_owned(),
        "95 % interval by subject".to_owned(),
        "adults passed (%)".to_owned(),
        format!("over {older} passed (%)"),
        "AUC (%)".to_owned(),
        "AUC of the lower decile (%)".to_owned(),
    ]);
    for (head, at) in of_heads {
        let Decisions { minors_passed, adults_passed, older_passed, .. } = &at.decisions;
        table.row([
            head.name.clone(),
            limits(at, |limits| limits.over_from).unwrap_or_else(|| NONE.to_owned()),
            percent(minors_passed),
            interval(minors_passed),
            percent(adults_passed),
            percent(older_passed),
            format::optional(Metric::Accuracy, at.auc),
            format::optional(Metric::Accuracy, at.auc_of_age),
        ]);
    }
    table
}

/// Rates of decisions under of the heads at the limits that their fits chose.
fn under(of_heads: &[(&HeadResult, &ThresholdResult)]) -> Table {
    let mut table = Table::new([
        "head",
        "under below",
        "adults called under (%)",
        "95 % interval by subject",
        "minors called under (%)",
    ]);
    for (head, at) in of_heads {
        let Decisions { minors_under, adults_under, .. } = &at.decisions;
        table.row([
            head.name.clone(),
            limits(at, |limits| limits.under_below).unwrap_or_else(|| NONE.to_owned()),
            percent(adults_under),
            interval(adults_under),
            percent(minors_under),
        ]);
    }
    table
}

/// Fraction of adults that pass, by fraction of minors that do.
fn roc(of_heads: &[(&HeadResult, &ThresholdResult)]) -> Table {
    let names = of_heads.iter().map(|(head, _)| format!("{}: adults passed (%)", head.name));
    let mut table =
        Table::new(std::iter::once("ROC: minors passed, at most (%)".to_owned()).chain(names));
    let rates = of_heads.first().map_or(&[][..], |(_, at)| &at.roc);
    for (number, point) in rates.iter().enumerate() {
        let of_head = |(_, at): &(&HeadResult, &ThresholdResult)| {
            let passed = at.roc.get(number).map(|point| point.adults_passed);
            format::optional(Metric::Accuracy, passed)
        };
        let rate = format!("{}", (1e4 * point.false_adult_rate).round() / 100.0);
        table.row(std::iter::once(rate).chain(of_heads.iter().map(of_head)));
    }
    table
}

fn challenges(at: &ThresholdResult) -> Table {
    let older = at.age + MARGIN;
    let mut table = Table::new([
        "challenge age".to_owned(),
        "minors passed (%)".to_owned(),
        "adults refused (%)".to_owned(),
        format!("over {older} passed (%)"),
    ]);
    for challenge in &at.challenges {
        let rates = [&challenge.minors_passed, &challenge.adults_refused, &challenge.older_passed];
        table.row(std::iter::once(challenge.age.to_string()).chain(rates.map(counted)));
    }
    table
}

fn slices(at: &ThresholdResult) -> Table {
    let older = at.age + MARGIN;
    let mut table = Table::new([
        "rows".to_owned(),
        "minors passed (%)".to_owned(),
        "95 % interval".to_owned(),
        "adults passed (%)".to_owned(),
        format!("over {older} passed (%)"),
    ]);
    for slice in &at.slices {
        let Decisions { minors_passed, adults_passed, older_passed, .. } = &slice.decisions;
        table.row([
            format!("{}: {}", slice.attribute, literal(&slice.name)),
            counted(minors_passed),
            interval(minors_passed),
            counted(adults_passed),
            counted(older_passed),
        ]);
    }
    table
}

/// The limits that fits chose: `25`, `24 to 26`; none where no fit could choose.
fn limits(at: &ThresholdResult, limit: impl Fn(&AgeThreshold) -> Option<u32>) -> Option<String> {
    let all: Vec<u32> = at.chosen.iter().filter_map(|chosen| limit(&chosen.limits)).collect();
    let (low, high) = (all.iter().min()?, all.iter().max()?);
    Some(if low == high { low.to_string() } else { format!("{low} to {high}") })
}

/// `0.27 (12 of 4,512)`; rows that count in some seeds only have a decimal.
fn counted(rate: &Rate) -> String {
    let whole = rate.hits.round();
    let hits = if (rate.hits - whole).abs() < 1e-6 {
        format::count(whole as usize)
    } else {
        format!("{:.1}", rate.hits)
    };
    match rate.share {
        Some(_) => format!("{} ({hits} of {})", percent(rate), format::count(rate.rows)),
        None => NONE.to_owned(),
    }
}

fn percent(rate: &Rate) -> String {
    format::optional(Metric::Accuracy, rate.share)
}

fn interval(rate: &Rate) -> String {
    rate.interval
        .map_or_else(|| NONE.to_owned(), |interval| format::interval(Metric::Accuracy, interval))
}

/// `0.62 % (95 % interval 0.41 to 0.87)`.
fn percent_with_interval(rate: &Rate) -> String {
    match rate.interval {
        Some(_) => format!("{} % (95 % interval {})", percent(rate), interval(rate)),
        None => format!("{} %", percent(rate)),
    }
}
