//! A check as text for a terminal.

use std::fmt;

use facefold_core::Fold;
use facefold_core::text::printable;

use super::{Check, TaskCount};
use crate::tally::LabelCount;

/// A set with more age strings than this, that is one labelled in years, shows bins of years.
const MOST_AGE_STRINGS: usize = 40;

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} in `{}`", self.kind, self.root.display())?;
        for file in &self.label_files {
            writeln!(f, "labels: {}", file.display())?;
        }
        self.rows(f)?;
        self.tables(f)?;
        self.tasks(f)?;
        self.subjects(f)?;
        if let Some(images) = &self.images {
            writeln!(f, "\npictures: {} there, {} missing", images.present, images.missing)?;
            for path in &images.examples {
                writeln!(f, "  missing: {}", printable(&path.to_string_lossy()))?;
            }
        }
        for note in &self.notes {
            writeln!(f, "\nnote: {}", printable(note))?;
        }
        for error in self.errors() {
            writeln!(f, "\nerror: {}", printable(&error))?;
        }
        Ok(())
    }
}

impl Check {
    /// From rows to samples, as a sum.
    fn rows(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n  {:>8}  label rows", self.rows)?;
        writeln!(f, "- {:>8}  duplicates", self.duplicates)?;
        for (reason, count) in &self.dropped_rows {
            writeln!(f, "- {count:>8}  {reason}")?;
        }
        writeln!(f, "= {:>8}  distinct", self.distinct)?;
        writeln!(f, "+ {:>8}  pictures without labels", self.unlabelled)?;
        writeln!(f, "= {:>8}  samples", self.samples)?;
        if self.label_conflicts > 0 {
            writeln!(f, "  {:>8}  of them with labels that disagree", self.label_conflicts)?;
        }
        for (reason, count) in &self.ignored_files {
            writeln!(f, "  {count:>8}  passed over: {reason}")?;
        }
        for skipped in &self.skipped_examples {
            writeln!(f, "            {}: {}", printable(&skipped.what), skipped.reason)?;
        }
        Ok(())
    }

    fn tables(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folds = &self.folds;
        let samples = LabelCount {
            label: "samples".to_owned(),
            total: self.samples,
            per_fold: self.distinct_per_fold.clone(),
        };
        table(f, "samples by fold", folds, &[samples])?;
        if !self.splits.is_empty() {
            writeln!(f, "\nsamples by split")?;
            for (split, count) in &self.splits {
                writeln!(f, "  {split:<16}{count:>8}")?;
            }
        }
        if self.age_strings.len() <= MOST_AGE_STRINGS {
            table(f, "age strings, before deduplication", folds, &self.age_strings)?;
        } else {
            writeln!(f, "\n{}", self.histograms.age.title)?;
            for bar in &self.histograms.age.bars {
                writeln!(f, "  {:<16}{:>8}", bar.label, bar.count)?;
            }
        }
        table(f, "gender strings, before deduplication", folds, &self.gender_strings)?;
        table(f, "samples by gender", folds, &self.genders)?;
        table(f, "samples by race", folds, &self.races)?;
        table(f, "samples by class", folds, &self.classes)?;
        for count in &self.age_groups {
            let title = format!(
                "samples by age group ({}), label policy {}",
                self.groups.name(),
                count.policy
            );
            table(f, &title, folds, &count.groups)?;
        }
        Ok(())
    }

    /// What each task uses and drops; used and dropped make up all samples.
    fn tasks(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nsamples that serve a task")?;
        for count in &self.tasks {
            writeln!(f, "  {:<20}{:>8} used", task_name(count), count.used)?;
            for (reason, dropped) in &count.dropped {
                writeln!(f, "  {:<20}{dropped:>8} dropped: {reason}", "")?;
            }
        }
        Ok(())
    }

    fn subjects(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subjects = LabelCount {
            label: "subjects".to_owned(),
            total: self.subjects,
            per_fold: self.subjects_per_fold.clone(),
        };
        table(f, "subjects by fold", &self.folds, &[subjects])?;
        if self.samples_without_subject > 0 {
            writeln!(f, "  {} samples name no subject", self.samples_without_subject)?;
        }
        for leak in &self.leaks {
            let folds: Vec<String> = leak.folds.iter().map(ToString::to_string).collect();
            let splits: Vec<&str> = leak.splits.iter().map(|split| split.as_str()).collect();
            let places = [folds.join(", "), splits.join(", ")].join(" ");
            let subject = leak.subject.to_string();
            writeln!(f, "  leak: `{}` is in {}", printable(&subject), places.trim())?;
        }
        Ok(())
    }
}

fn task_name(count: &TaskCount) -> String {
    match count.policy {
        Some(policy) => format!("{} {policy}", count.task),
        None => count.task.to_string(),
    }
}

/// Labels down, folds across; nothing at all where no sample has such a label.
fn table(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    folds: &[Fold],
    rows: &[LabelCount],
) -> fmt::Result {
    if rows.iter().all(|row| row.label.is_empty() || row.total == 0) {
        return Ok(());
    }
    let labels: Vec<_> = rows.iter().map(|row| printable(&row.label)).collect();
    let widest = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0).max(14);
    writeln!(f, "\n{title}")?;
    write!(f, "  {:widest$}{:>8}", "", "total")?;
    for fold in folds {
        write!(f, "{:>8}", format!("fold {fold}"))?;
    }
    writeln!(f)?;
    for (row, label) in rows.iter().zip(&labels) {
        let label = if label.is_empty() { "(empty)" } else { label.as_ref() };
        write!(f, "  {label:widest$}{:>8}", row.total)?;
        for count in &row.per_fold {
            write!(f, "{count:>8}")?;
        }
        writeln!(f)?;
    }
    Ok(())
}
