//! Many measurements of one thing, and the words for them.

use std::fmt::{self, Display, Formatter};

/// The median, and how far around it the middle half of the measurements lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    /// Half of the distance between the quartiles, of the median.
    relative: f64,
}

impl Spread {
    pub(crate) fn of(measurements: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<_> = measurements.into_iter().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |quarter: usize| sorted[(sorted.len() - 1) * quarter / 4];
        let median = at(2);
        Self {
            median,
            relative: (at(3) - at(1)) / 2.0 / median,
        }
    }

    /// In another unit.
    pub(crate) fn per(self, unit: f64) -> Self {
        Self {
            median: self.median / unit,
            ..self
        }
    }
}

/// Three digits, and the spread in percent: `48.2 ±3%`.
impl Display for Spread {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let digits = digits(self.median);
        let text = format!(
            "{:.digits$} ±{:.0}%",
            self.median,
            (self.relative * 100.0).abs()
        );
        f.pad(&text)
    }
}

/// How many decimals make three digits.
pub(crate) fn digits(value: f64) -> usize {
    match value.abs() {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    }
}
