//! Where labels go: near their faces, on the picture, and off each other.

use facefold_core::BoundingBox;

/// Places for labels of these sizes, each next to its face where there is room: no two overlap, and
/// they cover as little of any face as they can. None where not all find a place.
pub(super) fn place(
    faces: &[BoundingBox],
    sizes: &[[f32; 2]],
    canvas: [f32; 2],
) -> Option<Vec<BoundingBox>> {
    let mut placed: Vec<BoundingBox> = Vec::with_capacity(sizes.len());
    for (face, &size) in faces.iter().zip(sizes) {
        let fits = |spot: &BoundingBox| {
            spot.left >= 0.0
                && spot.top >= 0.0
                && spot.right <= canvas[0]
                && spot.bottom <= canvas[1]
                && placed.iter().all(|other| other.shared(spot) == 0.0)
        };
        let cost = |spot: &BoundingBox| {
            let hidden: f32 = faces.iter().map(|face| face.shared(spot)).sum();
            3.0 * hidden / (size[0] * size[1]) + spot.distance(face) / size[1]
        };
        let cheapest = |spots: Vec<BoundingBox>| {
            // Of equal costs the first is taken: above, then below, then left or right.
            spots
                .into_iter()
                .filter(fits)
                .map(|spot| (cost(&spot), spot))
                .reduce(|best, spot| if spot.0 < best.0 { spot } else { best })
        };
        let mut best = cheapest(adjacent(face, size, canvas));
        if best.is_none_or(|(cost, _)| cost > 1.0) {
            let all = cheapest(everywhere(size, canvas));
            let better = |all: &(f32, BoundingBox)| best.is_none_or(|(cost, _)| all.0 < cost);
            best = all.filter(better).or(best);
        }
        placed.push(best?.1);
    }
    Some(placed)
}

/// Spots along a face's edges, pushed onto the picture, and its inner corners.
fn adjacent(face: &BoundingBox, size: [f32; 2], canvas: [f32; 2]) -> Vec<BoundingBox> {
    let [width, height] = size;
    let onto = |value: f32, most: f32| value.min(most).max(0.0);
    let across = [face.left, face.right - width].map(|left| onto(left, canvas[0] - width));
    let down = [face.top, face.bottom - height].map(|top| onto(top, canvas[1] - height));
    let mut spots = Vec::with_capacity(12);
    spots.extend(across.map(|left| [left, face.top - height]));
    spots.extend(across.map(|left| [left, face.bottom]));
    spots.extend(down.map(|top| [face.right, top]));
    spots.extend(down.map(|top| [face.left - width, top]));
    spots.extend(down.into_iter().flat_map(|top| across.map(|left| [left, top])));
    spots.into_iter().map(|corner| BoundingBox::at(corner, size)).collect()
}

/// Spots over the whole picture, half a label apart.
fn everywhere(size: [f32; 2], canvas: [f32; 2]) -> Vec<BoundingBox> {
    let steps = |axis: usize| {
        let step = (size[axis] / 2.0).max(1.0);
        let room = canvas[axis] - size[axis];
        (0..).map(move |index| index as f32 * step).take_while(move |&start| start <= room)
    };
    let corners = steps(1).flat_map(|top| steps(0).map(move |left| [left, top]));
    corners.map(|corner| BoundingBox::at(corner, size)).collect()
}

/// The largest share of a face that labels of other faces hide.
pub(super) fn hidden(faces: &[BoundingBox], labels: &[BoundingBox]) -> f32 {
    let share = |(index, face): (usize, &BoundingBox)| {
        let others = labels.iter().enumerate().filter(|(label, _)| *label != index);
        let area: f32 = others.map(|(_, label)| face.shared(label)).sum();
        area / face.area().max(1.0)
    };
    faces.iter().enumerate().map(share).fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::{BoundingBox, hidden, place};

    fn faces(columns: usize, rows: usize, pitch: f32, side: f32) -> Vec<BoundingBox> {
        let at = |index: usize| {
            let [column, row] = [index % columns, index / columns].map(|n| n as f32);
            BoundingBox::at([10.0 + column * pitch, 30.0 + row * pitch], [side; 2])
        };
        (0..columns * rows).map(at).collect()
    }

    fn overlaps(labels: &[BoundingBox]) -> usize {
        let pairs = labels.iter().enumerate();
        pairs.map(|(at, one)| labels[..at].iter().filter(|two| one.shared(two) > 0.0).count()).sum()
    }

    #[test]
    fn a_lone_face_has_its_label_above_or_below_or_inside() {
        let face = |top: f32, side: f32| BoundingBox::at([100.0, top], [side; 2]);
        let spot = |face| place(&[face], &[[80.0, 20.0]], [400.0, 300.0]).unwrap()[0];
        assert_eq!(spot(face(100.0, 60.0)), BoundingBox::at([100.0, 80.0], [80.0, 20.0]));
        // No room above.
        assert_eq!(spot(face(10.0, 60.0)), BoundingBox::at([100.0, 70.0], [80.0, 20.0]));
        // The face fills the picture.
        let whole = BoundingBox::at([0.0, 0.0], [400.0, 300.0]);
        let inside = place(&[whole], &[[80.0, 20.0]], [400.0, 300.0]).unwrap()[0];
        assert_eq!(inside, BoundingBox::at([0.0, 0.0], [80.0, 20.0]));
    }

    #[test]
    fn labels_of_a_crowd_stay_on_the_picture_and_off_each_other() {
        let crowd = faces(6, 4, 80.0, 60.0);
        let canvas = [560.0, 400.0];
        let labels = place(&crowd, &vec![[90.0, 14.0]; crowd.len()], canvas).unwrap();
        assert_eq!(overlaps(&labels), 0);
        assert!(hidden(&crowd, &labels) < 0.3, "{}", hidden(&crowd, &labels));
        let on = |label: &BoundingBox| label.left >= 0.0 && label.right <= canvas[0];
        assert!(labels.iter().all(on), "{labels:?}");
        // Each is still near its own face.
        for (face, label) in crowd.iter().zip(&labels) {
            assert!(face.distance(label) < 80.0, "{label:?} is far from {face:?}");
        }
    }

    #[test]
    fn faces_at_one_spot_get_labels_side_by_side() {
        let same = vec![BoundingBox::at([100.0, 100.0], [50.0; 2]); 4];
        let labels = place(&same, &[[90.0, 20.0]; 4], [400.0, 300.0]).unwrap();
        assert_eq!(overlaps(&labels), 0);
    }

    #[test]
    fn too_little_room_is_reported() {
        let crowd = faces(4, 4, 20.0, 18.0);
        assert!(place(&crowd, &vec![[60.0, 30.0]; crowd.len()], [100.0, 100.0]).is_none());
    }
}
