//! The forms in which one picture is sent, each shorter than the one before, for servers that refuse
//! the longer ones (413).

use std::borrow::Cow;
use std::collections::VecDeque;

use facefold_core::Rejection;

use crate::canvas::Canvas;
use crate::pictures::{Format, Picture};

/// A picture is not reduced to a longer side below this: detectors look at so many pixels.
const LEAST_SIDE: u32 = 640;

/// A form of a picture other than its PNG.
pub(crate) enum Form<'a> {
    /// The bytes of its own file.
    Own(&'a [u8]),
    /// JPEG, with width and height divided by this.
    Jpeg { picture: &'a dyn Picture, canvas: Canvas, reduction: u32 },
}

/// A picture in the form that is sent now, and the shorter forms.
pub(crate) struct Forms<'a> {
    current: Cow<'a, [u8]>,
    reduction: u32,
    shorter: VecDeque<Form<'a>>,
}

impl<'a> Forms<'a> {
    /// A PNG, or the bytes of the picture's own file where the server sees the same picture in them.
    pub(crate) fn new(png: Vec<u8>, own: Option<&'a [u8]>) -> Self {
        let shorter = own.map(Form::Own).into_iter().collect();
        Self { current: Cow::Owned(png), reduction: 1, shorter }
    }

    /// Also JPEG of the picture on this canvas, then halved, quartered and so on.
    pub(crate) fn or_jpeg(mut self, picture: &'a dyn Picture, canvas: Canvas) -> Self {
        let longer = canvas.size[0].max(canvas.size[1]);
        let reductions = (0..8).map(|power| 1 << power);
        let reductions =
            reductions.take_while(|reduction| *reduction == 1 || longer / reduction >= LEAST_SIDE);
        self.shorter.extend(reductions.map(|reduction| Form::Jpeg { picture, canvas, reduction }));
        self
    }

    /// The bytes to send.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.current
    }

    /// By how much width and height are divided in what is sent.
    pub(crate) fn reduction(&self) -> u32 {
        self.reduction
    }

    /// Takes the next form that is shorter; false where there is none.
    ///
    /// # Errors
    /// Pixels that cannot be written.
    pub(crate) fn shorten(&mut self) -> Result<bool, Rejection> {
        while let Some(form) = self.shorter.pop_front() {
            let (bytes, reduction) = match form {
                Form::Own(bytes) => (Cow::Borrowed(bytes), 1),
                Form::Jpeg { picture, canvas, reduction } => {
                    (Cow::Owned(picture.encode(canvas, reduction, Format::Jpeg)?), reduction)
                }
            };
            if bytes.len() < self.current.len() {
                (self.current, self.reduction) = (bytes, reduction);
                return Ok(true);
            }
        }
        Ok(false)
    }
}
