//! The detector around a network that is replaced by fixed outputs.

use facefold_engine::{
    Convolution, EngineError, Executor, Images, Network, Op, Shape, Tensor, ValueId,
};
use image::RgbImage;

use super::{Attempt, Detector, STRIDES, attempts, fitted, input, input_side};

/// A network with SCRFD's nine output shapes, scores of all strides first, as `det_10g` has them.
fn scrfd_like() -> Network {
    let mut network = Network::new("scrfd-like", 3);
    for channels in [2, 8, 20] {
        for stride in STRIDES {
            let convolution = Convolution {
                weight: vec![0.0; channels * 3],
                bias: vec![0.0; channels],
                input_channels: 3,
                output_channels: channels,
                kernel: [1, 1],
                stride,
                padding: 0,
                groups: 1,
            };
            let name = format!("{channels}_{stride}");
            let value = network.push(&name, Op::Convolution(convolution), &[ValueId::INPUT]);
            network.output(name, value);
        }
    }
    network
}

/// Gives one face per entry, at inputs of the given side only.
struct Fixed {
    side: usize,
    /// Index of the stride, column, row, anchor, score.
    faces: Vec<(usize, usize, usize, usize, f32)>,
}

impl Executor for Fixed {
    fn run(&self, images: Images<'_>) -> Result<Vec<Tensor>, EngineError> {
        let mut outputs = Vec::new();
        for channels in [2, 8, 20] {
            for (index, stride) in STRIDES.into_iter().enumerate() {
                let cells = images.shape.height / stride;
                let mut data = vec![0.0; cells * cells * channels];
                for &(_, column, row, anchor, score) in
                    self.faces.iter().filter(|face| face.0 == index && cells == self.side / stride)
                {
                    let each = channels / 2;
                    let at = ((row * cells + column) * 2 + anchor) * each;
                    let values: Vec<f32> = match each {
                        1 => vec![score],
                        4 => vec![1.0, 2.0, 3.0, 4.0],
                        _ => (0..10).map(|value| value as f32 / 2.0).collect(),
                    };
                    data[at..at + each].copy_from_slice(&values);
                }
                let shape = Shape { channels, height: cells, width: cells };
                outputs.push(Tensor { data, count: 1, shape });
            }
        }
        Ok(outputs)
    }

    fn describe(&self) -> String {
        "fixed".to_owned()
    }
}

fn detector(side: usize, faces: Vec<(usize, usize, usize, usize, f32)>) -> Detector {
    Detector::new(&scrfd_like(), Box::new(Fixed { side, faces })).unwrap()
}

#[test]
fn the_input_side_follows_the_picture() {
    for (longer, side) in [(16, 256), (200, 256), (257, 288), (600, 608), (640, 640), (4000, 640)] {
        assert_eq!(input_side(longer), side, "{longer}");
    }
    assert_eq!(fitted([816, 400], 640), [640, 313]);
    assert_eq!(fitted([200, 200], 256), [256, 256]);
    assert_eq!(fitted([5000, 2], 640), [640, 1]);
}

#[test]
fn the_second_attempt_is_padded_and_the_third_has_another_size() {
    assert_eq!(
        attempts(200, 100),
        [
            Attempt { padding: 0, side: 256 },
            Attempt { padding: 50, side: 320 },
            Attempt { padding: 50, side: 640 },
        ]
    );
    assert_eq!(attempts(3000, 4000)[2], Attempt { padding: 1000, side: 320 });
}

#[test]
fn the_picture_lies_top_left_on_zero_pixels() {
    for (width, height) in [(2, 1), (4, 1), (1, 4), (4, 4)] {
        let colour = [255, 7, 128];
        let bytes = input(RgbImage::from_pixel(width, height, image::Rgb(colour)), 4);
        assert_eq!(bytes.len(), 48);
        for (index, pixel) in (0..).zip(bytes.as_chunks().0) {
            let covered = index % 4 < width && index / 4 < height;
            assert_eq!(*pixel, if covered { colour } else { [0; 3] });
        }
    }
}

#[test]
fn anchors_become_boxes_in_the_picture() {
    // 512 x 256 pixels on an input of 512: nothing is scaled.
    let found = detector(512, vec![(1, 10, 4, 1, 0.75)]).detect(&RgbImage::new(512, 256)).unwrap();
    let face = found.faces[0];
    // The anchor sits at (160, 64); distances are in strides of 16.
    assert_eq!(face.bounding_box, [144.0, 32.0, 208.0, 128.0].into());
    assert_eq!(face.landmarks[0], [160.0, 72.0]);
    assert_eq!(face.landmarks[4], [224.0, 136.0]);
    assert_eq!((face.score, found.best_score), (0.75, 0.75));

    // 1280 x 640: each input pixel is two of the picture's.
    let found = detector(640, vec![(1, 10, 4, 1, 0.75)]).detect(&RgbImage::new(1280, 640)).unwrap();
    assert_eq!(found.faces[0].bounding_box, [288.0, 64.0, 416.0, 256.0].into());
}

#[test]
fn a_face_found_in_the_padded_picture_is_placed_in_the_picture() {
    // 256 pixels: the second attempt shows 64 + 256 + 64 on an input of 384.
    let found = detector(384, vec![(2, 5, 6, 0, 0.9)]).detect(&RgbImage::new(256, 256)).unwrap();
    assert_eq!(found.faces[0].bounding_box, [64.0, 64.0, 192.0, 256.0].into());
}

#[test]
fn the_main_face_is_large_and_central() {
    // Equal boxes, the better scored one in the corner; then a near miss and nothing else.
    let faces = vec![(1, 2, 2, 0, 0.95), (1, 15, 16, 0, 0.6)];
    let found = detector(512, faces).detect(&RgbImage::new(512, 512)).unwrap();
    assert_eq!(found.faces.iter().map(|face| face.score).collect::<Vec<_>>(), [0.6, 0.95]);

    let found = detector(512, vec![(0, 3, 3, 0, 0.4)]).detect(&RgbImage::new(512, 512)).unwrap();
    assert!(found.faces.is_empty());
    assert_eq!(found.best_score, 0.4);
}

#[test]
fn a_network_that_is_no_detector_is_refused() {
    let mut network = scrfd_like();
    network.outputs.truncate(6);
    let executor = Box::new(Fixed { side: 256, faces: Vec::new() });
    let message = Detector::new(&network, executor).err().unwrap().to_string();
    assert!(message.contains("no output of 20x32x32"), "{message}");
}
