//! Out-of-distribution detection: how similar a face's features are to those of the training faces.

use std::ops::Range;

use ndarray::{Array2, ArrayView1, Axis};
use rand::seq::index::sample_weighted;
use serde::{Deserialize, Serialize};

use crate::feature_matrix::FeatureMatrix;
use crate::head::HeadError;
use crate::principal_components::{COMPONENTS, leading, moments, quantised, standardised};
use crate::rng::{Rng, seeded};
use crate::rows::FeatureRows;

/// Fraction of held-out faces that count as familiar.
const FAMILIAR: f64 = 0.99;
/// Training rows that moments and components are taken from; more change neither.
const MOST_ROWS: usize = 5_000;
/// Standardised values count up to this many deviations: single columns go far out on good faces.
const CLIP: f32 = 3.0;
/// Minimum of held-out rows for the 99 % quantile.
const LEAST_ROWS: usize = 50;
/// Steps of the table of held-out distances.
const STEPS: usize = 1_000;
/// Larger than any statistic.
const UNREACHED: f32 = 1e30;
/// Statistics that a distance is made of.
const STATISTICS: usize = 3;

/// How similar a face is to the training faces.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Familiarity {
    /// Fraction of held-out training faces that are as far from the others as this one or farther:
    /// 0.5 for the usual face, below 0.01 for an unfamiliar one.
    pub score: f32,
    /// Distance from the training faces: 0 in their midst, 1 where a face becomes unfamiliar.
    pub distance: f32,
    /// Whether the face is unlike those the heads were trained on: farther away than 99 % of the
    /// held-out training faces.
    pub unfamiliar: bool,
}

impl Familiarity {
    /// The score below which a face is unfamiliar.
    pub const UNFAMILIAR_BELOW: f32 = 0.01;
}

/// Detects unfamiliar faces: fitted on the training rows, with a border calibrated on held-out rows
/// of the same datasets.
///
/// The distance is the root of the sum of the squares of three statistics, each 0 up to the median
/// of the held-out rows and rising by as much again at each distance from it to their 99 %
/// quantile: the root mean square of what the leading principal components leave of the standardised
/// deep columns, their reconstruction error; the same of the middle columns; and the root mean
/// square of the standardised deep columns themselves. Deep columns are the second half of the taps,
/// which come from the network's last map, and middle columns the first half: still earlier maps
/// depend on how a picture was made, and would make good photographs from another source
/// unfamiliar. Without taps all columns count as both. Standardised values are clipped at 3
/// deviations. Each statistic is a mean over the crop and its mirror image. The distance is in units
/// of the held-out rows' own 99 % quantile, which is the border of the unfamiliar.
#[derive(Debug, Clone, PartialEq)]
pub struct FamiliarityModel(FamiliarityParameters);

/// The numbers of a [`FamiliarityModel`], to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct FamiliarityParameters {
    /// The first columns, that are the embedding; 0 where heads see none.
    pub embedding: usize,
    /// Mean of each column.
    pub mean: Vec<f32>,
    /// 1 / standard deviation of each column; 0 for one that never varied.
    pub scale: Vec<f32>,
    /// Principal components, k x d, each in units of its own in [`Self::units`].
    pub components: Array2<i8>,
    /// What a component's numbers are multiplied by.
    pub units: Vec<f32>,
    /// Of each statistic the median and the 99 % quantile of the held-out rows.
    pub statistics: [[f32; 2]; STATISTICS],
    /// Quantiles of the held-out rows' distances at the levels 0, 0.001, …, 1; 1 at 0.99.
    pub distances: Vec<f32>,
}

/// Some rows of a matrix, and how much each counts.
#[derive(Debug, Clone, Copy)]
pub struct WeightedRows<'a> {
    /// Row numbers.
    pub rows: &'a [usize],
    /// Their weights, above 0.
    pub weights: &'a [f64],
}

impl FamiliarityModel {
    /// Fits on training rows, and sets the border on rows of the same sets that were held out, each
    /// of which counts the same: with equal weight for each data set a few odd rows of a small one
    /// would set the border. None where there are fewer than 50 held-out rows, no training rows, or
    /// no features.
    ///
    /// # Errors
    /// [`HeadError::Untrainable`] where features are not finite.
    pub fn fit(
        matrix: &FeatureMatrix,
        training: WeightedRows<'_>,
        held_out: &[usize],
    ) -> Result<Option<Self>, HeadError> {
        if held_out.len() < LEAST_ROWS || training.rows.is_empty() || matrix.width() == 0 {
            return Ok(None);
        }
        let embedding = matrix.embedding();
        let mut generator = seeded(0, "familiarity");
        let rows = drawn(training, &mut generator)?;
        let values = values(matrix.plain(), &rows, embedding);
        let (mean, scale) = moments(&values)?;
        let standardised = standardised(values, &mean, &scale);
        let (components, units) = quantised(&leading(&standardised, &mut generator));
        let mut model = Self(FamiliarityParameters {
            embedding,
            mean,
            scale,
            components,
            units,
            statistics: [[0.0, 1.0]; STATISTICS],
            distances: Vec::new(),
        });
        let measured = model.measure(matrix, held_out)?;
        for statistic in 0..STATISTICS {
            let quantiles = Quantiles::new(measured.iter().map(|row| row[statistic]));
            let [median, border] = [0.5, FAMILIAR].map(|level| quantiles.at(level));
            // A statistic without variance is not informative, whatever its values later.
            let border = if border > median { border } else { median + UNREACHED };
            model.0.statistics[statistic] = [median, border];
        }
        let quantiles = Quantiles::new(measured.iter().map(|row| model.combined(row)));
        let border = quantiles.at(FAMILIAR).max(f32::MIN_POSITIVE);
        let level = |step: usize| step as f64 / STEPS as f64;
        model.0.distances = (0..=STEPS).map(|step| quantiles.at(level(step)) / border).collect();
        // All statistics in units of the border, so that it lies at a distance of 1.
        for [median, at_border] in &mut model.0.statistics {
            *at_border = *median + (*at_border - *median) * border;
        }
        Ok(Some(model))
    }

    /// A model of these parts.
    ///
    /// # Errors
    /// [`HeadError::Corrupt`] where they do not fit together.
    pub fn new(parts: FamiliarityParameters) -> Result<Self, HeadError> {
        let (k, d) = parts.components.dim();
        if k > COMPONENTS {
            return Err(HeadError::Corrupt(format!(
                "its familiarity has {k} components, at most {COMPONENTS} expected: it is of an \
                 earlier version of facefold, which measured otherwise; train the bundle again"
            )));
        }
        let sizes = d > 0
            && [parts.mean.len(), parts.scale.len()] == [d, d]
            && parts.units.len() == k
            && parts.embedding <= d
            && parts.distances.len() == STEPS + 1;
        let finite = [&parts.mean, &parts.scale, &parts.units, &parts.distances]
            .into_iter()
            .flatten()
            .chain(parts.statistics.as_flattened())
            .all(|value| value.is_finite());
        let ordered = parts.distances.is_sorted()
            && parts.statistics.iter().all(|[median, border]| median < border);
        if sizes && finite && ordered {
            Ok(Self(parts))
        } else {
            Err(HeadError::Corrupt("the familiarity's numbers do not fit together".to_owned()))
        }
    }

    /// Its numbers.
    #[must_use]
    pub fn parameters(&self) -> &FamiliarityParameters {
        &self.0
    }

    /// How like the training faces rows of a matrix are that is as wide as the training matrix.
    ///
    /// # Errors
    /// [`HeadError::Shape`] where the width differs.
    pub fn of(
        &self,
        matrix: &FeatureMatrix,
        rows: &[usize],
    ) -> Result<Vec<Familiarity>, HeadError> {
        let measured = self.measure(matrix, rows)?;
        Ok(measured.iter().map(|row| self.familiarity(self.combined(row))).collect())
    }

    fn familiarity(&self, distance: f32) -> Familiarity {
        // What is not finite is like nothing.
        let distance = if distance.is_finite() { distance } else { f32::MAX };
        let nearer = self.0.distances.partition_point(|&known| known < distance);
        let score = 1.0 - nearer as f32 / (STEPS + 1) as f32;
        Familiarity { score, distance, unfamiliar: distance > 1.0 }
    }

    /// The distance that statistics give, in units of the held-out rows' 99 % quantiles.
    fn combined(&self, measured: &[f32; STATISTICS]) -> f32 {
        let squares = measured.iter().zip(&self.0.statistics).map(|(value, [median, border])| {
            let beyond = (value - median) / (border - median);
            // Not `max`, which would make 0 of what is not a number.
            if beyond < 0.0 { 0.0 } else { beyond * beyond }
        });
        squares.sum::<f32>().sqrt()
    }

    /// The statistics of rows, averaged over the crop and its mirror image.
    fn measure(
        &self,
        matrix: &FeatureMatrix,
        rows: &[usize],
    ) -> Result<Vec<[f32; STATISTICS]>, HeadError> {
        let FamiliarityParameters { mean, components, units, .. } = &self.0;
        if matrix.width() != mean.len() {
            return Err(HeadError::Shape(format!(
                "familiarity was fitted on {} features, the matrix has {}",
                mean.len(),
                matrix.width()
            )));
        }
        let mut components = components.mapv(f32::from);
        for (mut component, unit) in components.rows_mut().into_iter().zip(units) {
            component *= *unit;
        }
        let mut measured = self.of_crops(matrix.plain(), rows, &components);
        if let Some(mirrored) = matrix.mirrored() {
            let other = self.of_crops(mirrored, rows, &components);
            for (one, other) in measured.iter_mut().zip(other) {
                for (one, other) in one.iter_mut().zip(other) {
                    *one = f32::midpoint(*one, other);
                }
            }
        }
        Ok(measured)
    }

    fn of_crops(
        &self,
        source: &FeatureRows,
        rows: &[usize],
        components: &Array2<f32>,
    ) -> Vec<[f32; STATISTICS]> {
        let FamiliarityParameters { embedding, mean, scale, .. } = &self.0;
        // The embedding is no map; without taps there is nothing else.
        let taps = mean.len() - embedding;
        let [middle, deep] = match taps {
            0 => [0..mean.len(), 0..mean.len()],
            _ => [*embedding..embedding + taps / 2, embedding + taps / 2..mean.len()],
        };
        let mut measured = Vec::with_capacity(rows.len());
        for chunk in rows.chunks(256) {
            let standardised = standardised(values(source, chunk, *embedding), mean, scale);
            let inside = standardised.dot(&components.t()).dot(components);
            let rest = &standardised - &inside;
            measured.extend(standardised.rows().into_iter().zip(rest.rows()).map(|(own, rest)| {
                let part = |row: ArrayView1<'_, f32>, columns: &Range<usize>| {
                    clipped(row.slice_axis(Axis(0), columns.clone().into()))
                };
                [part(rest, &middle), part(rest, &deep), part(own, &deep)]
            }));
        }
        measured
    }
}

/// Rows of features, the embedding scaled to length 1.
fn values(source: &FeatureRows, rows: &[usize], embedding: usize) -> Array2<f32> {
    let mut values = Array2::zeros((rows.len(), source.width()));
    for (&row, mut out) in rows.iter().zip(values.rows_mut()) {
        // Rows of a new array are contiguous.
        let Some(out) = out.as_slice_mut() else { continue };
        source.copy(row, out);
        let length = out[..embedding].iter().map(|value| value * value).sum::<f32>().sqrt();
        if length > 0.0 {
            out[..embedding].iter_mut().for_each(|value| *value /= length);
        }
    }
    values
}

/// At most [`MOST_ROWS`] training rows, drawn by weight.
fn drawn(training: WeightedRows<'_>, generator: &mut Rng) -> Result<Vec<usize>, HeadError> {
    let WeightedRows { rows, weights } = training;
    if rows.len() <= MOST_ROWS {
        return Ok(rows.to_vec());
    }
    let weight = |at: usize| weights[at];
    let chosen = sample_weighted(generator, rows.len(), weight, MOST_ROWS).map_err(|error| {
        HeadError::Untrainable(format!("weights of the training rows: {error}"))
    })?;
    let mut chosen: Vec<usize> = chosen.into_iter().map(|at| rows[at]).collect();
    chosen.sort_unstable();
    Ok(chosen)
}

/// Root mean square of values clipped at [`CLIP`].
fn clipped(values: ArrayView1<'_, f32>) -> f32 {
    let squares: f32 = values.iter().map(|value| value.clamp(-CLIP, CLIP).powi(2)).sum();
    (squares / values.len() as f32).sqrt()
}

/// Values in ascending order.
struct Quantiles(Vec<f32>);

impl Quantiles {
    fn new(values: impl Iterator<Item = f32>) -> Self {
        let mut sorted: Vec<f32> = values.collect();
        sorted.sort_by(f32::total_cmp);
        Self(sorted)
    }

    /// The least value up to which at least this fraction of the values lies; 0 without values.
    fn at(&self, level: f64) -> f32 {
        // A level that is a fraction of the number of values misses it by a rounding error.
        let reached = (self.0.len() as f64 * level - 1e-6).ceil().max(1.0) as usize;
        self.0.get(reached - 1).or(self.0.last()).copied().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Axis};
    use rand::Rng as _;

    use super::{Familiarity, FamiliarityModel, FamiliarityParameters, WeightedRows};
    use crate::feature_matrix::FeatureMatrix;
    use crate::rng::seeded;

    const WIDTH: usize = 120;

    /// Faces along six directions with a little noise, and three rows unlike them: far away, off
    /// the directions, and not finite.
    fn matrix(n: usize) -> FeatureMatrix {
        let mut generator = seeded(1, "familiarity test");
        let mut normal = || (0..12).map(|_| generator.random::<f32>()).sum::<f32>() - 6.0;
        let directions = Array2::from_shape_fn((6, WIDTH), |_| normal());
        let hidden = Array2::from_shape_fn((n, 6), |_| normal());
        let noise = Array2::from_shape_fn((n + 3, WIDTH), |_| 0.2 * normal());
        let mut rows = noise;
        let faces = hidden.dot(&directions);
        rows.slice_axis_mut(Axis(0), (..n).into()).zip_mut_with(&faces, |row, face| *row += face);
        let one = faces.row(0).to_owned();
        rows.row_mut(n).assign(&(&one * 20.0));
        rows.row_mut(n + 1).mapv_inplace(|value| 10.0 * value);
        rows.row_mut(n + 2).fill(f32::NAN);
        let mirrored = rows.mapv(|value| value * 1.01);
        FeatureMatrix::new(rows, Some(mirrored)).unwrap().with_embedding(20).unwrap()
    }

    fn weighted(rows: &[usize], weights: &[f64]) -> FamiliarityModel {
        let held_out: Vec<usize> = (600..1_600).collect();
        let matrix = matrix(3_000);
        let training = WeightedRows { rows, weights };
        FamiliarityModel::fit(&matrix, training, &held_out).unwrap().unwrap()
    }

    fn model() -> FamiliarityModel {
        let rows: Vec<usize> = (0..600).collect();
        weighted(&rows, &[1.0; 600])
    }

    #[test]
    fn held_out_faces_are_familiar_and_others_are_not() {
        let (model, matrix) = (model(), matrix(3_000));
        let flagged = |rows: std::ops::Range<usize>| {
            let found = model.of(&matrix, &rows.clone().collect::<Vec<_>>()).unwrap();
            found.iter().filter(|face| face.unfamiliar).count() as f64 / rows.len() as f64
        };
        assert_eq!(flagged(600..1_600), 0.01);
        let fresh = flagged(1_600..3_000);
        assert!((0.002..0.025).contains(&fresh), "{fresh}");
        for face in model.of(&matrix, &[3_000, 3_001, 3_002]).unwrap() {
            assert!(face.unfamiliar && face.distance > 1.0 && face.score < 0.01, "{face:?}");
        }
    }

    #[test]
    fn a_score_is_the_fraction_of_faces_at_least_as_far_away() {
        let (model, matrix) = (model(), matrix(3_000));
        let found = model.of(&matrix, &(600..1_600).collect::<Vec<_>>()).unwrap();
        for face in &found {
            let farther = found.iter().filter(|other| other.distance >= face.distance).count();
            let share = farther as f32 / found.len() as f32;
            assert!((face.score - share).abs() < 0.003, "{face:?}: {share}");
            assert_eq!(face.unfamiliar, face.score < Familiarity::UNFAMILIAR_BELOW);
        }
    }

    #[test]
    fn the_score_of_a_row_does_not_depend_on_other_rows() {
        let (model, matrix) = (model(), matrix(3_000));
        let all = model.of(&matrix, &(1_000..1_300).collect::<Vec<_>>()).unwrap();
        let one = model.of(&matrix, &[1_299]).unwrap();
        assert!((all[299].distance - one[0].distance).abs() < 1e-5);
    }

    #[test]
    fn a_small_set_does_not_set_the_border() {
        // 6 of 1,006 held-out rows are far away: fewer than the 1 % that is left beyond the border.
        let matrix = matrix(2_000);
        let training: Vec<usize> = (0..600).collect();
        let training = WeightedRows { rows: &training, weights: &[1.0; 600] };
        let unfamiliar = |far: usize| {
            let held_out: Vec<usize> =
                (600..1_600).chain(std::iter::repeat_n(2_000, far)).collect();
            let model = FamiliarityModel::fit(&matrix, training, &held_out).unwrap().unwrap();
            model.of(&matrix, &[2_000]).unwrap()[0].unfamiliar
        };
        assert!(unfamiliar(6));
        assert!(!unfamiliar(20));
    }

    #[test]
    fn training_rows_are_drawn_by_weight() {
        let rows: Vec<usize> = (0..12_000).collect();
        let heavy = |weight: f64| {
            let weights: Vec<f64> =
                rows.iter().map(|&row| if row < 600 { 1.0 } else { weight }).collect();
            let rows = WeightedRows { rows: &rows, weights: &weights };
            let drawn = super::drawn(rows, &mut seeded(0, "drawn")).unwrap();
            assert_eq!(drawn.len(), super::MOST_ROWS);
            drawn.iter().filter(|&&row| row < 600).count()
        };
        assert_eq!(heavy(1e-9), 600);
        assert!((200..300).contains(&heavy(1.0)));
    }

    #[test]
    fn the_same_rows_give_the_same_numbers() {
        assert_eq!(model(), model());
        assert_eq!(FamiliarityModel::new(model().parameters().clone()).unwrap(), model());
    }

    #[test]
    fn few_rows_give_no_model_and_invalid_parameters_are_refused() {
        let matrix = matrix(100);
        let rows: Vec<usize> = (0..49).collect();
        let few = WeightedRows { rows: &rows, weights: &[1.0; 49] };
        assert_eq!(FamiliarityModel::fit(&matrix, few, &rows).unwrap(), None);
        let narrow = FeatureMatrix::new(Array2::zeros((1, 3)), None).unwrap();
        assert!(model().of(&narrow, &[0]).is_err());
        let odd: [fn(&mut FamiliarityParameters); 7] = [
            // As many as an earlier version had, of other statistics.
            |parts| {
                parts.components = Array2::zeros((48, WIDTH));
                parts.units = vec![1.0; 48];
            },
            |parts| parts.embedding = WIDTH + 1,
            |parts| parts.mean[0] = f32::NAN,
            |parts| parts.scale.truncate(1),
            |parts| parts.units.truncate(1),
            |parts| parts.distances.reverse(),
            |parts| parts.statistics[1] = [1.0, 0.0],
        ];
        for odd in odd {
            let mut parts = model().parameters().clone();
            odd(&mut parts);
            assert!(FamiliarityModel::new(parts).is_err());
        }
    }
}
