//! The training loop: epochs, validation, early stopping, checkpoint of the best epoch.

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Shape, Tensor};
use candle_nn::{ModuleT, Optimizer};
use facefold_core::{Epoch, FeatureDataset, HeadError, TargetKind, Targets, TrainingLog};

use super::data::Batches;
use super::decoder::Decoder;
use super::init::Start;
use super::logit_adjustment;
use super::loss::{BatchLoss, EncodedTargets, Labels};
use super::model::Network;
use super::multi_task::MultiTaskData;
use super::optimizer::{Config, FusedOptimizer};
use super::schedule::Rate;
use super::thresholds::Thresholds;
use super::{Fitted, FittedSettings, Mlp};
use crate::calibration;
use crate::estimator::mismatch;
use crate::features::Standardiser;
use crate::loss::Loss;
use crate::state_dict::{Stored, backend};
use crate::years;

/// Fits the network on this thread.
pub(super) fn fit(
    head: &Mlp,
    training: &FeatureDataset<'_>,
    validation: &FeatureDataset<'_>,
    seed: u64,
) -> Result<Fitted, HeadError> {
    let options = &head.options;
    let target = training.targets().kind();
    if training.len() < 2 {
        return Err(HeadError::Untrainable(format!(
            "an MLP needs at least 2 training rows, found {}",
            training.len()
        )));
    }
    if validation.targets().kind() != target {
        return Err(mismatch(target, validation.targets().kind()));
    }
    let start = Start::of(head, training.matrix().width())?;
    let features = match &start {
        Some(start) => start.features.clone(),
        None => Standardiser::fit(training, head.unit_columns)?,
    };
    features.check(validation.matrix(), validation.rows())?;
    let mut log = TrainingLog::default();
    log.notes.extend(years::range_note(training.targets()));
    log.notes.extend(years::choice_note(validation.targets()));
    let data = MultiTaskData::of(head, training, &mut log)?;
    let targets = data.targets(options);
    let draw =
        || Network::draw(head.architecture, options, features.width(), targets.outputs(), seed);
    let (network, best_network) = (draw()?, draw()?);
    if let Some(start) = &start {
        log.notes.push(start.copy_to(&network, target)?);
    }
    let thresholds = Thresholds::new(options, &data)?;
    let years = EncodedTargets::scale(training.targets());
    let mut decoder = Decoder::new(target, options, years);
    let validation_labels = Labels {
        targets: validation.targets(),
        positions: (0..validation.len()).collect(),
        class_weights: data.labels[0].class_weights.clone(),
        weight: 1.0,
    };
    let mut evaluator = ValidationEvaluator {
        validation,
        features: &features,
        targets: EncodedTargets::new(validation.len(), &[validation_labels], options, |_| years),
        decoder: decoder.clone(),
    };

    let mut batches = Batches::new(
        (training.matrix(), &data.rows),
        &features,
        options,
        data.balanced(head.class_weights),
        seed,
    );
    let epochs = options.epochs.max(options.min_steps.div_ceil(batches.count()));
    let steps = epochs * batches.count();
    let mut rate = Rate::new(options.schedule, options.learning_rate, steps);
    let failed = backend("training an MLP");
    let (mut variables, mut parameters) = (network.variables(), network.parameters());
    if let Some((variable, parameter)) = thresholds.parameter() {
        parameters.insert(variable.id(), parameter);
        variables.push(variable);
    }
    let (kind, l1, learning_rate) = (options.optimizer, options.l1, options.learning_rate);
    let config = Config { kind, l1, learning_rate, parameters };
    let mut optimizer = FusedOptimizer::new(variables, config).map_err(&failed)?;
    if batches.size() != options.batch_size || epochs != options.epochs {
        let (n, size) = (data.rows.len(), batches.size());
        log.notes.push(format!("{n} training rows: {epochs} epochs in batches of {size}"));
    }
    if let Some(window) = batches.window_rows() {
        log.notes.push(format!(
            "{} training rows are shuffled {window} at a time (`mlp.memory_gb`), in blocks of neighbouring rows",
            data.rows.len()
        ));
    }
    let mut best = Checkpoint::default();
    for number in 1..=epochs {
        batches.shuffle();
        let mut sum = 0.0;
        let mut now = rate.now();
        for batch in 0..batches.count() {
            now = rate.now();
            let (values, batch_targets) = batches.batch(batch, &targets);
            let known = thresholds.values().map_err(&failed)?;
            optimizer.set_learning_rate(now);
            sum += step(&network, &mut optimizer, values, |outputs| {
                let BatchLoss { loss, by_threshold } =
                    targets.loss(outputs, &batch_targets, &known);
                thresholds.pull(&by_threshold);
                loss
            })
            .map_err(&failed)?;
            rate.step();
        }
        let training_loss = sum / batches.count() as f64;
        if !training_loss.is_finite() {
            return Err(HeadError::Untrainable(format!(
                "the loss of epoch {number} is not finite: use a lower learning rate than {}",
                options.learning_rate
            )));
        }
        let now_thresholds = thresholds.values().map_err(&failed)?;
        evaluator.decoder.set_thresholds(now_thresholds.clone());
        let outputs = evaluator.outputs(&network)?;
        let (validation_loss, validation_score) = evaluator.evaluate(&outputs);
        rate.epoch(validation_loss);
        let epoch =
            Epoch { number, training_loss, validation_loss, validation_score, learning_rate: now };
        if validation.is_empty() || best.improves(&epoch, target) {
            best.epoch = Some(epoch.clone());
            best.outputs = outputs;
            best_network.copy_from(&network).map_err(&failed)?;
            decoder.set_thresholds(now_thresholds);
        }
        log.epochs.push(epoch);
        let waited = number - best.epoch.as_ref().map_or(0, |epoch| epoch.number);
        if options.patience.is_some_and(|patience| waited >= patience) {
            log.notes.push(format!("stopped after epoch {number}: none better in {waited}"));
            break;
        }
    }
    log.best_epoch = best.epoch.map(|epoch| epoch.number);
    if validation.is_empty() {
        log.notes.push("no validation rows: the weights are those of the last epoch".to_owned());
    }
    if options.temperature {
        decoder.temperature = evaluator.temperature(&best.outputs);
    }
    let network = best_network.first_outputs(decoder.outputs()).map_err(&failed)?;
    let tau = options.logit_adjustment;
    if tau > 0.0 && target == TargetKind::Regression && decoder.has_a_logit_for_each_age() {
        logit_adjustment::adjust(&network, &decoder, &features, training, tau)?;
    }
    let settings = FittedSettings {
        architecture: head.architecture,
        multi_task: head.multi_task.is_some(),
        options: options.clone(),
    };
    let stored = Stored { target, unit_columns: head.unit_columns, settings, log };
    Ok(Fitted { features, network, decoder, stored })
}

/// One step on a batch; gives the batch's loss.
fn step(
    network: &Network,
    optimizer: &mut FusedOptimizer,
    values: Vec<f32>,
    loss: impl Fn(&[f32]) -> Loss,
) -> candle_core::Result<f64> {
    let shape = (values.len() / network.width(), network.width());
    let features = Tensor::from_vec(values, shape, &Device::Cpu)?;
    let outputs = network.forward_t(&features, true)?;
    let loss = loss(&outputs.flatten_all()?.to_vec1::<f32>()?);
    let value = loss.value;
    optimizer.backward_step(&outputs.apply_op1(KnownLoss(loss))?)?;
    Ok(value)
}

/// A loss whose value and gradient by the outputs are known in closed form.
struct KnownLoss(Loss);

impl CustomOp1 for KnownLoss {
    fn name(&self) -> &'static str {
        "loss"
    }

    fn cpu_fwd(
        &self,
        _outputs: &CpuStorage,
        _layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![self.0.value as f32]), Shape::from(())))
    }

    fn bwd(
        &self,
        outputs: &Tensor,
        _value: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        let by_outputs = Tensor::from_vec(self.0.gradient.clone(), outputs.shape(), &Device::Cpu)?;
        by_outputs.broadcast_mul(gradient).map(Some)
    }
}

/// The best epoch so far: early stopping's checkpoint.
#[derive(Default)]
struct Checkpoint {
    epoch: Option<Epoch>,
    /// Its outputs for the validation rows.
    outputs: Vec<f32>,
}

impl Checkpoint {
    fn improves(&self, epoch: &Epoch, target: TargetKind) -> bool {
        self.epoch.as_ref().is_none_or(|best| error(epoch, target) < error(best, target))
    }
}

/// What decides between epochs: of years their error; of classes the loss, which is less noisy than accuracy.
pub(super) fn error(epoch: &Epoch, target: TargetKind) -> f64 {
    match target {
        TargetKind::Regression => epoch.validation_score,
        TargetKind::Classes { .. } => epoch.validation_loss,
    }
}

/// Evaluates a network on the validation rows.
struct ValidationEvaluator<'a> {
    validation: &'a FeatureDataset<'a>,
    features: &'a Standardiser,
    targets: EncodedTargets,
    decoder: Decoder,
}

impl ValidationEvaluator<'_> {
    /// The outputs of the main task, without those of the auxiliary tasks.
    fn outputs(&self, network: &Network) -> Result<Vec<f32>, HeadError> {
        let (own, all) = (self.decoder.outputs(), network.outputs());
        let mut outputs = Vec::with_capacity(self.validation.len() * own);
        for rows in self.features.chunks(self.validation.matrix().plain(), self.validation.rows()) {
            let predictions = network.predict(rows)?;
            outputs.extend(predictions.chunks(all).flat_map(|row| row[..own].iter().copied()));
        }
        Ok(outputs)
    }

    /// Loss, and accuracy or error in years ([`years::error`]); zeros where there are no rows.
    fn evaluate(&self, outputs: &[f32]) -> (f64, f64) {
        if self.validation.is_empty() {
            return (0.0, 0.0);
        }
        let loss = self.targets.full_loss(outputs, &self.decoder.thresholds);
        let n = self.validation.len() as f64;
        let score = match self.validation.targets() {
            Targets::Classes { indices, count } => {
                let right = |(row, index): (&[f32], &usize)| row.iter().all(|z| *z <= row[*index]);
                outputs.chunks(*count).zip(indices).filter(|&pair| right(pair)).count() as f64 / n
            }
            Targets::Regression(ages) => years::error(
                &self.decoder.years_of(&self.decoder.probabilities(outputs.to_vec())),
                ages,
            ),
        };
        (loss, score)
    }

    fn temperature(&self, outputs: &[f32]) -> f32 {
        match self.validation.targets() {
            Targets::Classes { indices, count } if !indices.is_empty() => {
                calibration::temperature(outputs, indices, *count)
            }
            _ => 1.0,
        }
    }
}
