//! Tracks faces from frame to frame by the overlap of their boxes (intersection over union).

use facefold_core::BoundingBox;

/// Assigns every box of a frame to a track: that of the box of an earlier frame that it
/// overlaps most, or a new one.
///
/// Pairs are taken greedily, the greatest overlap first, as in the IOU tracker of Bochinski et al.,
/// "High-speed tracking-by-detection without using image information" (2017), which here may miss
/// a person for some frames. It looks at boxes only: who leaves and comes back later, or moves
/// further than their own face between two frames, gets a new number.
#[derive(Debug, Clone)]
pub struct Tracker {
    least_overlap: f32,
    max_age: u64,
    tracks: Vec<Track>,
    people: usize,
}

#[derive(Debug, Clone, Copy)]
struct Track {
    person: usize,
    last_frame: u64,
    last_box: BoundingBox,
}

impl Tracker {
    /// A tracker that joins two boxes to one track from an overlap of `least_overlap` on, and
    /// ends a track after `max_age` frames without a box.
    #[must_use]
    pub fn new(least_overlap: f32, max_age: u64) -> Self {
        Self { least_overlap, max_age, tracks: Vec::new(), people: 0 }
    }

    /// The track of each box of a frame, numbered from 0 in order of appearance. Frames
    /// come in rising order; some may be left out.
    pub fn follow(&mut self, frame: u64, boxes: &[BoundingBox]) -> Vec<usize> {
        self.tracks.retain(|track| frame.saturating_sub(track.last_frame) <= self.max_age + 1);
        let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
        for (track, known) in self.tracks.iter().enumerate() {
            for (index, found) in boxes.iter().enumerate() {
                let overlap = known.last_box.overlap(found);
                if overlap >= self.least_overlap && overlap > 0.0 {
                    pairs.push((overlap, track, index));
                }
            }
        }
        // A stable sort: of equal overlaps the older track is first.
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut people: Vec<Option<usize>> = vec![None; boxes.len()];
        let mut is_taken = vec![false; self.tracks.len()];
        for (_, track, index) in pairs {
            if !is_taken[track] && people[index].is_none() {
                is_taken[track] = true;
                let known = &mut self.tracks[track];
                (known.last_frame, known.last_box) = (frame, boxes[index]);
                people[index] = Some(known.person);
            }
        }
        let found = boxes.iter().zip(people);
        found
            .map(|(&last_box, person)| {
                person.unwrap_or_else(|| {
                    let person = self.people;
                    self.people += 1;
                    self.tracks.push(Track { person, last_frame: frame, last_box });
                    person
                })
            })
            .collect()
    }

    /// Number of tracks so far.
    #[must_use]
    pub fn people(&self) -> usize {
        self.people
    }
}

#[cfg(test)]
mod tests {
    use super::{BoundingBox, Tracker};

    fn square(x: f32, y: f32) -> BoundingBox {
        BoundingBox::at([x, y], [100.0; 2])
    }

    #[test]
    fn moving_boxes_keep_their_tracks_in_any_order() {
        let mut tracker = Tracker::new(0.3, 2);
        assert_eq!(tracker.follow(0, &[square(0.0, 0.0), square(300.0, 0.0)]), [0, 1]);
        for frame in 1..20_u16 {
            let shift = f32::from(frame) * 10.0;
            let boxes = [square(300.0 - shift, 0.0), square(shift, 200.0_f32.min(shift))];
            assert_eq!(tracker.follow(u64::from(frame), &boxes), [1, 0], "frame {frame}");
        }
        assert_eq!(tracker.people(), 2);
    }

    #[test]
    fn the_greater_overlap_wins() {
        let mut tracker = Tracker::new(0.3, 2);
        tracker.follow(0, &[square(0.0, 0.0), square(60.0, 0.0)]);
        // Both overlap the second person; the first box lies nearer to the first.
        assert_eq!(tracker.follow(1, &[square(58.0, 0.0), square(20.0, 0.0)]), [1, 0]);
    }

    #[test]
    fn a_box_after_max_age_or_a_jump_starts_a_new_track() {
        let mut tracker = Tracker::new(0.3, 2);
        tracker.follow(0, &[square(0.0, 0.0)]);
        tracker.follow(1, &[]);
        assert_eq!(tracker.follow(3, &[square(5.0, 0.0)]), [0], "two frames without a box");
        assert_eq!(tracker.follow(7, &[square(5.0, 0.0)]), [1], "three frames without a box");
        assert_eq!(tracker.follow(8, &[square(400.0, 0.0)]), [2], "a jump");
        assert_eq!(tracker.people(), 3);
    }

    #[test]
    fn a_box_belongs_to_one_track() {
        let mut tracker = Tracker::new(0.1, 2);
        tracker.follow(0, &[square(0.0, 0.0), square(30.0, 0.0)]);
        assert_eq!(tracker.follow(1, &[square(10.0, 0.0)]), [0]);
        assert_eq!(tracker.follow(2, &[square(10.0, 0.0), square(30.0, 0.0)]), [0, 1]);
    }
}
