//! Occlusion maps, which parts of a face a prediction depends on: patches of the aligned crop are
//! covered one after another, and the prediction is repeated (Zeiler and Fergus, "Visualizing and
//! understanding convolutional networks", 2014).

mod overlay;

use facefold_core::targets::most_probable;
use facefold_core::{PredictedTargets, Task};
use facefold_vision::align::{CROP_SIDE, Crop};
use serde::Serialize;

pub use overlay::{overlay, overlay_with_text};

/// Side of a patch, in pixels of the crop: an eye is covered at once.
pub const PATCH: usize = 24;
/// Pixels from one patch to the next.
pub const STEP: usize = 8;
/// Patches a row, and rows.
pub const GRID: usize = (CROP_SIDE - PATCH) / STEP + 1;

/// The crop with one patch after another, row by row, covered by the crop's mean colour.
pub(crate) fn covered(crop: &Crop) -> impl Iterator<Item = Crop> + '_ {
    let pixels = crop.pixels();
    let mut sum = [0_u64; 3];
    for pixel in pixels.chunks_exact(3) {
        for (sum, value) in sum.iter_mut().zip(pixel) {
            *sum += u64::from(*value);
        }
    }
    let mean = sum.map(|sum| (sum / (CROP_SIDE * CROP_SIDE) as u64) as u8);
    (0..GRID * GRID).filter_map(move |index| {
        let [left, top] = [index % GRID * STEP, index / GRID * STEP];
        let mut pixels = pixels.to_vec();
        for y in top..top + PATCH {
            let start = (y * CROP_SIDE + left) * 3;
            for pixel in pixels[start..start + PATCH * 3].chunks_exact_mut(3) {
                pixel.copy_from_slice(&mean);
            }
        }
        Crop::from_pixels(pixels)
    })
}

/// A head's prediction for a crop, and its change with each covered patch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OcclusionEffect {
    pub bundle: String,
    pub task: Task,
    /// The predicted class; `None` for age.
    pub label: Option<String>,
    /// Its probability, or years.
    pub prediction: f32,
    /// The prediction less that under each patch.
    pub grid: Vec<f32>,
}

impl OcclusionEffect {
    /// From the predictions for the crop itself and then under each patch; `None` without
    /// prediction.
    pub fn between(
        bundle: String,
        task: Task,
        classes: &[String],
        predictions: &PredictedTargets,
    ) -> Option<Self> {
        let (label, predictions): (Option<String>, Vec<f32>) = match predictions {
            PredictedTargets::Regression(years) => (None, years.clone()),
            PredictedTargets::Classes(probabilities) => {
                let first = probabilities.rows().into_iter().next()?;
                let predicted = most_probable(first.iter().copied())?;
                (Some(classes.get(predicted)?.clone()), probabilities.column(predicted).to_vec())
            }
        };
        let (&prediction, others) = predictions.split_first()?;
        let grid = others.iter().map(|other| prediction - other).collect();
        Some(Self { bundle, task, label, prediction, grid })
    }
}

/// The occlusion map of one head's prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The bundle.
    pub bundle: String,
    /// The head's task.
    pub task: Task,
    /// The predicted class; `None` for age.
    pub label: Option<String>,
    /// Its probability, or years.
    pub prediction: f32,
    /// Where it came from.
    pub map: OcclusionMap,
}

impl Explanation {
    pub(crate) fn new(shift: OcclusionEffect, crop: &Crop) -> Self {
        let pixels = crop.pixels().iter().map(|&value| f32::from(value)).collect();
        let map = OcclusionMap { grid: shift.grid, pixels, pictures: 1 };
        let OcclusionEffect { bundle, task, label, prediction, .. } = shift;
        Self { bundle, task, label, prediction, map }
    }

    /// `gender: female 97 %`, `age: 31.2 years`.
    #[must_use]
    pub fn words(&self) -> String {
        match &self.label {
            Some(label) => format!("{}: {label} {:.0} %", self.task, 100.0 * self.prediction),
            None => format!("{}: {:.1} years", self.task, self.prediction),
        }
    }

    /// The meaning of the two colours of the map, and the extreme of each.
    #[must_use]
    pub fn legend(&self) -> [String; 2] {
        legend(self.label.is_some(), &self.map)
    }
}

/// What the two colours of a map of class probabilities, or of years, mean.
#[must_use]
pub fn legend(is_class: bool, map: &OcclusionMap) -> [String; 2] {
    let [most, least] = map.extremes();
    if is_class {
        [
            format!("spoke for it, up to {:.1} points", 100.0 * most.max(0.0)),
            format!("spoke against it, up to {:.1} points", -100.0 * least.min(0.0)),
        ]
    } else {
        [
            format!("made it older, up to {:.1} years", most.max(0.0)),
            format!("made it younger, up to {:.1} years", -least.min(0.0)),
        ]
    }
}

/// The summary of a map.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MapSummary {
    /// The largest decrease of the prediction by a patch; below 0 if there is none.
    pub max: f32,
    /// Top left corner of that patch in the crop of 112 x 112 pixels.
    pub max_at: [usize; 2],
    /// The smallest: below 0 where the prediction increased.
    pub min: f32,
    /// The prediction less that under each patch, row by row from the top.
    pub grid: Vec<Vec<f32>>,
}

/// Change of a prediction with each covered patch, for one crop or the mean of several.
#[derive(Debug, Clone, PartialEq)]
pub struct OcclusionMap {
    /// [`GRID`] x [`GRID`], row by row.
    grid: Vec<f32>,
    /// 112 x 112 x 3, the crop or the mean of crops.
    pixels: Vec<f32>,
    pictures: usize,
}

impl OcclusionMap {
    /// [`GRID`] x [`GRID`] values, row by row: probability or years.
    #[must_use]
    pub fn grid(&self) -> &[f32] {
        &self.grid
    }

    /// Number of crops it is the mean of.
    #[must_use]
    pub fn pictures(&self) -> usize {
        self.pictures
    }

    /// The greatest and the least value.
    #[must_use]
    pub fn extremes(&self) -> [f32; 2] {
        let most = self.grid.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let least = self.grid.iter().copied().fold(f32::INFINITY, f32::min);
        [most, least]
    }

    /// For a document.
    #[must_use]
    pub fn summary(&self) -> MapSummary {
        let [most, least] = self.extremes();
        let at = self.grid.iter().position(|&value| value == most).unwrap_or_default();
        MapSummary {
            max: most,
            max_at: [at % GRID * STEP, at / GRID * STEP],
            min: least,
            grid: self.grid.chunks(GRID).map(<[f32]>::to_vec).collect(),
        }
    }
}

/// The mean of maps, and of the crops beneath them.
#[derive(Debug, Clone, Default)]
pub struct MeanMap {
    grid: Vec<f64>,
    pixels: Vec<f64>,
    pictures: usize,
}

impl MeanMap {
    /// Adds a map of one crop.
    pub fn add(&mut self, map: &OcclusionMap) {
        let add = |sums: &mut Vec<f64>, values: &[f32]| {
            sums.resize(values.len(), 0.0);
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += f64::from(*value);
            }
        };
        add(&mut self.grid, &map.grid);
        add(&mut self.pixels, &map.pixels);
        self.pictures += 1;
    }

    /// The mean; `None` without maps.
    #[must_use]
    pub fn mean(&self) -> Option<OcclusionMap> {
        let pictures = self.pictures;
        let mean = |sums: &[f64]| sums.iter().map(|sum| (sum / pictures as f64) as f32).collect();
        (pictures > 0).then(|| OcclusionMap {
            grid: mean(&self.grid),
            pixels: mean(&self.pixels),
            pictures,
        })
    }
}

#[cfg(test)]
mod tests {
    use facefold_core::{PredictedTargets, Task};
    use facefold_vision::align::{CROP_SIDE, Crop};
    use ndarray::array;

    use super::{Explanation, GRID, MeanMap, OcclusionEffect, PATCH, STEP, covered};

    fn crop(value: u8) -> Crop {
        Crop::from_pixels(vec![value; CROP_SIDE * CROP_SIDE * 3]).unwrap()
    }

    #[test]
    fn patches_cover_the_whole_crop_with_its_mean() {
        assert_eq!((GRID - 1) * STEP + PATCH, CROP_SIDE, "an edge is never covered");
        // Left half black, right half 200: the mean is 100.
        let half = |index: usize| if index / 3 % CROP_SIDE < CROP_SIDE / 2 { 0 } else { 200 };
        let crop = Crop::from_pixels((0..CROP_SIDE * CROP_SIDE * 3).map(half).collect()).unwrap();
        let all: Vec<Crop> = covered(&crop).collect();
        assert_eq!(all.len(), GRID * GRID);
        let mut times = vec![0_usize; CROP_SIDE * CROP_SIDE];
        for covered in &all {
            let pixels = covered.pixels().chunks(3).zip(crop.pixels().chunks(3));
            for (times, (found, before)) in times.iter_mut().zip(pixels) {
                *times += usize::from(found != before);
                assert!(found == before || found == [100; 3]);
            }
        }
        assert!(times.iter().all(|&times| times > 0), "a pixel is never covered");
        assert_eq!(times.iter().sum::<usize>(), GRID * GRID * PATCH * PATCH);
        let last = &all[GRID * GRID - 1];
        assert_eq!(last.pixels()[..3], crop.pixels()[..3]);
        assert_eq!(last.pixels()[CROP_SIDE * CROP_SIDE * 3 - 1], 100);
    }

    #[test]
    fn an_occlusion_effect_is_the_decrease_of_the_prediction() {
        let classes = ["female".to_owned(), "male".to_owned()];
        let probabilities =
            PredictedTargets::Classes(array![[0.25, 0.75], [0.5, 0.5], [0.125, 0.875]]);
        let shift =
            OcclusionEffect::between("b".to_owned(), Task::Gender, &classes, &probabilities)
                .unwrap();
        assert_eq!((shift.label.as_deref(), shift.prediction), (Some("male"), 0.75));
        assert_eq!(shift.grid, [0.25, -0.125]);
        // Of equally probable classes the first.
        let equal = PredictedTargets::Classes(array![[0.5, 0.5], [0.25, 0.75]]);
        let shift = OcclusionEffect::between("b".to_owned(), Task::Gender, &classes, &equal);
        assert_eq!(shift.unwrap().label.as_deref(), Some("female"));
        let years = PredictedTargets::Regression(vec![30.0, 28.0, 33.5]);
        let shift = OcclusionEffect::between("b".to_owned(), Task::Age, &[], &years).unwrap();
        assert_eq!((shift.label.as_deref(), shift.prediction), (None, 30.0));
        assert_eq!(shift.grid, [2.0, -3.5]);
    }

    #[test]
    fn a_mean_map_is_the_mean_of_values_and_crops() {
        let explanation = |value: f32, grey: u8| {
            let mut grid = vec![0.0; GRID * GRID];
            grid[GRID + 2] = value;
            let shift = OcclusionEffect {
                bundle: "b".to_owned(),
                task: Task::Age,
                label: None,
                prediction: 31.24,
                grid,
            };
            Explanation::new(shift, &crop(grey))
        };
        let mut mean = MeanMap::default();
        assert!(mean.mean().is_none());
        let (one, two) = (explanation(1.0, 10), explanation(4.0, 30));
        mean.add(&one.map);
        mean.add(&two.map);
        let mean = mean.mean().unwrap();
        assert_eq!((mean.pictures(), mean.extremes()), (2, [2.5, 0.0]));
        assert!(mean.pixels.iter().all(|&value| value == 20.0));
        let summary = mean.summary();
        assert_eq!((summary.max, summary.max_at), (2.5, [2 * STEP, STEP]));
        assert_eq!(summary.grid[1][2], 2.5);
        assert_eq!(one.words(), "age: 31.2 years");
        assert_eq!(one.legend()[0], "made it older, up to 1.0 years");
    }
}
